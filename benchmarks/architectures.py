"""Compare every architecture with Hugging Face, on small models with the same random weights.

llama.cpp's own converter converts a Hugging Face model; its tensors must have the names of those of
`tests/random_models`, which are then written with its weights and run by tv. The converter is part of
llama.cpp's source, which is in llama-cpp-python's source package (vendor/llama.cpp):

    PYTHONPATH=$LLAMA_CPP:$LLAMA_CPP/gguf-py python architectures.py

With --alone, image tokens are left as llama.cpp alone computes them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from converted import Converted, convert, llava_vision
from newer_twins import TWINS as NEWER
from twins import TWINS as OLDER
from twins import Twin

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from random_models import FAMILIES, Family
from random_models.writer import File, Weights

from tvcli.engine.gguf.repair import NONE
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Patch, Settings, Token
from tvcli.images import Image
from tvcli.prompts.prompt import Prompt, prompt_of, zero_shot


def differences(file: File, converted: Converted) -> list[str]:
    """Descriptions of differences in form between the generator's file and the converter's."""
    theirs = {name: tensor.shape for name, tensor in converted.tensors.items()}
    found = [f"tensor {n}: {file.shapes.get(n)} here, {theirs.get(n)} there" for n in file.shapes.keys() | theirs.keys()
             if file.shapes.get(n) != theirs.get(n)]  # fmt: skip
    for key, value in converted.metadata.items():
        ours = file.metadata.get(key)
        if key.startswith((f"{file.architecture}.", "clip.")) and not same_value(value, ours):
            found.append(f"key {key}: {ours} here, {value} there")
    return found


def same_value(one: Any, other: Any) -> bool:
    if other is None or isinstance(one, str):
        return bool(one == other)
    return np.shape(one) == np.shape(other) and bool(np.allclose(one, other))


TWINS = OLDER | NEWER
QUERIES = 6  # images that are queries of patched runs


def noise(size: tuple[int, int], seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), f"noise {seed}")


def image_size(family: Family) -> tuple[int, int] | None:
    return family.tiled if family.text.architecture == "llama" and family.tiled else family.image


def prompts_of(family: Family) -> dict[str, Prompt]:
    prompts = {"text": zero_shot("the capital of the country France is Paris, and of Peru Lima")}
    size = image_size(family)
    if size is not None:
        prompts["image"] = zero_shot(noise(size, 1))
        prompts["two images"] = prompt_of("Q:", noise(size, 1), "\nA: Paris\n\nQ:", noise(size, 2), "\nA:")
    if family.tiled is not None and family.text.architecture in ("qwen2", "llama4"):
        prompts["tiles"] = zero_shot(noise(family.tiled, 3))
    return prompts


def pixels_of(prompt: Prompt) -> list[np.ndarray]:
    return [image.pixels for image in prompt.images if isinstance(image, Image)]


def token_ids(engine: LlamaEngine, prompt: Prompt, tokens: list[str], twin: Twin) -> list[int]:
    """tv's own tokens, with the image token for every image embedding of llama.cpp."""
    ids: list[int] = []
    for piece in engine.layout(prompt):
        if isinstance(piece, Token):
            ids.append(piece.id)
        elif "[IMG_BREAK]" in tokens:
            columns = pixels_of(prompt)[0].shape[1] // twin.unit
            row = [tokens.index("[IMG]")] * columns + [tokens.index("[IMG_BREAK]")]
            ids += (row * 10)[: piece.count]
        else:
            ids += [tokens.index(twin.image_token)] * piece.count
    return ids


@dataclass(frozen=True)
class Run:
    """What Hugging Face's model computes for a prompt."""

    residuals: np.ndarray  # float64 (L, D), at the last token, before the final norm
    embedded: np.ndarray  # float64 (tokens, D), the decoder's input
    first: int  # the token with the highest logit


