"""Compare models whose image encoder runs in transformers with Hugging Face, on small models with random weights.

A twin is saved as its repository is (settings, shards, an index); `text_half.py` and llama.cpp's converter make the
GGUF file of its language half, and `tv models add --vision-from` the model. Then every layer's residual, the logits
under a patch at every layer, and first tokens, against the whole twin in transformers, whose own processor prepares
the images and whose forward hook patches. Where llama.cpp has an image encoder, also both ways: through transformers,
and through mtmd. Needs what `architectures.py` needs:

    PYTHONPATH=$LLAMA_CPP:$LLAMA_CPP/gguf-py python vision_half.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from architectures import differences
from converted import converted_folder
from text_half import extract
from twins import TEXT, TWINS, VISION, Twin

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from random_models import FAMILIES, Family
from random_models.llama import llama_file
from random_models.vocabulary import sentencepiece

from tvcli.cli import main as tv
from tvcli.encoded import EncodedImage
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Patch, Settings, Token
from tvcli.images import Image
from tvcli.models.opening import open_model
from tvcli.models.vision_half.families import FAKE_TOKEN
from tvcli.prompts.prompt import Prompt, prompt_of, zero_shot

SHARDS = "100KB"  # so that the twin has many, as real repositories have
SINGLE = Settings(threads=1)


@dataclass
class Case:
    """A twin with its image processor and the generator's file of its language half."""

    twin: Twin
    family: Family
    processor: Any
    options: dict[str, Any]
    image_token: str
    sizes: tuple[tuple[int, int], tuple[int, int]]  # of two images: height, width

    @property
    def tokens(self) -> list[str]:
        return list(self.family.text.metadata["tokenizer.ggml.tokens"])


def idefics2() -> Case:
    """SigLIP with positions for any size, a perceiver of 8 latents and 2 layers, and Mistral."""
    vocabulary = sentencepiece(space_prefix=True, user_defined=[FAKE_TOKEN, "<image>", "<end_of_utterance>"])
    tokens = vocabulary["tokenizer.ggml.tokens"]
    perceiver = {"hidden_size": 64, "rms_norm_eps": 1e-5, "resampler_n_latents": 8, "resampler_depth": 2,
                 "resampler_n_heads": 4, "resampler_head_dim": 16, "num_key_value_heads": 2}  # fmt: skip
    config = hf.Idefics2Config(
        text_config={
            "model_type": "mistral",
            "vocab_size": len(tokens),
            "head_dim": 16,
            "sliding_window": None,
            **TEXT,
        },
        vision_config={"image_size": 56, "patch_size": 14, **VISION},
        perceiver_config=perceiver,
        image_token_id=tokens.index("<image>"),
    )
    size = {"shortest_edge": 42, "longest_edge": 70}  # 378 and 980 pixels in the real one
    processor = hf.AutoImageProcessor.from_pretrained(
        _settings("Idefics2ImageProcessor", size=size, do_image_splitting=True), backend="pil"
    )
    twin = Twin(hf.Idefics2ForConditionalGeneration(config))
    family = Family(llama_file(vocabulary))
    return Case(twin, family, processor, {"do_image_splitting": False}, "<image>", ((100, 60), (30, 90)))


def llava() -> Case:
    family = FAMILIES["llava"]()
    tokens = list(family.text.metadata["tokenizer.ggml.tokens"])
    processor = hf.AutoImageProcessor.from_pretrained(
        _settings("CLIPImageProcessor", size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        backend="pil",
    )
    return Case(TWINS["llava"](len(tokens)), family, processor, {}, "<unk>", ((56, 56), (56, 56)))


def gemma3() -> Case:
    family = FAMILIES["gemma3-vision"]()
    tokens = list(family.text.metadata["tokenizer.ggml.tokens"])
    processor = hf.AutoImageProcessor.from_pretrained(
        _settings("Gemma3ImageProcessor", size={"height": 112, "width": 112}), backend="pil"
    )
    return Case(
        TWINS["gemma3-vision"](len(tokens)), family, processor, {}, "<image_soft_token>", ((112, 112), (112, 112))
    )


CASES: dict[str, Callable[[], Case]] = {"idefics2": idefics2, "llava": llava, "gemma3": gemma3}


def _settings(kind: str, **settings: Any) -> str:
    """A folder with a preprocessor_config.json."""
    import json

    folder = Path(tempfile.mkdtemp())
    common = {"image_processor_type": kind, "image_mean": [0.5] * 3, "image_std": [0.25] * 3, "do_convert_rgb": True}
    (folder / "preprocessor_config.json").write_text(json.dumps({**common, **settings}))
    return str(folder)


def add(case: Case, folder: Path) -> None:
    """The twin's repository, its language half as GGUF, and tv's model `twin` of both."""
    config = case.twin.model.config
    for key in ("image_token_id", "image_token_index"):
        if hasattr(config, key):
            setattr(config, key, case.tokens.index(case.image_token))
    whole, text = folder / "whole", folder / "text"
    case.twin.model.save_pretrained(whole, max_shard_size=SHARDS)
    case.processor.save_pretrained(whole)
    extract(whole, text)
    converted = converted_folder(text, case.tokens, vision=False)
    for problem in differences(case.family.text, converted):
        print(f"    {problem}")
    case.family.text.write(folder / "text.gguf", converted.tensors)
    tv(["models", "add", str(folder / "text.gguf"), "--name", "twin", "--vision-from", str(whole), "-q"])


def prompts_of(case: Case) -> dict[str, Prompt]:
    one, two = (
        Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), f"noise {seed}")
        for seed, size in enumerate(case.sizes, 1)
    )
    return {
        "text": zero_shot("the capital of the country France is Paris, and of Peru Lima"),
        "image": zero_shot(one),
        "two images": prompt_of("Q:", one, "\nA: Paris\n\nQ:", two, "\nA:"),
    }


