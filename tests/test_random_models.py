"""Every architecture: small random models in llama.cpp's true format, run by the real engine.

Weights are float32 and logits far apart, so that what differs between kernels (a rounding of the 16-bit
KV cache) stays below a hundredth of what a patch does.
"""

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import PAIRS, Runner
from PIL import Image as Pillow
from random_models import FAMILIES, Family
from random_models.family import Size
from random_models.refused import REFUSED

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Decoding, Patch, Settings, tail
from tvcli.engine.vision import ImageChunk
from tvcli.images import Image
from tvcli.prompts.prompt import Prompt, prompt_of, zero_shot

pytestmark = pytest.mark.model
ROUNDING = 0.01

# how many image tokens each picture of a family becomes, run by run
CHUNKS = {
    "llava": {"one": [16], "two": [16, 16]},
    "smolvlm": {"one": [4, 4, 4], "two": [4] * 6, "tiled": [4] * 5},
    "pixtral": {"one": [103], "two": [103, 103]},
    "qwen2vl": {"one": [12], "two": [12, 12]},
    "qwen25vl": {"one": [12], "two": [12, 12]},
    "qwen3vl": {"one": [12], "two": [12, 12]},
    "gemma3-vision": {"one": [4], "two": [4, 4]},
    "internvl": {"one": [4], "two": [4, 4], "tiled": [4] * 5},
    "minicpmv": {"one": [64], "two": [64, 64], "tiled": [64] * 3},
    "lfm2vl": {"one": [64], "two": [64, 64], "tiled": [256, 256, 231]},
}


def noise(size: Size, seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), f"noise {seed}")


def prompts_of(family: Family) -> dict[str, Prompt]:
    """A short text, a longer one, and where the family sees: one picture, two, and one that is cut into tiles."""
    prompts = {
        "short": zero_shot("Greece"),
        "long": zero_shot("the capital of the country France is Paris, and of Peru Lima"),
    }
    if family.image is not None:
        first, second = noise(family.image, 1), noise(family.image, 2)
        prompts["one"] = zero_shot(first)
        prompts["two"] = prompt_of("Q:", first, "\nA: Paris\n\nQ:", second, "\nA:")
    if family.tiled is not None:
        prompts["tiled"] = zero_shot(noise(family.tiled, 3))
    return prompts


@dataclass(frozen=True)
class Opened:
    name: str
    engine: LlamaEngine
    prompts: dict[str, Prompt]

    def patches(self, prompt: Prompt) -> list[Patch]:
        """One random row for each layer, as large as the prompt's own."""
        [own] = self.engine.read([prompt])
        rng = np.random.default_rng(0)
        return [Patch(n, (rng.standard_normal(len(row)) * row.std()).astype(np.float32)) for n, row in enumerate(own)]


