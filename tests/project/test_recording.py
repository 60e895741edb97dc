"""The README's recording and plot: what makes them, and that they are what it makes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import ROOT

from tvcli import plots
from tvcli.kinds import Method

IMAGES = ROOT / "docs" / "images"
SVG = "{http://www.w3.org/2000/svg}"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


def rows(text: str) -> list[str]:
    return [found.text or "" for found in ElementTree.fromstring(text).iter(f"{SVG}text")]


def test_a_recording_is_what_a_terminal_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    import recording

    monkeypatch.setenv("TV_MODEL", "fake")
    shown = recording.printed("tv prompt --text Cuba --text Peru -v")
    assert re.search(r"^Cuba: no patch; the delimiter .*\nCuba\t", shown)
    assert not re.search(r"[\r\x1b]", shown)
    assert "prompts read" not in recording.DRAWN.sub("", "\r\x1b[Kprompts read 3/30\r\x1b[Kprompts read 4\r\x1b[Kdone")
    assert rows(recording.recording([("tv a", shown), ("tv b", "<x>")]))[-2:] == ["$ tv b", "<x>"]
    with pytest.raises(SystemExit, match="No such option"):
        recording.printed("tv prompt --nothing")


def test_a_long_line_takes_several_rows() -> None:
    import recording

    assert recording.wrapped("a\tb") == ["a       b"]
    assert recording.wrapped("") == [""]
    assert recording.wrapped("x" * 201) == ["x" * 100, "x" * 100, "x"]


def test_the_committed_recording_is_of_the_commands_that_make_it() -> None:
    import recording

    typed = [row for row in rows((IMAGES / "demo.svg").read_text("utf-8")) if row.startswith("$ ")]
    assert typed == [f"$ {command}" for command in recording.COMMANDS]


@pytest.mark.skipif(not plots.available(), reason="needs matplotlib")
def test_the_plot_has_the_readers_colors(tmp_path: Path) -> None:
    import recording

    record = {"answers": dict.fromkeys(Method, "Paris"), "labels": ["Paris"], "layer": 1}
    values = dict(zip(Method, (np.array([0.0]), np.array([0.2]), np.array([0.1, 0.3])), strict=True))
    recording.draw(tmp_path / "flag.svg", record, values)
    text = (tmp_path / "flag.svg").read_text("utf-8")
    styles = re.findall(r'style="([^"]*)"', text)
    found = {value.lower() for style in styles for value in re.findall(r"(?:fill|stroke): ([^;]+)", style)}
    assert found <= {"none", "#000000", "#ffffff", "#b0b0b0", *(color.lower() for color in plots.COLORS)}
    assert ElementTree.fromstring(text).find(f"{SVG}style") is not None


@pytest.mark.parametrize("name", ["demo.svg", "flag.svg"])
def test_an_image_is_for_light_and_dark_and_names_no_folder(name: str) -> None:
    text = (IMAGES / name).read_text("utf-8")
    assert ElementTree.fromstring(text).tag == f"{SVG}svg"
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"(?:^|[\s\"'=])/(?:home|root|tmp|Users)\b", text)
    assert not re.search(r"url\((?!#)|@import|href=\"http", text)
