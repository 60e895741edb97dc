"""Records to the numbers of a table: accuracy by task and method, what a constant reaches, intervals, differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tvcli.errors import UsageError
from tvcli.evaluation.bootstrap import Interval, interval, resampled
from tvcli.evaluation.setup import NO_CONTEXT, PATCH, PROMPT, Pair, Setup
from tvcli.evaluation.store import Cell, Record, Store
from tvcli.inputs.tasks import TEST, VALIDATION, Task

AVERAGE, MAJORITY = "average", "majority"
DIFFERENCES = ((PATCH, PROMPT), (PATCH, MAJORITY))


@dataclass(frozen=True)
class Score:
    """Accuracy of one method.

    `std` is the sample standard deviation over seeds, `None` where there is one or none. `short` is the share of
    answers that count by a match of fewer than three letters; `against`, how often the prompt's own task was answered.
    """

    mean: float
    interval: Interval
    std: float | None = None
    short: float | None = None
    against: float | None = None

    def to_json(self) -> dict[str, Any]:
        known = {"std": self.std, "short": self.short, "against": self.against}
        rounded = {name: round(value, 4) for name, value in known.items() if value is not None}
        return {"mean": round(self.mean, 4), "interval": _bounds(self.interval), **rounded}


@dataclass(frozen=True)
class Difference:
    """One method's accuracy minus another's on the same queries."""

    mean: float
    interval: Interval

    def to_json(self) -> dict[str, Any]:
        return {"mean": round(self.mean, 4), "interval": _bounds(self.interval)}


def _bounds(of: Interval) -> list[float]:
    return [round(of.low, 4), round(of.high, 4)]


@dataclass(frozen=True)
class Row:
    """A line of a table, on `n` test queries. `constant` is the majority's answer, nothing for the average."""

    n: int
    scores: Mapping[str, Score]  # by method, MAJORITY among them where there are labels
    differences: Mapping[tuple[str, str], Difference]
    resampled: Mapping[str, np.ndarray] = field(repr=False)  # by method, float64 (RESAMPLES,)
    constant: str = ""

    def minus(self, method: str, other: Row, others: str) -> Difference:
        """A method's accuracy minus one of another evaluation on the same queries, which are resampled alike."""
        means = self.scores[method].mean - other.scores[others].mean
        return Difference(means, interval(self.resampled[method] - other.resampled[others]))

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            **({"constant": self.constant} if self.constant else {}),
            **{method: score.to_json() for method, score in self.scores.items()},
            **{f"{a} - {b}": difference.to_json() for (a, b), difference in self.differences.items()},
        }


@dataclass(frozen=True)
class TransferResult:
    """What came out for one source of vectors and one modality of queries; `rows` by task, the average last."""

    source: str
    query: str
    layer: int | None  # `None` where nothing was patched
    validation: tuple[float, ...]  # accuracy by layer, nothing where the layer was given
    rows: Mapping[str, Row]

    @property
    def average(self) -> Row:
        return self.rows[AVERAGE]

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "query": self.query,
            "layer": self.layer,
            "validation": [round(accuracy, 4) for accuracy in self.validation],
            "tasks": {name: row.to_json() for name, row in self.rows.items()},
        }


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


def majority(setup: Setup, task: Task, modality: str) -> str:
    """The constant answer that is right most often on the validation split; among equals the commonest label.

    The paper's table 2 calls its accuracy on the test split "Random". Nothing where the task has no labels.
    """
    samples = setup.samples(task, VALIDATION, modality)
    labels = Counter(label for sample in samples for label in sample.outputs)
    hits = {label: sum(setup.judge.follows(label, s.outputs, task.pattern) for s in samples) for label in labels}
    return max(sorted(labels), key=lambda label: (hits[label], labels[label]), default="")


@dataclass(frozen=True)
class _Answers:
    """All answers to one task's test queries."""

    task: Task
    constant: str
    hits: Mapping[str, np.ndarray]  # by method, bool (seeds, N); the majority's has one row
    records: Mapping[str, Sequence[Record]]

    @property
    def n(self) -> int:
        return int(next(iter(self.hits.values())).shape[1])

    @cached_property
    def resampled(self) -> Mapping[str, np.ndarray]:
        """Mean accuracies on resampled queries, seeds within queries, by method: float64 (RESAMPLES,)."""
        means = resampled(np.array([hits.mean(0) for hits in self.hits.values()]), self.task.name)
        return dict(zip(self.hits, means.T, strict=True))


def _answers(store: Store, setup: Setup, task: Task, pair: Pair, layer: int | None) -> _Answers:
    records = {
        method: [list(store.records(cell, layer if method == PATCH else None)) for cell in cells]
        for method, cells in _cells(setup, task, pair)
    }
    constant = majority(setup, task, pair[1])
    samples = setup.samples(task, TEST, pair[1])
    always = {MAJORITY: np.array([[setup.judge.follows(constant, s.outputs, task.pattern) for s in samples]])}
    hits = {method: np.array([[r.correct for r in some] for some in seeds]) for method, seeds in records.items()}
    flat = {method: [record for some in seeds for record in some] for method, seeds in records.items()}
    return _Answers(task, constant, (always if constant else {}) | hits, flat)


def _cells(setup: Setup, task: Task, pair: Pair) -> Iterator[tuple[str, list[Cell]]]:
    for method in setup.methods:
        if method == NO_CONTEXT:
            yield method, [Cell(task.name, "", pair[1], method, TEST, 0)]
        else:
            yield method, [Cell(task.name, *pair, method, TEST, seed) for seed in setup.seeds_of(pair[0], task)]


def transfer_result(store: Store, setup: Setup, pair: Pair, layer: int | None) -> TransferResult:
    """The numbers of one pair, from answers that are all there."""
    answers = [_answers(store, setup, task, pair, layer) for task in setup.tasks]
    asked = [one for one in answers if one.n]
    rows = {one.task.name: _row([one], setup) for one in asked}
    if asked:
        rows[AVERAGE] = replace(_row(asked, setup), constant="")
    return TransferResult(*pair, layer, tuple(map(float, layer_curve(store, setup, pair))), rows)


def _row(answers: Sequence[_Answers], setup: Setup) -> Row:
    """One task's numbers, or the average over several tasks, each of which counts alike."""
    methods = [method for method in (MAJORITY, *setup.methods) if all(method in one.hits for one in answers)]
    again = {method: np.mean([one.resampled[method] for one in answers], axis=0) for method in methods}
    scores = {method: _score(answers, method, again[method], setup) for method in methods}
    row = Row(sum(one.n for one in answers), scores, {}, again, answers[0].constant)
    differences = {(a, b): row.minus(a, row, b) for a, b in DIFFERENCES if a in scores and b in scores}
    return replace(row, differences=differences)


def _score(answers: Sequence[_Answers], method: str, again: np.ndarray, setup: Setup) -> Score:
    by_task = [one.hits[method].mean(1) for one in answers]  # float64 (seeds,) each
    several = len({len(rates) for rates in by_task}) == 1 and len(by_task[0]) > 1
    records = [record for one in answers for record in one.records.get(method, ())]
    others = [record.against for record in records if record.against is not None]
    labelled = [record for record in records if record.labels]
    return Score(
        mean=float(np.mean([rates.mean() for rates in by_task])),
        interval=interval(again),
        std=float(np.mean(by_task, axis=0).std(ddof=1)) if several else None,
        short=float(np.mean([setup.judge.short(r.answer, r.labels) for r in labelled])) if labelled else None,
        against=float(np.mean(others)) if others else None,
    )
