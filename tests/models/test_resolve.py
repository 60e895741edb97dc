"""A model's name, path or repository to its files."""

from pathlib import Path

import pytest

from tvcli.errors import UnavailableError
from tvcli.models.catalog import OnHub
from tvcli.models.resolve import describe, is_here, resolve


def test_a_path_is_a_model_and_takes_an_mmproj(ggufs: tuple[Path, Path]) -> None:
    files = resolve(str(ggufs[0]), ggufs[1])
    assert (files.text, files.vision, files.layer) == (*ggufs, None)


def test_a_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picto").write_bytes(b"x")
    assert resolve("picto").text == Path("picto")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnavailableError, match=r"unknown model 'nope'.*picto"):
        resolve("nope")


def test_a_repository_is_a_model_with_or_without_a_quantization() -> None:
    assert describe("owner/repo").files == OnHub("owner/repo")
    assert describe("owner/repo:Q8_0").files == OnHub("owner/repo", quant="Q8_0")
    assert describe("owner/repo", "Q4_0").files == OnHub("owner/repo", quant="Q4_0")


def test_a_model_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install 'tvcli\[demo\]'"):
        resolve("picto")
    assert not is_here(describe("picto"))
