"""Are the values that reach llama.cpp's image encoder those of Hugging Face's processors, under `--picture paper`?

Files of many kinds go three ways: through tv to the input of llama.cpp's graph, on small models with the sizes of real
encoders; through the paper's way to open them and then a processor of transformers, in Pillow and in torchvision; and
through tv as the model (`--picture model`), to see what that makes of them.

    python processors.py [--each]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import transformers as hf
from PIL import Image as Pillow

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from random_models import FAMILIES, Family
from raw_pixels import watched

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Settings
from tvcli.errors import TvError
from tvcli.images import load_image
from tvcli.kinds import Picture

Values = np.ndarray  # float32 (3, height, width)
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIGLIP = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


# -- processors -------------------------------------------------------------------------------------------------------


def plain(made: Any) -> Values:
    return np.asarray(made["pixel_values"][0], np.float32)


def first_tile(made: Any) -> Values:
    return np.asarray(made["pixel_values"][0][0], np.float32)


def merged(patch: int) -> Callable[[Any], Values]:
    """Undoes Qwen's order of patches, two by two, twice in time."""

    def whole(made: Any) -> Values:
        _, rows, columns = (int(n) for n in made["image_grid_thw"][0])
        patches = np.asarray(made["pixel_values"], np.float32)
        grid = patches.reshape(rows // 2, columns // 2, 2, 2, 3, 2, patch, patch)[:, :, :, :, :, 0]
        return np.asarray(grid.transpose(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * patch, columns * patch))

    return whole


def patched(made: Any) -> Values:
    """Undoes LFM2-VL's rows of patches of 16 pixels."""
    rows, columns = (int(n) for n in made["spatial_shapes"][0])
    patches = np.asarray(made["pixel_values"][0], np.float32)[: rows * columns]
    return np.asarray(
        patches.reshape(rows, columns, 16, 16, 3).transpose(4, 0, 2, 1, 3).reshape(3, rows * 16, columns * 16)
    )


@dataclass(frozen=True)
class Case:
    """A processor and the small model that stands for its encoder, with `side` and the mean and deviation of pixels."""

    processor: str
    family: str
    keys: dict[str, Any]
    side: int = 0
    colors: tuple[tuple[float, ...], tuple[float, ...]] = SIGLIP
    values: Callable[[Any], Values] = plain
    more: dict[str, Any] = field(default_factory=dict)  # keys of the mmproj file

    def model(self) -> Family:
        made = FAMILIES[self.family]()
        assert made.vision is not None
        mean, std = self.colors
        keys = {"image_mean": list(mean), "image_std": list(std), **self.more}
        shapes = dict(made.vision.shapes)
        if self.side:
            patch, position = made.vision.metadata["clip.vision.patch_size"], "v.position_embd.weight"
            known = (made.vision.metadata["clip.vision.image_size"] // patch) ** 2
            *one, count, width = shapes[position]
            shapes[position] = (*one, count - known + (self.side // patch) ** 2, width)
            keys["image_size"] = self.side
        metadata = {**made.vision.metadata, **{f"clip.vision.{key}": value for key, value in keys.items()}}
        return replace(made, vision=replace(made.vision, metadata=metadata, shapes=shapes))

    def processors(self) -> Iterator[tuple[str, Any]]:
        """By Pillow and by torchvision, where transformers has both."""
        for name, suffix in (("Pillow", "Pil"), ("torchvision", "")):
            kind = getattr(hf, f"{self.processor}{suffix}", None)
            if kind is not None:
                yield name, kind(**self.keys)


def square(side: int) -> dict[str, Any]:
    return {"size": {"height": side, "width": side}}


PINPOINTS = [336, 672, 672, 336, 672, 672]
CASES = {
    "LLaVA-1.5": Case(
        "CLIPImageProcessor",
        "llava",
        {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
        336,
        CLIP,
    ),
    "LLaVA with SigLIP": Case("SiglipImageProcessor", "llava", square(378), 378),
    "LLaVA-NeXT's first tile": Case(
        "LlavaNextImageProcessor",
        "llava",
        {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
        336,
        CLIP,
        first_tile,
        {"image_grid_pinpoints": PINPOINTS},
    ),
    "Qwen2-VL": Case(
        "Qwen2VLImageProcessor",
        "qwen2vl",
        {"size": {"shortest_edge": 3136, "longest_edge": 12845056}},
        0,
        CLIP,
        merged(14),
    ),
    "Qwen3-VL": Case(
        "Qwen2VLImageProcessor",
        "qwen3vl",
        {
            "size": {"shortest_edge": 65536, "longest_edge": 16777216},
            "patch_size": 16,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
        },
        0,
        SIGLIP,
        merged(16),
    ),
    "Pixtral": Case("PixtralImageProcessor", "pixtral", {"patch_size": {"height": 14, "width": 14}}, 0, CLIP),
    "Idefics3": Case(
        "Idefics3ImageProcessor",
        "smolvlm",
        {"do_image_splitting": False},
        364,
        SIGLIP,
        first_tile,
        {"preproc_image_size": 1456},
    ),
    "SmolVLM": Case(
        "SmolVLMImageProcessor",
        "smolvlm",
        {"do_image_splitting": False, "size": {"longest_edge": 1536}, "max_image_size": {"longest_edge": 392}},
        392,
        SIGLIP,
        first_tile,
        {"preproc_image_size": 1536},
    ),
    "Gemma 3": Case("Gemma3ImageProcessor", "gemma3-vision", square(896), 896),
    "InternVL3": Case(
        "GotOcr2ImageProcessor",
        "internvl",
        {**square(448), "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
        448,
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ),
    "LFM2-VL": Case("Lfm2VlImageProcessor", "lfm2vl", {"do_image_splitting": False}, 0, SIGLIP, patched),
}


# -- pictures ---------------------------------------------------------------------------------------------------------


def scene(width: int, height: int, seed: int, channels: int = 3) -> np.ndarray:
    """Shapes of all sizes and some noise, uint8 (height, width, channels)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, channels))
    for cells in (3, 11, 43):
        small = rng.integers(0, 256, (cells, cells, channels), np.uint8)
        for channel in range(channels):
            total[..., channel] += np.asarray(Pillow.fromarray(small[..., channel]).resize((width, height)), float)
    return np.clip(total / 2 - 64 + rng.normal(0, 12, total.shape), 0, 255).astype(np.uint8)


def pictures(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files that differ in shape, size and kind."""
    for name, (width, height) in {
        "3:2": (1800, 1200),
        "2:3": (600, 900),
        "square": (500, 500),
        "tiny": (17, 11),
        "large": (4000, 3000),
        "panorama": (1500, 300),
        "tower": (120, 900),
    }.items():
        Pillow.fromarray(scene(width, height, len(name))).save(folder / f"{name.replace(':', '-')}.png")
        yield name, folder / f"{name.replace(':', '-')}.png"
    rotated, exif = Pillow.fromarray(scene(900, 600, 20)), Pillow.Exif()
    exif[274] = 6
    rotated.save(folder / "turned.jpg", exif=exif, quality=90)
    yield "EXIF turned", folder / "turned.jpg"
    alpha = scene(400, 300, 21, 4)
    Pillow.fromarray(alpha).save(folder / "alpha.png")
    yield "alpha", folder / "alpha.png"
    colors = Pillow.fromarray(scene(350, 250, 22)).quantize(64)
    colors.save(folder / "palette.png", transparency=3)
    yield "palette, transparent", folder / "palette.png"
    Pillow.fromarray(alpha[..., :1].repeat(2, -1)).save(folder / "gray.png")
    yield "gray and alpha", folder / "gray.png"
    Pillow.fromarray(alpha, mode="CMYK").save(folder / "cmyk.jpg", quality=90)
    yield "CMYK", folder / "cmyk.jpg"


def opened_by_the_paper(path: Path) -> Pillow.Image:
    """xpatch_dataset.py: open_image, with image_size = 224."""
    image = Pillow.open(path).convert("RGB")
    return image.resize((224, int((224 / image.size[0]) * image.size[1])))


# -- the comparison ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Of values that went into the encoder, and of the 8-bit levels that they stand for; `None` of other sizes."""

    largest: float
    level: int
    mean_level: float


def difference(ours: Values, theirs: Values, colors: tuple[tuple[float, ...], ...]) -> Difference | None:
    if ours.shape != theirs.shape:
        return None
    mean, std = (np.array(one, np.float64)[:, None, None] for one in colors)
    levels = [np.rint((values * std + mean) * 255) for values in (ours, theirs)]
    apart = np.abs(levels[0] - levels[1])
    return Difference(float(np.abs(ours - theirs).max()), int(apart.max()), float(apart.mean()))


def encoded(case: Case, picture: Picture, paths: list[Path], folder: Path) -> list[list[Values]]:
    """What reaches the encoder of each file: one image, or its tiles."""
    files = case.model().write(folder)
    assert files.vision is not None
    made = []
    settings = Settings(gpu_layers=0, threads=2, picture=picture)
    with watched() as seen, LlamaEngine(files.text, files.vision, settings) as engine:
        for path in paths:
            seen.clear()
            with suppress(TvError):  # Pixtral's graph multiplies unset memory by zero; its input was seen all the same
                engine.image_tokens(load_image(path))
            made.append(seen.copy())
    return made


def worst(found: list[Difference | None]) -> str:
    if None in found:
        return f"{found.count(None)} of another size"
    known = [one for one in found if one is not None]
    level, mean = max(one.level for one in known), max(one.mean_level for one in known)
    return f"{level} (mean {mean:.3f}), {max(one.largest for one in known):.1e}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--each", action="store_true", help="a line for each picture")
    each = parser.parse_args().each
    with tempfile.TemporaryDirectory() as place:
        files = dict(pictures(Path(place)))
        print(f"{len(files)} pictures: {', '.join(files)}")
        print("largest difference in levels of 255 (mean, of the worst picture), and of the normalized values")
        print("| model | 3:2 becomes | Pillow | torchvision | of the 3:2 picture, `model` makes |")
        print("|---|---|---|---|---|")
        for name, case in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                ours = encoded(case, Picture.PAPER, list(files.values()), Path(folder))
                [own] = encoded(case, Picture.MODEL, [files["3:2"]], Path(folder))
            assert all(len(one) == 1 for one in ours), name
            cells = {"Pillow": "–", "torchvision": "–"}
            for backend, processor in case.processors():
                theirs = [case.values(processor(opened_by_the_paper(path))) for path in files.values()]
                found = [difference(one[0], other, case.colors) for one, other in zip(ours, theirs, strict=True)]
                cells[backend] = worst(found)
                for file, one in zip(files, found, strict=True) if each else ():
                    print(f"  {name}, {backend}, {file}: {one}")
            size = "{1} × {0}".format(*ours[0][0].shape[1:])
            tiles = f"{len(own)} of {own[0].shape[2]} × {own[0].shape[1]}"
            apart = difference(own[0], ours[0][0], case.colors)
            as_model = tiles if apart is None or len(own) > 1 else f"{tiles}, mean level {apart.mean_level:.1f} off"
            print(f"| {name} | {size} | {cells['Pillow']} | {cells['torchvision']} | {as_model} |", flush=True)


if __name__ == "__main__":
    main()
