"""Figure 8: whose curves, over which runs, and what its note says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from planted import study

from tvcli import plots
from tvcli.evaluation.curves import curve
from tvcli.kinds import Source
from tvcli.method.phases import phases
from tvcli.paper import evolution


def test_the_curves_are_means_over_tasks_of_the_first_seed(planted_folder: Path) -> None:
    known = study(planted_folder, limit=7)
    known.seeds = (2, 1)
    found = evolution.evolution(known)
    assert list(found) == ["text", "image", "instruction"]
    for source, curves in found.items():
        values = {t.name: phases(known.engine, t, Source(source), sets=7, seed=2) for t in known.tasks}
        for phase, one in curves.items():
            wanted = curve({name: by_phase[phase] for name, by_phase in values.items()})
            assert (one.n, one.n) == (wanted.n, 18 if source == "instruction" else 14)
            for limit in ("mean", "low", "high"):
                assert np.array_equal(getattr(one, limit), getattr(wanted, limit))
    assert [len(curves) for curves in found.values()] == [3, 3, 2]


def test_there_are_a_hundred_sets_for_each_task(planted_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def counted(engine: Any, task: Any, source: Any, *, sets: int, **rest: Any) -> Any:
        asked.append((task.name, str(source), sets))
        return phases(engine, task, source, sets=1, **rest)

    monkeypatch.setattr(evolution, "phases", counted)
    evolution.evolution(study(planted_folder))
    sources = ("text", "image", "instruction")
    assert asked == [(task, source, 100) for source in sources for task in ("alpha", "beta")]


def test_all_runs_are_counted_before_they_are_read(planted_folder: Path) -> None:
    steps: list[int] = []

    class Counting:
        def __call__(self, total: int | None, what: str, *, in_bytes: bool = False) -> Counting:
            self.total = total
            return self

        def __enter__(self) -> Any:
            return steps.append

        def __exit__(self, *_: object) -> None:
            pass

    meter = Counting()
    evolution.evolution(study(planted_folder, limit=5, meter=meter))
    assert meter.total == sum(steps) == 2 * 2 * 5 + 2 * 9


def test_the_table_and_the_plot_have_the_curves_and_the_note_their_peaks(
    planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "curves", lambda path, series, **labels: drawn.append((path, series, labels)))
    known = study(planted_folder, limit=5)
    found, made = evolution.evolution(known), evolution.figure8(known)
    assert made.header == ("source", "n", "layer", "input", "task", "answer")
    assert [row[:3] for row in made.rows[:2]] == [("text", "10", "0"), ("text", "10", "1")]
    assert len(made.rows) == 3 * 6
    by_place = {(row[0], int(row[2])): row[3:] for row in made.rows}
    for source, curves in found.items():
        for layer in range(6):
            cells = [curves[phase].cell(layer) if phase in curves else "" for phase in ("input", "task", "answer")]
            assert list(by_place[source, layer]) == cells
        for phase, one in curves.items():
            assert f"{phase} at layer {one.peak} ({one.mean.max():.3f})" in made.note
    assert made.note.startswith("tv's own data; highest for text: input at layer ")
    assert made.draw is not None
    made.draw(tmp_path / "x.png")
    [(path, series, labels)] = drawn
    assert (path, labels) == (tmp_path / "x.png", {"x": "layer", "y": "probability at the delimiter"})
    assert list(series) == [f"{phase}, {source}" for source, curves in found.items() for phase in curves]
    assert np.array_equal(series["answer, image"], found["image"]["answer"].mean)


def test_a_model_without_eyes_is_read_from_words_and_instructions(planted_folder: Path) -> None:
    blind = planted.Planted(planted_folder)
    blind.has_vision = False
    found = evolution.evolution(study(planted_folder, "alpha", engine=blind, limit=2))
    assert list(found) == ["text", "instruction"]
    known = study(planted_folder, "alpha", engine=blind, limit=2)
    known.tasks = tuple(replace(task, wordings={}) for task in known.tasks)
    assert np.isnan(evolution.evolution(known)["instruction"]["task"].low).all()
