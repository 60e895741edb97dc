"""picto's recipe: the style that it is measured on at the end has no part in what comes before."""

import base64
import json
import sys
from collections import defaultdict
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from tvcli.engine.fake import FakeEngine
from tvcli.evaluation.setup import Setup
from tvcli.inputs.tasks import task_folders
from tvcli.prompts.prompt import Prompt

RECIPE = ROOT / "models" / "picto" / "recipe"


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe's modules can be imported; what renders is not needed."""
    monkeypatch.syspath_prepend(str(RECIPE))
    monkeypatch.setitem(sys.modules, "resvg_py", ModuleType("resvg_py"))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Every package of sources.toml, unpacked: a few drawings, which show nothing."""
    from classes import read_icons
    from fetch import read_packages

    for package in [*read_packages(), *read_packages(final=True)]:
        folder = package.folder(tmp_path)
        folder.mkdir(parents=True)
        for pattern in package.files:
            file = folder / pattern.format(code="1f415", iso="fr", ISO="FR")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("<svg/>")
        if not package.files:
            icons = chain(*read_icons(package.icons).values()) if package.icons else ["dog", "fr", "hammer"]
            (folder / "icons.json").write_text(json.dumps({"icons": {icon: {"body": ""} for icon in icons}}))
            (folder / "chars.json").write_text(json.dumps({} if package.icons else {"1f415": "dog"}))
    return tmp_path


def test_the_final_style_is_neither_trained_on_nor_chosen_by(work: Path) -> None:
    from classes import read_classes
    from fetch import read_packages
    from pictures import drawings

    final = {package.family for package in read_packages(final=True)}
    seen = {drawing.family for drawing in drawings(read_classes(), read_packages(), work)}
    assert final
    assert seen == {package.family for package in read_packages()}
    assert not final & seen


def test_a_drawing_of_the_final_style_cannot_be_trained_on(work: Path) -> None:
    from classes import read_classes
    from fetch import read_packages
    from pictures import UNNAMED, drawings

    packages = read_packages(final=True)
    drawn = list(drawings(read_classes(), packages, work))
    assert {drawing.family for drawing in drawn} == {package.family for package in packages}
    assert all(drawing.held_out and drawing.label != UNNAMED for drawing in drawn)


def test_what_chooses_does_not_measure_the_final_style() -> None:
    from evaluate import measures, task_measures

    nothing: Any = None
    assert set(measures(nothing, [], nothing, nothing)) == {"recognition", "naming", "residuals"}
    assert set(task_measures(nothing)) == {"tasks", "ceiling"}


def test_every_source_is_pinned_and_has_one_use() -> None:
    from fetch import Package, read_packages

    for package in [*read_packages(), *read_packages(final=True)]:
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"))) == 64
        assert package.license
        assert package.author
    with pytest.raises(SystemExit, match="both held_out and final"):
        Package("x", "1", "", "MIT", "", held_out=True, final=True)


def test_icons_show_things_that_picto_knows() -> None:
    from classes import read_classes, read_icons
    from fetch import read_packages

    known = {thing.name for thing in read_classes() if thing.group != "flag"}
    files = [package.icons for package in read_packages(final=True) if package.icons]
    assert files
    for shown in map(read_icons, files):
        icons = list(chain(*shown.values()))
        assert shown.keys() <= known
        assert len(icons) == len(set(icons))


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (90, 100, 0.8256, 0.9448)]
)
def test_an_interval_is_wilsons(right: int, n: int, low: float, high: float) -> None:
    from evaluate import share

    found = share(np.arange(n) < right)
    assert (found["n"], found["share"]) == (n, right / n)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=2e-4)


class Looking:
    """Sees thing number `image`, and says "dog" of everything."""

    def image_tokens(self, image: int) -> np.ndarray:
        return np.eye(2, dtype=np.float32)[[image]]

    def tokens(self, name: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(text=name)]

    def answer(self, prompts: list[Any], decoding: object) -> list[Any]:
        return [[SimpleNamespace(text="dog\n")] for _ in prompts]


def test_final_figures_are_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dogs, one of which is seen as bread, and a bread."""
    import evaluate
    from classes import Class

    monkeypatch.setattr(evaluate, "few_shot", lambda *args, **options: None)
    monkeypatch.setattr(evaluate, "SHOTS", 1)
    classes = [Class("animal", "dog", ()), Class("food", "bread", ())]
    words: Any = SimpleNamespace(embeddings=np.eye(2, dtype=np.float32), tokens=[[0], [1]])
    pictures: list[Any] = [0, 1, 1]
    engine: Any = Looking()
    drawn = evaluate.Drawn(pictures, np.array([0, 0, 1]), np.array(["x"] * 3))
    figures = evaluate.final(engine, classes, words, drawn)
    shares = {
        name: {g: (s["n"], s["share"]) for g, s in figures[name]["x"].items()} for name in ("nearest name", "full name")
    }
    assert shares["nearest name"] == {"animal": (2, 0.5), "food": (1, 1.0), "all": (3, 0.6667)}
    assert shares["full name"] == {"animal": (2, 1.0), "food": (1, 0.0), "all": (3, 0.6667)}


