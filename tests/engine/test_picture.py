"""``--picture paper``: what each model's own processor makes of the paper's 224 pixels, and what llama.cpp encodes.

The sizes are those that transformers' processors compute (`benchmarks/processors.py` compares every pixel with them);
the pixels are computed again here with Pillow alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.Image import Resampling
from random_models import FAMILIES, Family
from raw_pixels import watched

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.picture import CLIP_MEAN, PROCESSORS, Encoder, Preparation, processor_of
from tvcli.engine.protocol import ImageTokens, Settings
from tvcli.errors import UnavailableError
from tvcli.images import Image
from tvcli.kinds import Picture
from tvcli.prompts.prompt import Prompt, prompt_of, zero_shot

CLIP: Mapping[str, Any] = {"clip.vision.image_mean": list(CLIP_MEAN)}
PINPOINTS: Mapping[str, Any] = {"clip.vision.image_grid_pinpoints": [56, 112, 112, 56]}


def noise(width: int, height: int, seed: int = 0) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8), f"{width} × {height}")


def with_keys(name: str, keys: Mapping[str, Any]) -> Family:
    made = FAMILIES[name]()
    assert made.vision is not None
    return replace(made, vision=replace(made.vision, metadata={**made.vision.metadata, **keys}))


def prepared(folder: Path, name: str, image: Image, **keys: Any) -> np.ndarray:
    """The pixels that mtmd gets, uint8 (height, width, 3)."""
    family = with_keys(name, keys)
    assert family.vision is not None
    return Preparation(Picture.PAPER, family.vision.write(folder / "mmproj.gguf")).image(image).pixels


def paper(image: Image) -> Pillow.Image:
    """xpatch_dataset.py: open_image."""
    whole = Pillow.fromarray(image.pixels)
    return whole.resize((224, int(224 / whole.width * whole.height)))


# -- Pillow alone -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "middle", "box"),
    [
        ((300, 200), (84, 56), (14, 0, 70, 56)),  # 224 × 149: 84.2
        ((200, 300), (56, 84), (0, 14, 56, 70)),
        ((224, 224), (56, 56), (0, 0, 56, 56)),
        ((224, 90), (139, 56), (41, 0, 97, 56)),
        ((11, 17), (56, 86), (0, 15, 56, 71)),
    ],
)
def test_clip_resizes_the_shorter_side_and_cuts_out_the_center(
    tmp_path: Path, size: tuple[int, int], middle: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    image = noise(*size)
    expected = paper(image).resize(middle, Resampling.BICUBIC).crop(box)
    assert np.array_equal(prepared(tmp_path, "llava", image, **CLIP), np.asarray(expected))


def stretched(side: int, how: Resampling) -> Callable[[Pillow.Image], Pillow.Image]:
    return lambda image: image.resize((side, side), how)


def idefics3(image: Pillow.Image) -> Pillow.Image:
    return image.resize((112, 74), Resampling.LANCZOS).resize((56, 56), Resampling.LANCZOS)


def to(width: int, height: int, how: Resampling = Resampling.BICUBIC) -> Callable[[Pillow.Image], Pillow.Image]:
    return lambda image: image.resize((width, height), how)


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("llava", {}, stretched(56, Resampling.BICUBIC)),  # SigLIP
        ("llava", {**CLIP, **PINPOINTS}, stretched(56, Resampling.BICUBIC)),  # LLaVA-NeXT
        ("internvl", {}, stretched(56, Resampling.BICUBIC)),
        ("gemma3-vision", {}, stretched(112, Resampling.BILINEAR)),
        ("smolvlm", {}, idefics3),
        ("qwen2vl", {}, to(224, 140)),
        ("qwen25vl", {}, to(224, 140)),
        ("qwen3vl", {}, to(320, 224)),  # at least 256 × 256 pixels
        ("pixtral", {}, to(224, 154)),
        ("minicpmv", {}, to(560, 392)),
        ("lfm2vl", {}, to(320, 224, Resampling.BILINEAR)),  # at least 64 tokens
    ],
)
def test_every_family_is_resized_as_its_own_processor_does(
    tmp_path: Path, name: str, keys: Mapping[str, Any], expected: Callable[[Pillow.Image], Pillow.Image]
) -> None:
    image = noise(300, 200)
    assert np.array_equal(prepared(tmp_path, name, image, **keys), np.asarray(expected(paper(image))))


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("qwen2vl", (900, 45), (280, 28)),  # 224 × 11: fewer than 3136 pixels
        ("qwen2vl", (100, 1000), (224, 2240)),
        ("qwen3vl", (900, 45), (1184, 64)),
        ("pixtral", (100, 1000), (112, 1036)),  # 224 × 2240: at most 1024, up to whole patches
        ("lfm2vl", (100, 1000), (160, 1600)),  # 256 tokens
        ("lfm2vl", (900, 45), (1184, 64)),
        ("smolvlm", (1, 150), (56, 56)),
        ("minicpmv", (100, 1000), (168, 1400)),
    ],
)
def test_sizes_of_narrow_images(tmp_path: Path, name: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert prepared(tmp_path, name, noise(*size)).shape == (*expected[::-1], 3)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((224, 149), (960, 624)), ((224, 224), (768, 768)), ((224, 2), (8496, 48)), ((2, 400), (48, 11328))],
)
def test_gemma_4_fills_its_280_tokens(size: tuple[int, int], expected: tuple[int, int]) -> None:
    encoder = Encoder("gemma4v", 224, 48, 16, 896, (0.0, 0.0, 0.0), has_pinpoints=False)
    processor = processor_of(encoder)
    assert processor is not None
    assert processor.resize(Pillow.new("RGB", size), encoder).size == expected


def test_the_model_gets_all_pixels_as_they_are(tmp_path: Path) -> None:
    image = noise(300, 200)
    preparation = Preparation(Picture.MODEL, tmp_path / "not opened")
    assert preparation.image(image) is image
    assert (preparation.limits, preparation.untiled) == ((-1, -1), None)


def test_an_unknown_processor_gets_the_papers_width_and_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = noise(300, 200)
    with caplog.at_level(logging.INFO, "tvcli"):
        pixels = prepared(tmp_path, "llava", image, **{"clip.projector_type": "nemotron_v2_vl"})
    assert np.array_equal(pixels, np.asarray(paper(image)))
    assert "processor of nemotron_v2_vl models" in caplog.text


def test_an_image_is_made_once_while_it_exists(tmp_path: Path) -> None:
    vision = FAMILIES["internvl"]().vision
    assert vision is not None
    preparation, image = Preparation(Picture.PAPER, vision.write(tmp_path / "mmproj.gguf")), noise(30, 20)
    assert preparation.image(image) is preparation.image(image)


def test_a_file_that_is_no_mmproj_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("x").write_bytes(b"GGUFx")
    with pytest.raises(UnavailableError, match="cannot be read"):
        Preparation(Picture.PAPER, tmp_path / "x")


# -- what llama.cpp encodes -------------------------------------------------------------------------------------------

SIZES = ((300, 200), (200, 300), (224, 224), (17, 11), (400, 20))
KNOWN = {"mlp", *PROCESSORS}  # of other projectors' images llama.cpp itself resizes the 224 pixels' width
SEEING = [
    name
    for name, make in FAMILIES.items()
    if (vision := make().vision) is not None
    and KNOWN & {vision.metadata.get(f"clip.{key}") for key in ("projector_type", "vision.projector_type")}
]
NOT_EXACT = {("minicpmv", (400, 20))}  # see `picture._same_area`


@pytest.fixture(scope="module", params=SEEING)
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, LlamaEngine, list[np.ndarray], Preparation]]:
    """A family's engine, what its encoder gets, and what it should get."""
    family = with_keys(request.param, CLIP if request.param == "llava" else {})
    files = family.write(tmp_path_factory.mktemp(request.param))
    assert files.vision is not None
    settings = Settings(gpu_layers=0, threads=1, picture=Picture.PAPER)
    with watched() as found, LlamaEngine(files.text, files.vision, settings) as engine:
        yield request.param, engine, found, Preparation(Picture.PAPER, files.vision)


