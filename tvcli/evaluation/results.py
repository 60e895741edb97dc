"""Records to the numbers of a table: accuracy by task and method, the constant answer's, intervals, differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from tvcli.errors import UsageError
from tvcli.evaluation.bootstrap import Interval, interval, resampled
from tvcli.evaluation.setup import Setup, Transfer
from tvcli.evaluation.store import Record, Store, cells_of
from tvcli.inputs.tasks import Task
from tvcli.kinds import Method, Modality, Split

AVERAGE, MAJORITY = "average", "majority"
DIFFERENCES: tuple[tuple[str, str], ...] = ((Method.PATCH, Method.PROMPT), (Method.PATCH, MAJORITY))


@dataclass(frozen=True)
class Score:
    """Accuracy of one method.

    `std` is the sample standard deviation over variants, `None` for fewer than two. `short` is the share of answers
    that are correct by a match of fewer than three letters; `against`, the share that answer the competing task.
    """

    mean: float
    interval: Interval
    std: float | None = None
    short: float | None = None
    against: float | None = None


@dataclass(frozen=True)
class Difference:
    """One method's accuracy minus another's on the same queries."""

    mean: float
    interval: Interval


@dataclass(frozen=True)
class Row:
    """A row of a table, on `n` test queries. `constant` is the majority's answer, empty for the average."""

    n: int
    scores: Mapping[str, Score]  # by method, including MAJORITY if there are labels
    differences: Mapping[tuple[str, str], Difference]
    resampled: Mapping[str, np.ndarray] = field(repr=False)  # by method, float64 (RESAMPLES,)
    constant: str = ""

    def minus(self, method: str, other: Row, others: str) -> Difference:
        """A method's accuracy minus one of another evaluation on the same queries, with the same resamples."""
        means = self.scores[method].mean - other.scores[others].mean
        return Difference(means, interval(self.resampled[method] - other.resampled[others]))


@dataclass(frozen=True)
class TransferResult:
    """The numbers for one source of vectors and one modality of queries; `rows` by task, the average last."""

    transfer: Transfer
    layer: int | None  # `None` if nothing was patched
    validation: tuple[float, ...]  # accuracy by layer, empty if the layer was given
    rows: Mapping[str, Row]

    @property
    def average(self) -> Row:
        return self.rows[AVERAGE]


def layer_curve(store: Store, setup: Setup, transfer: Transfer) -> np.ndarray:
    """Validation accuracy of every layer, mean over tasks of the mean over variants, float64 (L,)."""
    curves = []
    for task in setup.tasks:
        cells = cells_of(setup, task, transfer, Method.PATCH, Split.VALIDATION)
        rates = [_by_layer(store.records(cell)) for cell in cells]
        curves += [np.mean(rates, axis=0)] if rates and len(rates[0]) else []
    return np.mean(curves, axis=0) if curves else np.zeros(0)


def _by_layer(records: Sequence[Record]) -> np.ndarray:
    layers = sorted({record.layer for record in records if record.layer is not None})
    return np.array([np.mean([r.correct for r in records if r.layer == layer]) for layer in layers])


def best_layer(store: Store, setup: Setup, transfer: Transfer) -> int:
    """The layer of the best validation accuracy; ties: the lowest (paper, section 4.1).

    Raises:
        UsageError: no task has validation samples.
    """
    curve = layer_curve(store, setup, transfer)
    if not len(curve):
        raise UsageError(
            f"there are no validation samples with {transfer.query} to choose the layer with; give `layer`"
        )
    return int(curve.argmax())


def majority(setup: Setup, task: Task, modality: Modality) -> str:
    """The constant answer that is correct most often on the validation split; ties: the most frequent label.

    The paper's table 2 calls its accuracy on the test split "Random". Empty if the task has no labels, or a command
    judges the answers: labels would be another judge.
    """
    if setup.command:
        return ""
    samples = setup.samples(task, Split.VALIDATION, modality)
    labels = Counter(label for sample in samples for label in sample.outputs)
    hits = {label: sum(setup.judge.follows(label, s.outputs, task.pattern) for s in samples) for label in labels}
    return max(sorted(labels), key=lambda label: (hits[label], labels[label]), default="")


