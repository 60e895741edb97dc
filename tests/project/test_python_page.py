"""The examples of docs/python.md run as they are written, and the types are shipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT

import tvcli

PAGE = ROOT / "docs" / "python.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.model
def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks()):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith("Model('picto', Gemma 3 270m")
    assert "→ Paris" in said.replace("→  ", "→ ")
    assert said.endswith("is closed; open it again\n")


def test_the_page_is_one_page() -> None:
    assert len(PAGE.read_text("utf-8").splitlines()) <= 100
    assert len(blocks()) >= 8


def test_the_types_are_shipped() -> None:
    assert (Path(tvcli.__file__).parent / "py.typed").read_bytes() == b""
