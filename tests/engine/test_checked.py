"""A model file is checked once, and again when it or the rules change."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import aged

from tvcli.errors import UnavailableError


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Which files were really checked; notes lie in a folder of the test's own."""
    import platformdirs

    from tvcli.engine.gguf import checks

    seen: list[Path] = []
    real = checks.check_model

    def check(path: Path, *rest: Any) -> object:
        seen.append(path)
        return real(path, *rest)

    monkeypatch.setattr(checks, "check_model", check)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return seen


def test_a_file_is_checked_once_and_again_when_it_changes(
    random_model: Path, tmp_path: Path, counted: list[Path]
) -> None:
    from tvcli.engine.gguf.checked import MODEL, checked

    copy = aged(Path(shutil.copy(random_model, tmp_path / "copy.gguf")))
    first = checked(copy, MODEL)
    assert checked(copy, MODEL) == first
    assert len(counted) == 1
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    aged(copy, 30)
    assert checked(copy, MODEL).digest != first.digest
    assert len(counted) == 2
    copy.write_bytes(data[:5000])
    with pytest.raises(UnavailableError, match="truncated"):
        checked(aged(copy, 30), MODEL)


def test_a_file_written_just_now_is_not_noted_as_checked(
    random_model: Path, tmp_path: Path, counted: list[Path]
) -> None:
    from tvcli.engine.gguf.checked import MODEL, checked

    copy = Path(shutil.copy(random_model, tmp_path / "copy.gguf"))
    copy.touch()
    for _ in range(2):
        checked(copy, MODEL)
    assert len(counted) == 2


@pytest.mark.parametrize("note", ["", "{}", "[]", '{"key": {}, "facts": {}}', "[" * 100_000])
def test_a_note_that_is_not_tvs_is_no_note(random_model: Path, tmp_path: Path, counted: list[Path], note: str) -> None:
    from tvcli.engine.gguf.checked import MODEL, checked

    copy = aged(Path(shutil.copy(random_model, tmp_path / "copy.gguf")))
    facts = checked(copy, MODEL)
    [file] = (tmp_path / "cache" / "checked").iterdir()
    file.write_text(note)
    assert checked(copy, MODEL) == facts
    assert len(counted) == 2


def test_other_rules_check_again(
    random_model: Path, tmp_path: Path, counted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tvcli.engine.gguf import checked as module

    copy = aged(Path(shutil.copy(random_model, tmp_path / "copy.gguf")))
    module.checked(copy, module.MODEL)
    monkeypatch.setattr(module, "_rules", lambda: "others")
    module.checked(copy, module.MODEL)
    assert len(counted) == 2
