"""Every architecture: small random models in llama.cpp's true format, run by the real engine.

Weights are float32 and logits far apart, so that what differs between kernels (a rounding of the 16-bit
KV cache) stays below a hundredth of what a patch does.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import contract
import pytest
from conftest import PAIRS, Runner
from contract import EVERY, EXACT, Check, Subject
from PIL import Image as Pillow
from random_models import FAMILIES
from random_models.refused import REFUSED

from tvcli.engine.protocol import ImageTokens

pytestmark = pytest.mark.model

# how many image tokens each picture of a family becomes, run by run
CHUNKS = {
    "llava": {"one": [16], "two": [16, 16]},
    "smolvlm": {"one": [4, 4, 4], "two": [4] * 6, "tiled": [4] * 5},
    "pixtral": {"one": [103], "two": [103, 103]},
    "qwen2vl": {"one": [12], "two": [12, 12]},
    "qwen25vl": {"one": [12], "two": [12, 12]},
    "qwen3vl": {"one": [12], "two": [12, 12]},
    "qwen35-vision": {"one": [12], "two": [12, 12]},
    "gemma3-vision": {"one": [4], "two": [4, 4]},
    "gemma4-vision": {"one": [70], "two": [70, 70]},
    "gemma4-unified": {"one": [70], "two": [70, 70]},
    "internvl": {"one": [4], "two": [4, 4], "tiled": [4] * 5},
    "minicpmv": {"one": [64], "two": [64, 64], "tiled": [64] * 3},
    "lfm2vl": {"one": [64], "two": [64, 64], "tiled": [256, 256, 231]},
    "mistral3": {"one": [27], "two": [27, 27]},
    "glm4v": {"one": [12], "two": [12, 12]},
    "lfm25vl": {"one": [64], "two": [64, 64], "tiled": [256, 256, 231]},
    "llama4": {"one": [4], "two": [4, 4], "tiled": [4] * 5},
    "kimivl": {"one": [12], "two": [12, 12]},
}


@dataclass(frozen=True)
class Opened:
    name: str
    subject: Subject


@pytest.fixture(scope="module", params=FAMILIES)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    family = FAMILIES[request.param]()
    with contract.engine_of(family, tmp_path_factory.mktemp(request.param)) as engine:
        yield Opened(request.param, Subject(engine, contract.prompts_of(family), rounding=0.01))


@pytest.mark.parametrize("check", [*EVERY, *EXACT], ids=lambda check: check.__name__)
def test_every_family(opened: Opened, check: Check) -> None:
    check(opened.subject)


def test_pictures_become_the_familys_runs_of_tokens(opened: Opened) -> None:
    layouts = {name: opened.subject.engine.layout(prompt) for name, prompt in opened.subject.prompts.items()}
    runs = {name: [p.count for p in layout if isinstance(p, ImageTokens)] for name, layout in layouts.items()}
    assert {name: run for name, run in runs.items() if run} == CHUNKS.get(opened.name, {})


def test_tv_extracts_applies_and_sweeps(opened: Opened, tmp_path: Path, tv: Runner) -> None:
    family = FAMILIES[opened.name]()
    files = family.write(tmp_path)
    model = ["-m", files.text, "--threads", 1, *(["--mmproj", files.vision] if files.vision else [])]
    pairs, picture, vector = tmp_path / "pairs.txt", tmp_path / "picture.png", tmp_path / "vector.npy"
    pairs.write_text("".join(f"{x}\t{y}\n" for x, y in PAIRS))
    Pillow.fromarray(contract.random_picture(family.image or (8, 8), 1).pixels).save(picture)
    query = ["-i", picture] if family.image else ["-t", "Peru"]
    assert tv("extract", "-e", pairs, "-o", vector, *model).code == 0
    one, every = tv("apply", vector, "--layer", 1, *query, *model), tv("apply", vector, "-l", "all", *query, *model)
    assert (one.code, every.code) == (0, 0), one.err + every.err
    assert len(every.out.splitlines()) == opened.subject.n_layer


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