def reference(case: Case, engine: LlamaEngine, prompt: Prompt, patch: Patch | None = None) -> tuple[np.ndarray, ...]:
    """Residuals at the last token, float64 (L, D), and its logits, float64 (V,), as transformers computes them."""
    token = case.tokens.index(case.image_token)
    ids: list[int] = []
    for piece in engine.layout(prompt):
        ids += [piece.id] if isinstance(piece, Token) else [token] * piece.count
    images = [image.pixels for image in prompt.images if isinstance(image, Image)]
    inputs: dict[str, Any] = {}
    if images:
        inputs = dict(case.processor(images=images, return_tensors="pt", **case.options))
        if "gemma3" in type(case.twin.model).__name__.lower():
            inputs = {
                "pixel_values": inputs["pixel_values"],
                "token_type_ids": torch.tensor([[int(i == token) for i in ids]]),
            }
    model = case.twin.model
    base = getattr(model.model, "text_model", None) or model.model.language_model
    found: list[np.ndarray] = []

    def hook(layer: int) -> Callable[..., Any]:
        def run(_module: Any, _inputs: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            if patch is not None and patch.layer == layer:
                hidden = hidden.clone()
                hidden[0, -1] = torch.from_numpy(patch.row)
                output = (hidden, *output[1:]) if isinstance(output, tuple) else hidden
            found.append(hidden[0, -1].double().numpy().copy())
            return output

        return run

    hooks = [layer.register_forward_hook(hook(n)) for n, layer in enumerate(base.layers)]
    try:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False, **inputs).logits[0, -1]
    finally:
        for one in hooks:
            one.remove()
    return np.array(found), logits.double().numpy()


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The lowest over the rows."""
    return float(((one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)).min())


def measure(name: str, folder: Path) -> None:
    case = CASES[name]()
    add(case, folder)
    with open_model("twin", settings=SINGLE) as opened:
        engine = opened.engine
        assert isinstance(engine, LlamaEngine)
        for label, prompt in prompts_of(case).items():
            theirs, _ = reference(case, engine, prompt)
            own = engine.read([prompt])[0]
            rng = np.random.default_rng(0)
            patches = [
                Patch(n, (rng.standard_normal(len(row)) * row.std()).astype(np.float32)) for n, row in enumerate(own)
            ]
            sweep = engine.logits([prompt], [None, *patches])[0].astype(np.float64)
            expected = np.array([reference(case, engine, prompt, patch)[1] for patch in [None, *patches]])
            apart = np.abs(sweep - expected).max()
            same = int((sweep.argmax(-1) == expected.argmax(-1)).sum())
            effect = np.abs(expected[1:] - expected[0]).max(-1).min()
            print(
                f"| {name} | {label} | {cosine(own.astype(np.float64), theirs):.6f} | {apart:.0e} of {effect:.1f} "
                f"| {same} of {len(expected)} |",
                flush=True,
            )
        if case.family.vision is not None:
            both_ways(name, case, engine, folder)


def both_ways(name: str, case: Case, outside: LlamaEngine, folder: Path) -> None:
    """The same weights in an mmproj through mtmd, on an image that needs no resizing."""
    import architectures

    _, vision = architectures.weights_of(case.twin, case.family, case.tokens, folder / "mmproj-source")
    mmproj = case.family.vision.write(folder / "mmproj.gguf", vision)  # type: ignore[union-attr]
    image = prompts_of(case)["image"].images[0]
    assert isinstance(image, Image)
    encoder = outside._encoder
    assert encoder is not None
    with LlamaEngine(folder / "text.gguf", mmproj, SINGLE) as mtmd:
        tokens = cosine(mtmd.image_tokens(image).astype(float), outside.image_tokens(image).astype(float))
        # mtmd writes no line breaks around Gemma's image, the model's own processor does
        around = encoder.encode(image)
        given = replace(around, before=around.before.strip(), after=around.after.strip())
        theirs = EncodedImage(mtmd.image_tokens(image), "x", given.before, given.after, given.causal)
        read = [mtmd.read([zero_shot(one)])[0].astype(float) for one in (image, given, theirs)]
        back = "every bit the same" if np.array_equal(read[0], read[2]) else "different"
        print(
            f"    {name}, mtmd against transformers: image tokens {tokens:.6f}, residuals {cosine(*read[:2]):.6f};"
            f" mtmd's own tokens given back: {back}"
        )


def main() -> None:
    print(
        "| family | prompt | lowest cosine | largest difference of a logit, of a patch's effect | same first tokens |"
    )
    print("|---|---|---|---|---|")
    for name in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {"TV_MODELS_DIR": folder, "XDG_CACHE_HOME": folder}
            measure(name, Path(folder))


if __name__ == "__main__":
    main()
