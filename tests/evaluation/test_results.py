"""From answers to numbers: the majority, differences, averages, spreads and the layer curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from known_answers import NO_CONTEXT, PATCH, PROMPT, WORDS, made_task

from tvcli.cli.work.records import score_record
from tvcli.errors import UsageError
from tvcli.evaluation.bootstrap import Interval
from tvcli.evaluation.cells import accuracy, method_cells, short_matches
from tvcli.evaluation.results import AVERAGE, MAJORITY, best_layer, layer_curve, majority, transfer_result
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.store import Cell, Record, Store
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.metrics import Judge, Metric


def task(name: str, validation: Sequence[tuple[str, ...]], test: Sequence[tuple[str, ...]]) -> Task:
    """A task of labels alone."""
    splits = [tuple(Sample(f"x{i}", labels) for i, labels in enumerate(split)) for split in (validation, test)]
    return Task(name, Path(), "d", "Say y:", validation=splits[0], test=splits[1])


def answered(tasks: Sequence[Task], hits: dict[str, dict[Method, list[list[int]]]], layer: int = 2) -> Store:
    """A store in which the methods are right as `hits` says: by task and method, for each seed, each query."""
    store = Store()
    for one in tasks:
        for method, seeds in hits[one.name].items():
            for seed, row in enumerate(seeds, 1):
                cell = Cell(one.name, Source.TEXT, Modality.TEXT, method, Split.TEST, Variant(seed))
                if method == NO_CONTEXT:
                    cell = Cell(one.name, None, Modality.TEXT, method, Split.TEST)
                for number, (right, sample) in enumerate(zip(row, one.test, strict=True)):
                    answer = sample.outputs[0] if right else "wrong"
                    at = layer if method == PATCH else None
                    store.add([Record(cell, number, at, sample.input, sample.outputs, answer, bool(right), 1.0)])
    return store


def setup(*tasks: Task, **more: object) -> Setup:
    return Setup(tasks, transfers=(WORDS,), seeds=(1, 2), **more)  # type: ignore[arg-type]


FOUR = [("a",), ("b",), ("a", "c"), ("d",)]


# -- the majority ---------------------------------------------------------------------------------------------


def test_the_majority_is_the_best_constant_on_validation_and_is_scored_on_test() -> None:
    one = task("t", [("a",), ("b",), ("b",)], [("a",), ("a",), ("b",), ("a",)])
    assert majority(setup(one), one, Modality.TEXT) == "b"
    store = answered([one], {"t": {m: [[0] * 4] * 2 for m in (PROMPT, PATCH)} | {NO_CONTEXT: [[0] * 4]}})
    row = transfer_result(store, setup(one), WORDS, 2).rows["t"]
    assert (row.constant, row.scores[MAJORITY].mean) == ("b", 0.25)
    assert row.scores[MAJORITY].std is None


def test_any_accepted_label_can_be_the_majority_and_the_metric_decides() -> None:
    one = task("t", [("a", "zz"), ("b", "zz"), ("c",)], FOUR)
    assert majority(setup(one), one, Modality.TEXT) == "zz"
    letters = task("t", [("c",), ("cub",), ("kid",), ("kid",)], FOUR)  # "c" is also right for "cub", and "cub" for "c"
    assert majority(setup(letters), letters, Modality.TEXT) == "kid"
    assert majority(setup(letters, judge=Judge(Metric.EXACT)), letters, Modality.TEXT) == "kid"
    three = task("t", [("c",), ("cub",), ("calf",), ("kid",), ("kid",)], FOUR)
    assert majority(setup(three), three, Modality.TEXT) == "c"
    cased = task("t", [("Red",), ("red",), ("red",), ("blue",), ("blue",), ("blue",)], FOUR)
    assert majority(setup(cased), cased, Modality.TEXT) == "blue"
    assert (
        majority(setup(cased, judge=Judge(ignore_case=True)), cased, Modality.TEXT) == "blue"
    )  # a tie: the commoner label


def test_a_task_without_labels_has_no_majority() -> None:
    one = Task("t", Path(), "d", "i:", pattern=".*", validation=(Sample("x", ()),), test=(Sample("y", ()),))
    store = answered([task("t", [], [("",)])], {"t": {PATCH: [[1], [1]]}})
    row = transfer_result(store, setup(one, methods=(PATCH,)), WORDS, 2).rows["t"]
    assert MAJORITY not in row.scores
    assert method_cells(row, (PATCH,))[1] == ""


# -- intervals ------------------------------------------------------------------------------------------------


def test_differences_are_paired() -> None:
    """Two methods right on the same queries but one differ by little, however uncertain each is."""
    one = task("t", FOUR * 10, FOUR * 10)
    same = [i % 2 for i in range(40)]
    better = [1, *same[1:]]
    store = answered([one], {"t": {PROMPT: [same] * 2, PATCH: [better] * 2, NO_CONTEXT: [[0] * 40]}})
    row = transfer_result(store, setup(one), WORDS, 2).rows["t"]
    gain = row.differences[PATCH, PROMPT]
    assert gain.mean == pytest.approx(1 / 40)
    assert gain.interval.low == 0
    assert gain.interval.high < 0.1
    assert row.scores[PATCH].interval.high - row.scores[PATCH].interval.low > 0.25
    against = row.differences[PATCH, MAJORITY]
    assert against.mean == pytest.approx(row.scores[PATCH].mean - row.scores[MAJORITY].mean)


def test_seeds_lie_within_queries() -> None:
    """Many seeds on few queries do not make the interval narrower: they are asked the same queries."""
    one = task("t", FOUR, FOUR)
    hits = [[1, 0, 0, 0]] * 2
    store = answered([one], {"t": {PATCH: hits}})
    few = transfer_result(store, setup(one, methods=(PATCH,)), WORDS, 2).rows["t"].scores[PATCH].interval
    assert (few.low, few.high) == (0.0, 0.75)


def test_the_spread_of_an_average_is_that_of_the_per_seed_averages() -> None:
    """Two tasks that go up and down against each other: each spreads, their average does not."""
    tasks = [task(name, FOUR, FOUR) for name in ("t", "u")]
    hits = {"t": {PATCH: [[1, 1, 0, 0], [0, 0, 0, 0]]}, "u": {PATCH: [[0, 0, 0, 0], [1, 1, 0, 0]]}}
    rows = transfer_result(answered(tasks, hits), setup(*tasks, methods=(PATCH,)), WORDS, 2).rows
    assert rows["t"].scores[PATCH].std == pytest.approx(np.std([0.5, 0], ddof=1))
    assert rows[AVERAGE].scores[PATCH].std == 0
    assert (rows[AVERAGE].n, rows[AVERAGE].scores[PATCH].mean) == (8, 0.25)
    assert rows[AVERAGE].constant == ""


def test_one_seed_has_no_spread() -> None:
    one = task("t", FOUR, FOUR)
    single = Setup((one,), transfers=(WORDS,), seeds=(1,), methods=(PATCH,))
    found = transfer_result(answered([one], {"t": {PATCH: [[1, 0, 0, 0]]}}), single, WORDS, 2).rows["t"].scores[PATCH]
    assert found.std is None
    assert "±" not in accuracy(found)
    assert "std" not in score_record(found)


def test_numbers_of_two_evaluations_of_the_same_queries_can_be_subtracted() -> None:
    one = task("t", FOUR, FOUR)
    first, second = (
        transfer_result(answered([one], {"t": {PATCH: [hits] * 2}}), setup(one, methods=(PATCH,)), WORDS, 2).rows["t"]
        for hits in ([1, 1, 1, 0], [1, 1, 0, 0])
    )
    gain = first.minus(PATCH, second, PATCH)
    assert (gain.mean, gain.interval.low) == (0.25, 0.0)
    assert first.minus(PATCH, first, PATCH).interval == Interval(0, 0)


# -- short matches --------------------------------------------------------------------------------------------


def test_the_share_of_short_matches_is_told() -> None:
    one = task("t", FOUR, [("calf",)] * 4)
    store = Store()
    for number, answer in enumerate(("c", "calf", "no", "ca")):
        cell = Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(1))
        record = Record(cell, number, 2, "x", ("calf",), answer, answer != "no", 1)
        store.add([record])
    found = transfer_result(store, Setup((one,), transfers=(WORDS,), seeds=(1,), methods=(PATCH,)), WORDS, 2)
    assert found.average.scores[PATCH].short == 0.5
    assert short_matches(found, (PATCH,)) == "correct by a match of fewer than three letters: patch 0.50"


# -- numbers --------------------------------------------------------------------------------------------------


def answers(store: Store, one: Task, split: Split, layers: dict[int, Sequence[bool]], seed: int = 1) -> None:
    cell = Cell(one.name, Source.TEXT, Modality.TEXT, PATCH, split, Variant(seed))
    for layer, row in layers.items():
        store.add([Record(cell, n, layer, "x", ("y",), "y", right, 1.0) for n, right in enumerate(row)])


def test_the_layer_curve_counts_tasks_alike_whatever_their_size() -> None:
    tasks, store = (made_task(), made_task("u"), made_task("v")), Store()
    answers(store, tasks[0], Split.VALIDATION, {0: [True, False], 1: [True, True]})
    answers(store, tasks[0], Split.VALIDATION, {0: [False, False], 1: [True, True]}, seed=2)
    for seed in (1, 2):
        answers(store, tasks[1], Split.VALIDATION, {0: [True] * 8, 1: [False] * 8}, seed)
    setup = Setup(tasks, transfers=(WORDS,), seeds=(1, 2))
    assert layer_curve(store, setup, WORDS).tolist() == [0.625, 0.5]
    assert best_layer(store, setup, WORDS) == 0
    with pytest.raises(UsageError) as caught:
        best_layer(Store(), setup, Transfer(Source.TEXT, Modality.IMAGE))
    said = "there are no validation samples with image to choose the layer with; give `layer`"
    assert str(caught.value) == said


def test_the_majority_is_of_what_is_evaluated() -> None:
    labels = ("a", "b", "b", "b")
    samples = tuple(Sample(f"x{i}", (y,)) for i, y in enumerate(labels))
    one = Task("t", Path(), "d", "i:", validation=samples, test=samples)
    assert majority(Setup((one,)), one, Modality.TEXT) == "b"
    assert majority(Setup((one,), limit=1), one, Modality.TEXT) == "a"
    assert majority(Setup((one,)), one, Modality.IMAGE) == ""


def test_a_task_without_queries_has_no_row() -> None:
    none = made_task("none", test=0)
    store, setup = Store(), Setup((none, made_task()), transfers=(WORDS,), seeds=(1,), methods=(PATCH,))
    answers(store, made_task(), Split.TEST, {2: [True, False, False, False]})
    cell = Cell("none", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(1))
    store.add([Record(cell, 0, 5, "x", (), "", True, 1)])
    found = transfer_result(store, setup, WORDS, 2)
    assert list(found.rows) == ["t", AVERAGE]
    assert (found.transfer, found.layer, found.validation) == (WORDS, 2, ())
    alone_ = Setup((none,), transfers=(WORDS,), seeds=(1,), methods=(PATCH,))
    assert transfer_result(Store(), alone_, WORDS, 2).rows == {}


def test_only_the_patched_layer_counts() -> None:
    one, store = made_task(), Store()
    answers(store, one, Split.TEST, {2: [True] * 4, 3: [False] * 4})
    setup = Setup((one,), transfers=(WORDS,), seeds=(1,), methods=(PATCH,))
    means = [transfer_result(store, setup, WORDS, layer).average.scores[PATCH].mean for layer in (2, 3)]
    assert means == [1.0, 0.0]
