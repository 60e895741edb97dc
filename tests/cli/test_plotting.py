"""`--plot` of `tv eval`, and every command without the extra that draws."""

from pathlib import Path

import pytest
from conftest import Runner

SMALL = ["-T", "food-color", "-T", "animal-young", "--limit", 5]


def test_eval_draws_the_accuracy_over_layers(tv: Runner, tmp_path: Path) -> None:
    ran = tv("eval", *SMALL, "--seeds", 1, "--pairs", "all", "--plot", tmp_path / "layers.pdf")
    assert ran.code == 0
    assert (tmp_path / "layers.pdf").read_bytes().startswith(b"%PDF")


def test_without_the_extra_every_command_works_and_says_how_to_get_pictures(
    tv: Runner, three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    missing = {"matplotlib", "sklearn"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name in missing else found(name, *a))
    assert tv("compare", *three).code == 0
    assert "pip install 'tvcli[plots]'" in tv("lens", "-T", "food-color", "-v").err
    assert tv("map", *SMALL).code == 0
    assert tv("eval", *SMALL, "--seeds", 1).code == 0
    ran = tv("report", *SMALL, "--seeds", 1, "-o", tmp_path / "r.html")
    assert ran.code == 0
    assert "without plots; to draw them, run: pip install 'tvcli[plots]'" in ran.err
    assert "<svg" not in (tmp_path / "r.html").read_text("utf-8")
    ran = tv("compare", *three, "--plot", tmp_path / "c.png")
    assert ran.code == 3
    assert "pip install 'tvcli[plots]'" in ran.err