class Seeing(FakeEngine):
    """Counts the prompts with pictures."""

    pictures = 0

    def _embed(self, prompt: Prompt) -> np.ndarray:
        self.pictures += bool(prompt.images)
        return super()._embed(prompt)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The figures of "tasks" and "ceiling", of a few samples, and how many prompts with pictures each asked."""
    import evaluate

    monkeypatch.setattr(evaluate, "Setup", partial(Setup, limit=5))
    engine: Any = Seeing()
    measured = evaluate.task_measures(engine)
    tasks, pictures = measured["tasks"](), engine.pictures
    return {"tasks": tasks, "ceiling": measured["ceiling"](), "pictures": [pictures, engine.pictures - pictures]}


def test_the_ceiling_has_names_where_pictures_would_be(asked: dict[str, Any]) -> None:
    of_tasks, of_ceiling = asked["pictures"]
    assert of_tasks > 0
    assert of_ceiling == 0
    apart = ["picture - name, prompt", "picture - name, patch"]
    assert asked["ceiling"]["header"] == [*asked["tasks"]["header"], *apart]
    for figures in asked["tasks"], asked["ceiling"]:
        assert list(figures["rows"]) == [*(folder.name for folder in task_folders("paper")), "average"]
        assert {len(cells) for cells in figures["rows"].values()} == {len(figures["header"])}


def recognized() -> dict[str, Any]:
    """Figures as a card needs them, without those of tasks."""
    numbers: Any = defaultdict(lambda: defaultdict(float))
    shares: Any = defaultdict(lambda: defaultdict(lambda: {"n": 1, "share": 0.5, "low": 0.1, "high": 0.9}))
    cosines = {"centred cosine": numbers}
    return {
        "recognition": {"nearest name": numbers, "confusions": [], **cosines},
        "naming": {"first token": numbers, "full name": numbers},
        "residuals": [],
        "final": {"date": "", "nearest name": shares, "first token": shares, "full name": shares, **cosines},
    }


def test_the_card_and_its_template_have_the_same_tables(asked: dict[str, Any], tmp_path: Path) -> None:
    from card import About, write_card

    figures = {**recognized(), "tasks": asked["tasks"], "ceiling": asked["ceiling"]}
    written = tmp_path / "README.md"
    write_card(written, About("picto", "mmproj-picto-f16.gguf", "gemma3-270m", first=True), figures, {}, 0)
    headers = [
        [line for line in card.read_text(encoding="utf-8").splitlines() if line.startswith(("#", "| task |"))]
        for card in (written, RECIPE.parent / "README.md")
    ]
    assert headers[0] == headers[1]
    assert sum(line.startswith("| task |") for line in headers[0]) == 2


def test_the_card_of_another_language_model_names_it_and_links_to_its_tasks(tmp_path: Path) -> None:
    from card import About, write_card

    about = About("picto-x", "mmproj-picto-x.gguf", "qwen2.5-coder-1.5b", first=False)
    write_card(tmp_path / "card.md", about, recognized(), {}, 0)
    text = (tmp_path / "card.md").read_text("utf-8")
    assert text.startswith("# picto-x: a small vision tower for Qwen2.5-Coder 1.5B Instruct (Q4_K_M)\n")
    assert "results/README.md" in text
    assert "--language-model qwen2.5-coder-1.5b" in text
    assert "| task |" not in text