@pytest.fixture(scope="module", autouse=True)
def _fresh_memory_is_zero() -> None:
    """llama.cpp's Pixtral graph multiplies memory that nobody wrote by zero, so NaN left in it stays.

    Buffers of real models come fresh from the system, as zeros; these small ones come from the heap, unless
    glibc is told otherwise (M_MMAP_THRESHOLD).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(-3, 1 << 16)


@pytest.fixture(scope="module", params=FAMILIES)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    family = FAMILIES[request.param]()
    files = family.write(tmp_path_factory.mktemp(request.param))
    with LlamaEngine(files.text, files.vision, Settings(threads=1)) as engine:
        yield Opened(request.param, engine, prompts_of(family))


def test_the_delimiter_is_the_same_token_after_text_images_and_tiles(opened: Opened) -> None:
    tails = {name: tail(opened.engine, prompt, 3) for name, prompt in opened.prompts.items()}
    assert {tail[-1].text for tail in tails.values()} == {":"}
    assert len({tail[-1].id for tail in tails.values()}) == 1
    assert {tail[-2].text for tail in tails.values()} == {"A"}


def test_pictures_become_the_familys_runs_of_tokens(opened: Opened) -> None:
    runs = {
        name: [segment.n_tokens for segment in opened.engine._encode(prompt).prefix if isinstance(segment, ImageChunk)]
        for name, prompt in opened.prompts.items()
    }
    assert {name: run for name, run in runs.items() if run} == CHUNKS.get(opened.name, {})


def test_a_patch_at_any_layer_is_llama_cpps_own_adapter(opened: Opened) -> None:
    for name, prompt in opened.prompts.items():
        [plain] = opened.engine.logits([prompt])[0]
        for patch in opened.patches(prompt)[1:]:
            [patched] = opened.engine.logits([prompt], [patch])[0]
            difference = np.abs(opened.engine.logits_by_adapter(prompt, patch) - patched).max()
            assert difference < ROUNDING * np.abs(patched - plain).max(), (name, patch.layer)


def test_a_sweep_is_its_single_runs(opened: Opened) -> None:
    for name, prompt in opened.prompts.items():
        patches = opened.patches(prompt)
        plain, *sweep = opened.engine.logits([prompt], [None, *patches])[0]
        single = [opened.engine.logits([prompt], [patch])[0, 0] for patch in patches]
        for layer, (one, other) in enumerate(zip(sweep, single, strict=True)):
            assert np.abs(one - other).max() < ROUNDING * np.abs(other - plain).max(), (name, layer)
            assert one.argmax() == other.argmax(), (name, layer)


def test_prompts_of_every_kind_share_a_batch_in_any_order(opened: Opened) -> None:
    prompts = list(opened.prompts.values())
    alone = np.concatenate([opened.engine.read([prompt]) for prompt in prompts])
    for order in (list(range(len(prompts))), list(range(len(prompts)))[::-1]):
        together = opened.engine.read([prompts[i] for i in order])
        assert np.abs(together - alone[order]).max() < ROUNDING * np.abs(alone).max()


def test_a_query_patched_with_its_own_residual_keeps_every_bit(opened: Opened) -> None:
    for prompt in opened.prompts.values():
        [own], plain = opened.engine.read([prompt]), opened.engine.logits([prompt])
        for layer, row in enumerate(own):
            assert np.array_equal(opened.engine.logits([prompt], [Patch(layer, row)]), plain)


def test_layers_below_a_patch_keep_every_bit_and_those_above_do_not(opened: Opened) -> None:
    for prompt in opened.prompts.values():
        [own] = opened.engine.read([prompt])
        for patch in opened.patches(prompt):
            [patched] = opened.engine.read([prompt], patch)
            same = [np.array_equal(a, b) for a, b in zip(patched, own, strict=True)]
            assert same == [layer < patch.layer for layer in range(len(own))]


def test_what_ran_before_leaves_no_trace(opened: Opened) -> None:
    """Nor does an image that was decoded without causality, or a recurrent state that went on."""
    before = {name: opened.engine.logits([prompt]) for name, prompt in opened.prompts.items()}
    everything = list(opened.prompts.values())
    opened.engine.answer(everything, opened.patches(everything[0]), Decoding(5, stop_at_newline=False))
    for name, prompt in reversed(opened.prompts.items()):
        assert np.array_equal(opened.engine.logits([prompt]), before[name]), name


def test_every_picture_of_a_prompt_and_every_part_of_it_is_seen(opened: Opened) -> None:
    for prompt in opened.prompts.values():
        [own] = opened.engine.read([prompt])
        for number, image in enumerate(prompt.images):
            for corner in (0, -1):  # the first tile and the last, the first patch and the last
                pixels = image.pixels.copy()
                pixels[corner, corner] = 255 - pixels[corner, corner]
                other = Image(pixels, f"{image.name}, {corner}")
                parts = [other if part is image else part for part in prompt.parts]
                [changed] = opened.engine.read([Prompt(tuple(parts))])
                assert not np.array_equal(changed[-1], own[-1]), (number, corner)


def test_tv_extracts_applies_and_sweeps(opened: Opened, tmp_path: Path, tv: Runner) -> None:
    family = FAMILIES[opened.name]()
    files = family.write(tmp_path)
    model = ["-m", files.text, "--threads", 1, *(["--mmproj", files.vision] if files.vision else [])]
    pairs, picture, vector = tmp_path / "pairs.txt", tmp_path / "picture.png", tmp_path / "vector.npy"
    pairs.write_text("".join(f"{x}\t{y}\n" for x, y in PAIRS))
    Pillow.fromarray(noise(family.image or (8, 8), 1).pixels).save(picture)
    query = ["-i", picture] if family.image else ["-t", "Peru"]
    assert tv("extract", "-e", pairs, "-o", vector, *model).code == 0
    one, every = tv("apply", vector, "--layer", 1, *query, *model), tv("apply", vector, "-l", "all", *query, *model)
    assert (one.code, every.code) == (0, 0), one.err + every.err
    assert len(every.out.splitlines()) == opened.engine.model.n_layer


# -- what tv cannot use -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_other_kinds_of_models_are_refused_by_name(name: str, tmp_path: Path, tv: Runner) -> None:
    make, words = REFUSED[name]
    ran = tv("prompt", "-t", "x", "-m", make().write(tmp_path / "model.gguf"), "--threads", 1)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.count("\n") == 1, ran.err
    [sentence] = ran.err.splitlines()
    assert words in sentence
    assert name in sentence
