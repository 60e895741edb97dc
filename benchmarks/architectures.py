"""Compare every architecture with Hugging Face, on small models with the same random weights.

llama.cpp's own converter converts a Hugging Face model; its tensors must have the names of those of
`tests/random_models`, which are then written with its weights and run by tv. The converter is part of
llama.cpp's source, which is in llama-cpp-python's source package (vendor/llama.cpp):

    PYTHONPATH=$LLAMA_CPP:$LLAMA_CPP/gguf-py python architectures.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from converted import Converted, convert, llava_vision
from twins import TWINS, Twin

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from random_models import FAMILIES, Family
from random_models.writer import File, Weights

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


def prompts_of(family: Family) -> dict[str, Prompt]:
    def noise(size: tuple[int, int], seed: int) -> Image:
        return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), f"noise {seed}")

    prompts = {"text": zero_shot("the capital of the country France is Paris, and of Peru Lima")}
    if family.image is not None:
        size = family.tiled if family.text.architecture == "llama" and family.tiled else family.image
        prompts["image"] = zero_shot(noise(size, 1))
        prompts["two images"] = prompt_of("Q:", noise(size, 1), "\nA: Paris\n\nQ:", noise(size, 2), "\nA:")
    if family.tiled is not None and family.text.architecture == "qwen2":
        prompts["tiles"] = zero_shot(noise(family.tiled, 3))
    return prompts


def pixels_of(prompt: Prompt) -> list[np.ndarray]:
    return [image.pixels for image in prompt.images if isinstance(image, Image)]


def token_ids(engine: LlamaEngine, prompt: Prompt, tokens: list[str], image_token: str) -> list[int]:
    """tv's own tokens, with the image token for every image embedding of llama.cpp."""
    ids: list[int] = []
    for piece in engine.layout(prompt):
        if isinstance(piece, Token):
            ids.append(piece.id)
        elif "[IMG_BREAK]" in tokens:
            columns = pixels_of(prompt)[0].shape[1] // 14
            row = [tokens.index("[IMG]")] * columns + [tokens.index("[IMG_BREAK]")]
            ids += (row * 10)[: piece.count]
        else:
            ids += [tokens.index(image_token)] * piece.count
    return ids


@torch.no_grad()
def reference(twin: Twin, ids: list[int], prompt: Prompt, token: int) -> np.ndarray:
    """Residuals at the last token before the final norm, float32 (L, D)."""
    tiles = [tile for pixels in pixels_of(prompt) for tile in twin.tiles(pixels)]
    inputs = twin.inputs(tiles) if tiles else {}
    kind = torch.tensor([[int(one == token and bool(tiles)) for one in ids]])
    if tiles and "gemma3" in type(twin.model).__name__.lower():
        inputs["token_type_ids"] = kind
    if "image_grid_thw" in inputs:
        inputs["mm_token_type_ids"] = kind
    base = twin.model.model if hasattr(twin.model, "model") else twin.model.backbone
    base = next((getattr(base, name) for name in ("language_model", "text_model") if hasattr(base, name)), base)
    found: list[np.ndarray] = []
    hooks = [
        layer.register_forward_hook(
            lambda _m, _i, out: found.append((out[0] if isinstance(out, tuple) else out)[0, -1].numpy().copy())
        )
        for layer in base.layers
    ]
    try:
        twin.model(input_ids=torch.tensor([ids]), use_cache=False, **inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return np.array(found, np.float64)


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
        if family.vision.metadata["clip.projector_type"] == "mlp":
            vision = Converted({}, llava_vision(twin.model))
        else:
            vision = convert(twin.model, twin.preprocessor, tokens, folder, vision=True)
        if "[IMG_BREAK]" in tokens:  # this version of the converter leaves it out
            vision.tensors["v.token_embd.img_break"] = text.tensors["token_embd.weight"][tokens.index("[IMG_BREAK]")]
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


def cosines(engine: LlamaEngine, twin: Twin, prompts: dict[str, Prompt], tokens: list[str], token: int) -> str:
    """The lowest cosine over the layers, for every prompt."""
    cells = []
    for label, prompt in prompts.items():
        ours = engine.read([prompt])[0].astype(np.float64)
        theirs = reference(twin, token_ids(engine, prompt, tokens, twin.image_token), prompt, token)
        cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
        cells.append(f"{label} {cosine.min():.6f}")
    return ", ".join(cells)


def measure(name: str, folder: Path) -> None:
    """Print one row of the table."""
    family = FAMILIES[name]()
    tokens = list(family.text.metadata["tokenizer.ggml.tokens"])
    twin = TWINS[name](len(tokens)) if name in TWINS else None
    token = use_tokens(twin, tokens) if twin else -1
    files = family.write(folder, *(weights_of(twin, family, tokens, folder) if twin else []))
    prompts = prompts_of(family)
    with LlamaEngine(files.text, files.vision, Settings(threads=1)) as engine:
        agreement = cosines(engine, twin, prompts, tokens, token) if twin else "no counterpart"
        sweeps = [sweep_difference(engine, prompt) for prompt in prompts.values()]
    projector = family.vision.metadata["clip.projector_type"] if family.vision else ""
    worst, effect = max(difference for difference, _ in sweeps), min(effect for _, effect in sweeps)
    print(
        f"| {name} | {family.text.architecture} | {projector} | {agreement} | {worst:.0e} of {effect:.1f} |", flush=True
    )


def main() -> None:
    for name in sys.argv[1:] or FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            measure(name, Path(folder))


if __name__ == "__main__":
    main()
