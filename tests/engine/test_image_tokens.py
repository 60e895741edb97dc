"""Image tokens are the model's, row by row, against encoders written in NumPy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import contract
import numpy as np
import numpy_eyes
import pytest
from numpy_eyes import Eyes
from random_models import Family
from random_models.llama import llava, llava_named_layer, llava_whole
from random_models.qwen import internvl

from tvcli.engine.gguf.repair import CLASS_FIRST_SENTENCE, NONE, UNKNOWN_DEPTH, Repair
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Settings
from tvcli.images import Image

pytestmark = pytest.mark.model

IMAGES = 3
ALIKE = 0.99999  # cosine of a token; llama.cpp looks gelu up in a table of 16-bit numbers


@dataclass(frozen=True)
class Case:
    """A family, its image tokens in NumPy, and what is repaired."""

    make: Callable[[], Family]
    tokens: Callable[[Eyes, np.ndarray], np.ndarray]
    eyes: Callable[[Family], Eyes]
    identity: str
    said: list[str]


ALL_BLOCKS = "all 2 blocks of the image encoder are computed; llama.cpp alone omits the last"
CASES = {
    "llava": Case(
        llava,
        numpy_eyes.llava,
        lambda family: Eyes(family, 2, inner=("ffn_down", "ffn_up")),
        "class token first, 2 blocks",
        [CLASS_FIRST_SENTENCE, ALL_BLOCKS],
    ),
    "llava with the layer's key": Case(
        llava_named_layer,
        numpy_eyes.llava,
        lambda family: Eyes(family, 2),
        "class token first",
        [CLASS_FIRST_SENTENCE],
    ),
    "llava with every block": Case(
        llava_whole,
        numpy_eyes.llava,
        lambda family: Eyes(family, 2),
        "class token first",
        [CLASS_FIRST_SENTENCE, UNKNOWN_DEPTH],
    ),
    "internvl": Case(
        internvl,
        numpy_eyes.internvl,
        lambda family: Eyes(family, 4, numpy_eyes.gelu),
        "class token first",
        [CLASS_FIRST_SENTENCE],
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def engine(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    with contract.engine_of(case.make(), tmp_path_factory.mktemp("eyes")) as engine:
        yield engine


def pictures(case: Case) -> list[Image]:
    size = case.make().image
    assert size is not None
    return [contract.random_picture(size, seed) for seed in range(IMAGES)]


def likeness(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Cosines of every row of one with every row of the other, (n, n)."""
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (ours, theirs))
    return np.asarray(one @ other.T)


def test_every_image_token_is_the_models(case: Case, engine: LlamaEngine) -> None:
    eyes = case.eyes(case.make())
    for picture in pictures(case):  # several in turn: what is changed in memory must be changed once
        ours, theirs = engine.image_tokens(picture), case.tokens(eyes, picture.pixels)
        assert ours.shape == theirs.shape
        alike = likeness(ours, theirs)
        assert np.diag(alike).min() > ALIKE
        assert alike.argmax(axis=1).tolist() == list(range(len(ours)))
        assert np.allclose(ours, theirs, atol=0.02 * np.abs(theirs).max())


def test_what_is_repaired_is_said_once_an_image_was_encoded(case: Case, tmp_path: Path) -> None:
    with contract.engine_of(case.make(), tmp_path) as engine:
        assert CLASS_FIRST_SENTENCE not in engine.repairs
        engine.image_tokens(pictures(case)[0])
        assert engine.repairs == case.said
        assert engine.identity["vision"] == case.identity


@pytest.mark.parametrize("name", ["llava", "internvl"])
def test_llama_cpp_alone_computes_other_tokens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a newer llama.cpp needs no repair, and tv needs no `class_token`."""
    case = CASES[name]
    monkeypatch.setattr("tvcli.engine.gguf.checks.repair", lambda header: NONE)
    with contract.engine_of(case.make(), tmp_path) as engine:
        picture = pictures(case)[0]
        alike = likeness(engine.image_tokens(picture), case.tokens(case.eyes(case.make()), picture.pixels))
        assert np.diag(alike).mean() < 0.95
        assert engine.repairs == []
        assert "vision" not in engine.identity


def test_the_last_block_alone_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["llava"]
    monkeypatch.setattr("tvcli.engine.gguf.checks.repair", lambda header: Repair(class_first=True))
    with contract.engine_of(case.make(), tmp_path) as engine:
        picture, eyes = pictures(case)[0], case.eyes(case.make())
        ours = engine.image_tokens(picture)
    assert np.diag(likeness(ours, case.tokens(eyes, picture.pixels))).min() < 0.99
    assert np.diag(likeness(ours, case.tokens(replace(eyes, blocks=1), picture.pixels))).min() > ALIKE


def test_a_file_that_does_not_show_its_depth_is_left_alone_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tvcli"), contract.engine_of(llava_whole(), tmp_path):
        assert [record.getMessage() for record in caplog.records] == [f"{tmp_path / 'mmproj.gguf'}: {UNKNOWN_DEPTH}"]


def test_the_copy_is_removed_and_the_files_digest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tvcli.engine.gguf.checks import gguf_digest

    folder, files = tmp_path / "temporary", llava().write(tmp_path)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert files.vision is not None
    seen: list[float] = []
    settings = Settings(threads=1, progress=seen.append)
    with (
        caplog.at_level(logging.DEBUG, "tvcli"),
        LlamaEngine(files.text, files.vision, settings) as engine,
    ):
        engine.image_tokens(pictures(CASES["llava"])[0])
        assert not list(folder.iterdir())
        assert engine.identity["mmproj"] == gguf_digest([files.vision])
    assert 1.0 in seen
    assert {f"{files.vision}: {ALL_BLOCKS}", CLASS_FIRST_SENTENCE} <= set(caplog.messages)
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}  # only `-v` prints them
