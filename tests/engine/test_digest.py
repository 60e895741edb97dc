"""A model's digest is of every byte of its files, and the file is read for it once."""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tiny_gguf
from conftest import aged
from tiny_gguf import I32, U16

from tvcli.engine.gguf import checks
from tvcli.engine.gguf.checked import MMPROJ, MODEL, Facts, checked
from tvcli.engine.gguf.checks import SAMPLE, gguf_digest
from tvcli.errors import UnavailableError
from tvcli.vector import ModelInfo, told_apart


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """What was read through; notes lie in a folder of the test's own."""
    import platformdirs

    seen: list[Path] = []
    real = checks.gguf_digest

    def digest(parts: list[Path], *rest: object) -> str:
        seen.extend(parts)
        return real(parts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(checks, "gguf_digest", digest)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return seen


def of_0_1_0(path: Path) -> str:
    """As tv 0.1.0 computed it: its vectors are in people's folders."""
    data = path.read_bytes()
    return hashlib.sha256(str(len(data)).encode() + data[:SAMPLE] + data[max(0, len(data) - SAMPLE) :]).hexdigest()[:16]


@pytest.mark.parametrize("at", [0, SAMPLE - 1, SAMPLE, 2 * SAMPLE, 4 * SAMPLE, -1])
def test_every_byte_counts(tmp_path: Path, at: int) -> None:
    data = bytearray(np.random.default_rng(1).bytes(5 * SAMPLE + 3))
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    before = gguf_digest([path])
    assert before == of_0_1_0(path) + hashlib.sha256(data).hexdigest()[:32]
    data[at] ^= 1
    path.write_bytes(data)
    after = gguf_digest([path])
    assert after != before
    assert (after[:16] == before[:16]) == (SAMPLE <= at <= 4 * SAMPLE)  # what 0.1.0 did not look at


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(3 * checks.CHUNK + 1))
    heard: list[float] = []
    gguf_digest([path, path], heard.append)
    assert heard == sorted(heard)
    assert heard[0] < 0.2
    assert heard[-1] == 1


def test_a_file_is_read_through_once_and_tells_how_far_it_is(
    random_model: Path, tmp_path: Path, hashed: list[Path]
) -> None:
    copy = aged(Path(shutil.copy(random_model, tmp_path / "copy.gguf")))
    heard: list[float] = []
    first = checked(copy, MODEL, heard.append)
    assert heard[-1] == 1
    assert checked(copy, MODEL, heard.append) == first
    assert hashed == [copy]
    assert len(first.digest) == 48


def parts(folder: Path) -> list[Path]:
    """The tiny model, and a second file that says it belongs to it."""
    folder.mkdir()
    paths = [folder / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    for number, path in enumerate(paths):
        keys = {"split__count": (U16, 2), "split__no": (U16, number), "split__tensors__count": (I32, 20)}
        path.write_bytes(bytes(tiny_gguf.model().with_keys(**keys)))
        aged(path)
    return paths


def test_all_files_of_a_model_in_parts_count_and_are_read_once(tmp_path: Path, hashed: list[Path]) -> None:
    first, second = parts(tmp_path / "m")
    before = checked(first, MODEL)
    assert checked(first, MODEL) == before
    assert hashed == [first, second]
    data = bytearray(second.read_bytes())
    data[-1] ^= 1
    second.write_bytes(data)
    aged(second, 30)
    after = checked(first, MODEL)
    assert hashed == [first, second] * 2
    assert after.digest != before.digest
    second.unlink()
    with pytest.raises(UnavailableError, match=r"m-00002-of-00002\.gguf is missing"):
        checked(first, MODEL)


def test_a_name_like_a_parts_asks_for_no_other_file(tmp_path: Path, hashed: list[Path]) -> None:
    alone = tmp_path / "m-00001-of-00002.gguf"
    alone.write_bytes(bytes(tiny_gguf.model()))
    assert isinstance(checked(aged(alone), MODEL), Facts)
    vision = tmp_path / "v-00001-of-00002.gguf"
    vision.write_bytes(bytes(tiny_gguf.vision()))
    assert isinstance(checked(aged(vision), MMPROJ), Facts)
    assert hashed == [alone, vision]


# -- which models are the same ----------------------------------------------------------------------------------------

WHOLE = "47aae3d8bfb5f941" + 32 * "a"
GEMMA = ModelInfo("gemma3", "Gemma", 18, 640, "Q4_K_M", WHOLE)


def info(**changes: str) -> ModelInfo:
    return ModelInfo(**{**asdict(GEMMA), **changes})


@pytest.mark.parametrize(
    ("digest", "same"),
    [
        (WHOLE, True),
        (WHOLE[:16], True),  # of tv 0.1.0, which knows no more
        (WHOLE[:16] + 32 * "b", False),
        ("0" * 16, False),
        ("", True),
        (WHOLE[:4], False),
    ],
)
def test_a_vector_of_the_last_release_belongs_to_its_model(digest: str, same: bool) -> None:
    assert GEMMA.same_as(info(digest=digest)) is same
    assert info(digest=digest).same_as(GEMMA) is same


def test_two_models_are_called_by_what_tells_them_apart() -> None:
    assert told_apart(GEMMA, info(name="Other")) == (
        "Gemma (gemma3, 18 layers × 640)",
        "Other (gemma3, 18 layers × 640)",
    )
    assert told_apart(GEMMA, info(quantization="Q2_K", digest="x")) == (
        "Gemma (gemma3, 18 layers × 640) Q4_K_M",
        "Gemma (gemma3, 18 layers × 640) Q2_K",
    )
    assert told_apart(GEMMA, info(quantization=""))[1].endswith("of unknown quantization")
    assert told_apart(GEMMA, info(digest="x"))[1] == "Gemma (gemma3, 18 layers × 640) Q4_K_M, file x"
    assert not GEMMA.same_as(info(name="Other", digest=""))
