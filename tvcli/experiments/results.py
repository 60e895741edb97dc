"""Records to accuracies: by task, method and layer, mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvcli.errors import UsageError
from tvcli.experiments.setup import NO_CONTEXT, PATCH, Pair, Setup
from tvcli.experiments.store import Cell, Record, Store
from tvcli.tasks import TEST, VALIDATION, Task

AVERAGE = "average"


@dataclass(frozen=True)
class Score:
    """Accuracy over seeds. `against`: how often the prompt's own task was answered instead."""

    mean: float
    std: float
    samples: int
    against: float | None = None

    def to_json(self) -> dict[str, Any]:
        data = {"mean": round(self.mean, 4), "std": round(self.std, 4), "samples": self.samples}
        return data if self.against is None else {**data, "against": round(self.against, 4)}


def layer_curve(store: Store, setup: Setup, pair: Pair) -> np.ndarray:
    """Validation accuracy of every layer, mean over tasks of the mean over seeds, float64 (L,)."""
    curves = []
    for task in setup.tasks:
        cells = [Cell(task.name, *pair, PATCH, VALIDATION, seed) for seed in setup.seeds_of(pair[0], task)]
        by_seed = [_by_layer(store.records(cell)) for cell in cells]
        curves += [np.mean(by_seed, axis=0)] if by_seed and len(by_seed[0]) else []
    return np.mean(curves, axis=0) if curves else np.zeros(0)


def _by_layer(records: Sequence[Record]) -> np.ndarray:
    layers = sorted({record.layer for record in records if record.layer is not None})
    return np.array([np.mean([r.correct for r in records if r.layer == layer]) for layer in layers])


def best_layer(store: Store, setup: Setup, pair: Pair) -> int:
    """The layer of the best validation accuracy; ties go to the lowest (paper, section 4.1).

    Raises:
        UsageError: no task has validation samples.
    """
    curve = layer_curve(store, setup, pair)
    if not len(curve):
        raise UsageError(f"there are no validation samples with {pair[1]} to choose the layer on; give --layer")
    return int(curve.argmax())


def score(store: Store, setup: Setup, task: Task, pair: Pair, method: str, layer: int) -> Score:
    """One number of a table. Seeds are averaged; a method without chance has no spread."""
    if method == NO_CONTEXT:
        cells = [Cell(task.name, "", pair[1], method, TEST, 0)]
    else:
        cells = [Cell(task.name, *pair, method, TEST, seed) for seed in setup.seeds_of(pair[0], task)]
    records = [store.records(cell, layer if method == PATCH else None) for cell in cells]
    rates = [float(np.mean([r.correct for r in some])) for some in records if some]
    others = [r.against for some in records for r in some if r.against is not None]
    return Score(
        mean=float(np.mean(rates)) if rates else float("nan"),
        std=float(np.std(rates)) if rates else float("nan"),
        samples=len(records[0]),
        against=float(np.mean(others)) if others else None,
    )


def table(store: Store, setup: Setup, pair: Pair, layer: int) -> dict[str, dict[str, Score]]:
    """Scores by task and method, the average over tasks last."""
    rows = {
        task.name: {method: score(store, setup, task, pair, method, layer) for method in setup.methods}
        for task in setup.tasks
    }
    rows[AVERAGE] = {method: _average([row[method] for row in rows.values()]) for method in setup.methods}
    return rows


def _average(scores: Sequence[Score]) -> Score:
    others = [s.against for s in scores if s.against is not None]
    return Score(
        mean=float(np.mean([s.mean for s in scores])),
        std=float(np.mean([s.std for s in scores])),
        samples=sum(s.samples for s in scores),
        against=float(np.mean(others)) if others else None,
    )


def summary(store: Store, setup: Setup, layers: dict[Pair, int]) -> list[dict[str, Any]]:
    """One record a pair: what ``tv eval --json`` prints and ``tv paper`` reads."""
    return [
        {
            "source": pair[0],
            "query": pair[1],
            "layer": layer,
            "validation": [round(float(a), 4) for a in layer_curve(store, setup, pair)],
            "tasks": {
                name: {method: one.to_json() for method, one in row.items()}
                for name, row in table(store, setup, pair, layer).items()
            },
        }
        for pair, layer in layers.items()
    ]