@dataclass(frozen=True)
class Reference:
    """A twin beside the engine that runs its weights."""

    engine: LlamaEngine
    twin: Twin
    tokens: list[str]
    image_token: int

    @property
    def _decoder(self) -> Any:
        decoder = self.twin.model.get_decoder()
        return getattr(decoder, "model", decoder)  # Llama 4's is one with a head

    @torch.no_grad()
    def run(self, prompt: Prompt, change: Patch | None = None) -> Run:
        ids = token_ids(self.engine, prompt, self.tokens, self.twin)
        found: list[np.ndarray] = []
        embedded: list[np.ndarray] = []

        def keep(layer: int, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            if change is not None and change.layer == layer:
                hidden[0, -1] = torch.from_numpy(change.row)
            found.append(hidden[0, -1].double().numpy().copy())

        def look(_module: Any, _inputs: Any, named: dict[str, Any]) -> None:
            if named.get("inputs_embeds") is not None:
                embedded.append(named["inputs_embeds"][0].double().numpy().copy())

        with ExitStack() as hooks:
            for number, layer in enumerate(self._decoder.layers):
                hook = layer.register_forward_hook(lambda _m, _i, out, n=number: keep(n, out))
                hooks.callback(hook.remove)
            hooks.callback(self._decoder.register_forward_pre_hook(look, with_kwargs=True).remove)
            logits = self.twin.model(input_ids=torch.tensor([ids]), use_cache=False, **self._inputs(prompt, ids)).logits
        return Run(np.array(found), embedded[0] if embedded else np.empty((0, 0)), int(logits[0, -1].argmax()))

    def _inputs(self, prompt: Prompt, ids: list[int]) -> dict[str, torch.Tensor]:
        tiles = [tile for pixels in pixels_of(prompt) for tile in self.twin.tiles(pixels)]
        inputs = self.twin.inputs(tiles) if tiles else {}
        kind = torch.tensor([[int(one == self.image_token and bool(tiles)) for one in ids]])
        if tiles and "gemma3" in type(self.twin.model).__name__.lower():
            inputs["token_type_ids"] = kind
        if "image_grid_thw" in inputs:
            inputs["mm_token_type_ids"] = kind
        if "image_position_ids" in inputs:
            inputs["attention_mask"] = self._generation_masks(kind)
        return inputs

    def _generation_masks(self, kind: torch.Tensor) -> dict[str, torch.Tensor]:
        """Those of `generate`, per type of layer; image tokens are 1 in `kind`, int (1, tokens).

        Gemma 4's images attend to themselves both ways in layers with a window only. A mere call of
        Gemma4UnifiedForConditionalGeneration (transformers 5.24) lets them do so in all layers, `generate` does not.
        """
        model, count = self.twin.model, kind.shape[1]
        width = model.config.get_text_config().hidden_size
        masks = model.create_masks_for_generate(
            config=model.config,
            inputs_embeds=torch.zeros(1, count, width),
            attention_mask=None,
            cache=None,
            position_ids=torch.arange(count)[None],
            mm_token_type_ids=kind,
        )
        return dict(masks)

    # -- comparisons --------------------------------------------------------------------------------------

    def residuals(self, prompts: dict[str, Prompt]) -> str:
        """The lowest cosine over the layers, for every prompt."""
        lowest = {
            label: cosines(self.engine.read([prompt])[0], self.run(prompt).residuals).min()
            for label, prompt in prompts.items()
        }
        return ", ".join(f"{label} {cosine:.6f}" for label, cosine in lowest.items())

    def image_tokens(self, prompts: dict[str, Prompt]) -> str:
        """The lowest and the mean cosine over the image tokens of all prompts."""
        found = [self._image_tokens(prompt) for prompt in prompts.values() if prompt.images]
        if not found:
            return ""
        every = np.concatenate(found)
        return f"{every.min():.6f}, mean {every.mean():.6f} of {len(every)}"

    def _image_tokens(self, prompt: Prompt) -> np.ndarray:
        """One cosine per image token of the prompt."""
        at = list(image_positions(self.engine, prompt))
        theirs = self.run(prompt).embedded[at]
        ours = np.concatenate([self.engine.image_tokens(i) for i in prompt.images if isinstance(i, Image)])
        return cosines(ours[:, : theirs.shape[1]], theirs)  # Qwen3-VL's have more columns, for later layers

    def first_tokens(self, family: Family) -> str:
        """Patched queries whose first token is the same; each side patches what it reads itself."""
        size = image_size(family)
        if size is None:
            return ""
        examples = prompt_of("Q:", noise(size, 1), "\nA: Paris\n\nQ:", noise(size, 2), "\nA:")
        ours, theirs = self.engine.read([examples])[0], self.run(examples).residuals.astype(np.float32)
        same: list[bool] = []
        seen: set[int] = set()
        for seed in range(QUERIES):
            query = zero_shot(noise(size, 10 + seed))
            patches = [None, *(Patch(layer, row) for layer, row in enumerate(theirs))]
            [answers] = self.engine.answer([query], [None, *(Patch(layer, row) for layer, row in enumerate(ours))])
            for answer, change in zip(answers, patches, strict=True):
                same.append(answer.first == self.run(query, change).first)
                seen.add(answer.first)
        return f"{sum(same)} of {len(same)} ({len(seen)} different)"


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Row by row."""
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    return np.asarray((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1))


def image_positions(engine: LlamaEngine, prompt: Prompt) -> Iterator[int]:
    at = 0
    for piece in engine.layout(prompt):
        count = 1 if isinstance(piece, Token) else piece.count
        yield from () if isinstance(piece, Token) else range(at, at + count)
        at += count


def sweep_difference(engine: LlamaEngine, prompt: Prompt) -> tuple[float, float]:
    """Largest difference of logits between a sweep and single runs, and the smallest effect of a patch."""
    [own] = engine.read([prompt])
    rng = np.random.default_rng(0)
    patches = [Patch(n, (rng.standard_normal(len(row)) * row.std()).astype(np.float32)) for n, row in enumerate(own)]
    plain, *sweep = engine.logits([prompt], [None, *patches])[0]
    single = [engine.logits([prompt], [patch])[0, 0] for patch in patches]
    differences = [np.abs(a - b).max() for a, b in zip(sweep, single, strict=True)]
    return float(max(differences)), float(min(np.abs(b - plain).max() for b in single))


def weights_of(twin: Twin, family: Family, tokens: list[str], folder: Path) -> list[Weights]:
    """The twin's tensors under llama.cpp's names, for each of the family's files; differences in form are printed."""
    text = convert(twin.model, twin.preprocessor, tokens, folder, vision=False)
    found = [(family.text, text)]
    if family.vision is not None:
        if family.projector == "mlp":
            vision = Converted({}, llava_vision(twin.model))
        else:
            vision = convert(twin.model, twin.preprocessor, tokens, folder, vision=True)
        if "[IMG_BREAK]" in tokens:  # this version of the converter leaves it out
            vision.tensors["v.token_embd.img_break"] = text.tensors["token_embd.weight"][tokens.index("[IMG_BREAK]")]
        if family.vision.metadata["clip.projector_type"] == "llama4":  # it gives these norms the name of Gemma 4's
            for name in [name for name in vision.tensors if "attn_post_norm" in name]:
                vision.tensors[name.replace("attn_post_norm", "ln2")] = vision.tensors.pop(name)
        found.append((family.vision, vision))
    for file, converted in found:
        print("".join(f"    {problem}\n" for problem in differences(file, converted)), end="")
    return [converted.tensors for _, converted in found]


def use_tokens(twin: Twin, tokens: list[str]) -> int:
    """Set the twin's image token to that of our vocabulary."""
    config = twin.model.config
    token = tokens.index(twin.image_token) if twin.image_token else -1
    values = {"image_token_id": token, "image_token_index": token, "video_token_id": -2}
    if "<|vision_start|>" in tokens:
        values["vision_start_token_id"] = tokens.index("<|vision_start|>")
    for key, value in values.items():
        if hasattr(config, key):
            setattr(config, key, value)
    return token


def measure(name: str, folder: Path) -> None:
    """Print one row of the table."""
    family = FAMILIES[name]()
    tokens = list(family.text.metadata["tokenizer.ggml.tokens"])
    twin = TWINS[name](len(tokens)) if name in TWINS else None
    token = use_tokens(twin, tokens) if twin else -1
    files = family.write(folder, *(weights_of(twin, family, tokens, folder) if twin else []))
    prompts = prompts_of(family)
    with LlamaEngine(files.text, files.vision, Settings(threads=1)) as engine:
        compared = ["no counterpart", "", ""]
        if twin is not None:
            beside = Reference(engine, twin, tokens, token)
            compared = [beside.residuals(prompts), beside.image_tokens(prompts), beside.first_tokens(family)]
        sweeps = [sweep_difference(engine, prompt) for prompt in prompts.values()]
    worst, effect = max(difference for difference, _ in sweeps), min(effect for _, effect in sweeps)
    cells = [name, family.text.architecture, family.projector, *compared, f"{worst:.0e} of {effect:.1f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    names = [name for name in sys.argv[1:] if name != "--alone"]
    alone = patch("tvcli.engine.gguf.checks.repair", lambda header: NONE)
    with alone if "--alone" in sys.argv else nullcontext():
        for name in names or FAMILIES:
            with tempfile.TemporaryDirectory() as folder:
                measure(name, Path(folder))


if __name__ == "__main__":
    main()
