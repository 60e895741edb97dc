"""Plots: their format and folder are checked before the work, and names are drawn as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvcli.errors import UsageError
from tvcli.plots import available, check_plot_file, curves, drawn, intervals, maps, matrices

needs_matplotlib = pytest.mark.skipif(not available(), reason="needs matplotlib")


def test_a_picture_is_checked_before_the_work(tmp_path: Path) -> None:
    check_plot_file(tmp_path / "a.png")
    for name in ("a.jpg", "a", "no/such/a.png"):
        with pytest.raises(UsageError):
            check_plot_file(tmp_path / name)


@needs_matplotlib
@pytest.mark.parametrize("name", ["d$$", "c$x$", r"a\$b"])
def test_a_dollar_in_a_name_is_drawn_as_it_is(tmp_path: Path, name: str) -> None:
    """matplotlib/matplotlib#20266."""
    matrices(tmp_path / "a.svg", {name: np.eye(2)}, [name, "b"], title=name)
    curves(tmp_path / "b.svg", {name: [0, 1], "other": [1, 0]}, x=name, y=name)
    assert "<!-- " + name + " -->" in (tmp_path / "a.svg").read_text("utf-8")


@needs_matplotlib
def test_a_name_that_begins_with_an_underscore_is_in_the_legend(tmp_path: Path) -> None:
    """matplotlib/matplotlib#21295."""
    maps(tmp_path / "m.svg", {"p": np.eye(2)}, ["_odd", "plain"], ["text", "text"])
    curves(tmp_path / "c.svg", {"_odd": [0, 1], "plain": [1, 0]}, x="x", y="y")
    assert all("_odd" in (tmp_path / name).read_text("utf-8") for name in ("m.svg", "c.svg"))


@needs_matplotlib
def test_characters_that_the_font_lacks_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """pyfa-org/Pyfa#2768."""
    curves(tmp_path / "c.png", {"a": [0, 1], "東京": [1, 0]}, x="x", y="y")
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 'c.png'}: the font lacks characters of the names, which are drawn as boxes"
    ]


@needs_matplotlib
def test_intervals_are_drawn_where_their_numbers_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tvcli import plots

    kept: list[Any] = []
    monkeypatch.setattr(plots, "_save", lambda path, figure: kept.append(figure))
    intervals(tmp_path / "i.svg", {"prompt": [(0.5, 0.4, 0.75)], "patch": [(0.25, 0, 0.5)]}, ["capital"], y="accuracy")
    [axes] = kept[0].axes
    found = {
        bars.get_label(): [*bars.lines[0].get_ydata(), *bars.lines[2][0].get_segments()[0][:, 1]]
        for bars in axes.containers
    }
    assert list(found) == ["prompt", "patch"]
    assert found["prompt"] == pytest.approx([0.5, 0.4, 0.75])
    assert found["patch"] == pytest.approx([0.25, 0, 0.5])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["capital"]


@needs_matplotlib
@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_plot_is_drawn_without_a_file(suffix: str, start: bytes) -> None:
    plot = drawn(lambda path: curves(path, {"a": [0.0, 1.0]}, x="layer", y="accuracy"), suffix)
    assert plot.startswith(start)