def normalization(name: str) -> list[np.ndarray]:
    """Mean and standard deviation in the family's file, float32 (3,) each."""
    vision = with_keys(name, CLIP if name == "llava" else {}).vision
    assert vision is not None
    return [np.array(vision.metadata[f"clip.vision.image_{key}"], np.float32) for key in ("mean", "std")]


@pytest.mark.model
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_llama_cpp_changes_nothing_but_normalizes(
    seen: tuple[str, LlamaEngine, list[np.ndarray], Preparation], size: tuple[int, int]
) -> None:
    name, engine, found, preparation = seen
    image = noise(*size, seed=len(name))
    found.clear()
    engine.image_tokens(image)
    pixels = preparation.image(image).pixels
    mean, deviation = normalization(name)
    expected = (pixels / np.float32(255) - mean) / deviation
    same = [np.array_equal(values, np.moveaxis(expected, -1, 0)) for values in found]
    assert same == [(name, size) not in NOT_EXACT]  # one image, so no tiles


WRITTEN = {  # what Hugging Face's processors write around an image that is not split
    "smolvlm": ("<fake_token_around_image><global-img>", 4, "<fake_token_around_image>"),
    "minicpmv": ("<image>", 64, "</image>"),
    "internvl": ("<img>", 4, "</img>"),
    "lfm2vl": ("<|image_start|>", 70, "<|image_end|>"),
}


@pytest.mark.model
@pytest.mark.parametrize(
    "prompt",
    [
        zero_shot(noise(300, 200)),
        prompt_of("Q:", noise(300, 200), "\nA: a\n\nQ:", noise(200, 300, 1), "\nA:"),
        prompt_of("Q:", first := noise(300, 200), "\nA: a\n\nQ:", first, "\nA:"),
        prompt_of(noise(300, 200), noise(300, 200, 2), ":"),
    ],
    ids=["one", "two", "twice", "at the start"],
)
def test_no_tiles_are_left_and_no_tokens_of_tiles(
    seen: tuple[str, LlamaEngine, list[np.ndarray], Preparation], prompt: Prompt
) -> None:
    name, engine, _, _ = seen
    if name not in WRITTEN:
        pytest.skip("it never makes tiles")
    before, count, after = WRITTEN[name]
    texts: list[str] = []
    for part in prompt.parts:
        texts.append(part if isinstance(part, str) else f"{before}{'*' * count}{after}")
    layout = engine.layout(prompt)
    written = "".join("*" * piece.count if isinstance(piece, ImageTokens) else piece.text for piece in layout)
    assert written.removeprefix("<|startoftext|>") == "".join(texts)
    assert np.isfinite(engine.logits([prompt])).all()


@pytest.mark.model
def test_images_that_differ_only_under_their_transparency_are_encoded_apart(
    seen: tuple[str, LlamaEngine, list[np.ndarray], Preparation],
) -> None:
    _, engine, _, _ = seen
    look = noise(40, 30)
    under = Image(look.pixels, "under", noise(224, 168, 5).pixels)
    assert look.digest == under.digest
    assert not np.array_equal(engine.image_tokens(look), engine.image_tokens(under))
    engine.forget(under)
    engine.forget(look)