@dataclass(frozen=True)
class _Answers:
    """All answers to one task's test queries."""

    task: Task
    constant: str
    hits: Mapping[str, np.ndarray]  # by method, bool (variants, N); one row for the majority
    records: Mapping[str, Sequence[Record]]

    @property
    def n(self) -> int:
        return int(next(iter(self.hits.values())).shape[1])

    @cached_property
    def resampled(self) -> Mapping[str, np.ndarray]:
        """Mean accuracies on resampled queries, variants within queries, by method: float64 (RESAMPLES,)."""
        means = resampled(np.array([hits.mean(0) for hits in self.hits.values()]), self.task.name)
        return dict(zip(self.hits, means.T, strict=True))


def _answers(store: Store, setup: Setup, task: Task, transfer: Transfer, layer: int | None) -> _Answers:
    records: dict[str, list[list[Record]]] = {
        method: [
            store.records(cell, layer if method == Method.PATCH else None)
            for cell in cells_of(setup, task, transfer, method, Split.TEST)
        ]
        for method in setup.methods
    }
    constant = majority(setup, task, transfer.query)
    samples = setup.samples(task, Split.TEST, transfer.query)
    always = {MAJORITY: np.array([[setup.judge.follows(constant, s.outputs, task.pattern) for s in samples]])}
    hits = {method: np.array([[r.correct for r in some] for some in cells]) for method, cells in records.items()}
    flat = {method: [record for some in cells for record in some] for method, cells in records.items()}
    return _Answers(task, constant, (always if constant else {}) | hits, flat)


def transfer_result(store: Store, setup: Setup, transfer: Transfer, layer: int | None) -> TransferResult:
    """The numbers of one transfer; the store must have all answers."""
    answers = [_answers(store, setup, task, transfer, layer) for task in setup.tasks]
    answered = [one for one in answers if one.n]
    rows = {one.task.name: _row([one], setup) for one in answered}
    if answered:
        rows[AVERAGE] = replace(_row(answered, setup), constant="")
    return TransferResult(transfer, layer, tuple(map(float, layer_curve(store, setup, transfer))), rows)


def _row(answers: Sequence[_Answers], setup: Setup) -> Row:
    """One task's numbers, or the average over several tasks with equal weights."""
    methods = [method for method in (MAJORITY, *setup.methods) if all(method in one.hits for one in answers)]
    resampled_means = {method: np.mean([one.resampled[method] for one in answers], axis=0) for method in methods}
    scores = {method: _score(answers, method, resampled_means[method], setup) for method in methods}
    row = Row(sum(one.n for one in answers), scores, {}, resampled_means, answers[0].constant)
    differences = {(a, b): row.minus(a, row, b) for a, b in DIFFERENCES if a in scores and b in scores}
    return replace(row, differences=differences)


def _score(answers: Sequence[_Answers], method: str, resampled_means: np.ndarray, setup: Setup) -> Score:
    by_task = [one.hits[method].mean(1) for one in answers]  # float64 (variants,) each
    several = len({len(rates) for rates in by_task}) == 1 and len(by_task[0]) > 1
    records = [record for one in answers for record in one.records.get(method, ())]
    others = [record.against for record in records if record.against is not None]
    labeled = [record for record in records if record.labels and not setup.command]
    return Score(
        mean=float(np.mean([rates.mean() for rates in by_task])),
        interval=interval(resampled_means),
        std=float(np.mean(by_task, axis=0).std(ddof=1)) if several else None,
        short=float(np.mean([setup.judge.short(r.answer, r.labels) for r in labeled])) if labeled else None,
        against=float(np.mean(others)) if others else None,
    )
