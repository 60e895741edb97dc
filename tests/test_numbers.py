"""From answers to a file, a table and vectors on disk: every number, key and sentence of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest

from tvcli.cli.work.records import difference_record, result_record, row_record, score_record, transfer_record
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import MAX_ROWS, Answer, Decoding, Patch
from tvcli.errors import UsageError, VectorError
from tvcli.evaluation.answering import PROMPTS, Column, Evaluation, Work
from tvcli.evaluation.bootstrap import Interval, interval, resampled
from tvcli.evaluation.cells import constant, method_cells, method_header, short_matches
from tvcli.evaluation.prompts import after, alone
from tvcli.evaluation.results import (
    AVERAGE,
    MAJORITY,
    Difference,
    Row,
    Score,
    TransferResult,
    best_layer,
    layer_curve,
    majority,
    transfer_result,
)
from tvcli.evaluation.run import Files, Result, run
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.store import Cell, Record, Store
from tvcli.evaluation.vectors import Shelf
from tvcli.inputs.tasks import Sample, Task, find_task
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.method.extract import tv_version
from tvcli.metrics import Judge, Metric, starts, whole
from tvcli.models.opening import ModelRequest
from tvcli.paper.numbers import averages, paper_numbers
from tvcli.prompts.prompt import Prompt
from tvcli.vector import TaskVector, load

NO_CONTEXT, PROMPT, PATCH = Method
WORDS = Transfer(Source.TEXT, Modality.TEXT)


def made_task(name: str = "t", validation: int = 6, test: int = 4, **more: Any) -> Task:
    samples = [Sample(f"x{i}", (f"y{i}",)) for i in range(validation + test)]
    splits = tuple(samples[:validation]), tuple(samples[validation:])
    return Task(name, Path(), "d", "Say y:", validation=splits[0], test=splits[1], **more)


class Layered(FakeEngine):
    """Right in layer 1 for all queries, in layer 4 for every other; else it says "no"."""

    def _answer(self, prompt: Prompt, patch: Patch | None, decoding: Decoding) -> Answer:
        number = int(str(prompt.parts[-1]).split("Q:x")[-1].split("\n")[0])
        right = patch is not None and (patch.layer == 1 or (patch.layer == 4 and number % 2))
        return Answer(f"y{number}" if right else "no", (1,), 1 / 3)


# -- one evaluation to the end ------------------------------------------------------------------------------------


def setup_of(**more: Any) -> Setup:
    return Setup((made_task(),), transfers=(WORDS,), seeds=(1, 2), **more)


def test_a_setup_is_written_down_with_all_that_answers_depend_on() -> None:
    other = made_task("u")
    assert setup_of().to_json() == {
        "shots": 5,
        "prompts": None,
        "metric": "paper",
        "ignore_case": False,
        "layer": None,
        "limit": None,
        "template": "Q:{x}\nA:",
        "wording": "",
        "overridden": False,
        "tasks": {"t": made_task().digest},
    }
    full = setup_of(
        shots=3, prompts=2, judge=Judge(Metric.EXACT, True), layer=4, limit=7, wording="typo", against={"t": other}
    )
    assert full.to_json() == {
        "shots": 3,
        "prompts": 2,
        "metric": "exact",
        "ignore_case": True,
        "layer": 4,
        "limit": 7,
        "template": "Q:{x}\nA:",
        "wording": "typo",
        "overridden": True,
        "tasks": {"t": made_task().digest, "u": other.digest},
    }


def test_a_results_file_begins_with_what_its_answers_depend_on(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    run(Layered(), setup_of(), files=Files(file))
    head, first, *_ = map(json.loads, file.read_text("utf-8").splitlines())
    settings = {"model": "fake 6 × 16", "tv": tv_version(), "source_model": None, **setup_of().to_json()}
    assert head == {"format": 3, **settings}
    assert first == {
        "task": "t",
        "source": "text",
        "query": "text",
        "method": "patch",
        "split": "validation",
        "seed": 1,
        "wording": None,
        "sample": 0,
        "layer": 0,
        "input": "x0",
        "labels": ["y0"],
        "answer": "no",
        "correct": False,
        "margin": 0.3333,
        "against": None,
    }
    moved = tmp_path / "b.jsonl"
    run(Layered(), setup_of(), source_model=ModelRequest("fake"), files=Files(moved))
    head = json.loads(moved.read_text("utf-8").splitlines()[0])
    assert head == {"format": 3, **settings, "source_model": {"model": "fake 6 × 16"}}


def test_an_evaluation_as_json() -> None:
    made = run(Layered(), setup_of())
    name = "fake (fake, 6 layers × 16)"
    found, transfer = result_record(made), transfer_record(made.transfers[0])
    assert list(found) == ["model", "source_model", "data", "pairs"]
    assert found == {"model": name, "source_model": None, "data": "other data", "pairs": [transfer]}
    assert transfer["validation"] == [0.0, 1.0, 0.0, 0.0, 0.5, 0.0]
    other = result_record(Result(made.model, made.model, "d", ()))
    assert other == {"model": name, "source_model": name, "data": "d", "pairs": []}


def test_vectors_are_kept_with_the_layer_that_validation_chose(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "vectors"
    setup = Setup((made_task(),), transfers=(WORDS, Transfer(Source.INSTRUCTION, Modality.TEXT)), seeds=(1, 2))
    run(Layered(), setup, files=Files(vectors=folder))
    names = ["t.instruction.1.npy", "t.text.1.npy", "t.text.2.npy"]
    assert sorted(path.name for path in folder.iterdir()) == names
    shelf = Shelf(FakeEngine(), setup)
    shelf.fill()
    for (task, source, variant), vector in shelf.held.items():
        kept = load(folder / f"{task}.{source}.{variant.seed or 1}.npy")
        assert np.array_equal(kept.rows, vector.rows)
        origin = kept.provenance
        assert (origin.layer, origin.accuracy) == (1, 1.0)
        assert origin.layer_selection == "best on validation over the tasks"


def test_vectors_of_wordings_are_kept_numbered_from_1(tmp_path: Path) -> None:
    one, told = made_task(wordings={"typo": ("Sya:", "Asy:")}), Transfer(Source.INSTRUCTION, Modality.TEXT)
    run(Layered(), Setup((one,), (told,), wording="typo"), files=Files(vectors=tmp_path))
    kept = {path.name: load(path).provenance.instruction for path in tmp_path.iterdir()}
    assert kept == {"t.instruction.1.npy": "Sya:", "t.instruction.2.npy": "Asy:"}


@pytest.mark.parametrize(("more", "layer"), [({"layer": 0}, 0), ({"methods": (PROMPT,)}, None)])
def test_vectors_are_kept_also_where_no_layer_was_chosen(tmp_path: Path, more: dict[str, Any], layer: int) -> None:
    run(Layered(), setup_of(**more), files=Files(vectors=tmp_path))
    origin = load(tmp_path / "t.text.2.npy").provenance
    assert (origin.layer, origin.accuracy) == (layer, None)


def test_the_meter_is_told_how_much_there_is_to_do() -> None:
    told: list[object] = []

    @contextmanager
    def meter(total: int | None, what: str, *, in_bytes: bool = False) -> Iterator[Any]:
        told.append((total, what))
        yield told.append
        told.append("end")

    run(Layered(), setup_of(), meter=meter)
    rows = 6 * 6 * 2 + 4 * (1 + 2 + 2)
    assert (told[0], told[-1]) == ((rows, "answered"), "end")
    assert sum(step for step in told[1:-1] if isinstance(step, int)) == rows


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (Setup((made_task(), made_task("u"), made_task())), "t is the name of two tasks; rename a task's folder"),
        (
            Setup((made_task("average"),)),
            "average is the name of a row of the table; rename a task's folder",
        ),
        (
            Setup((made_task(),), transfers=(WORDS, Transfer(Source.TEXT, Modality.IMAGE))),
            "the model fake has no image encoder; add `mmproj` or choose text queries",
        ),
        (
            Setup((made_task(),), transfers=(Transfer(Source.IMAGE, Modality.TEXT),)),
            "the model fake has no image encoder; add `mmproj` or choose text queries",
        ),
        (Setup((made_task(),), transfers=(WORDS,), layer=6), "`layer` 6 is outside 0 to 5"),
        (Setup((made_task(),), transfers=(WORDS,), layer=-1), "`layer` -1 is outside 0 to 5"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_the_work(tmp_path: Path, setup: Setup, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(FakeEngine(vision=False), setup, files=Files(tmp_path / "a.jsonl"))
    assert str(caught.value) == said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("layers", "width"), [(4, 16), (6, 8)])
def test_vectors_of_a_model_of_another_size_are_refused(layers: int, width: int) -> None:
    with pytest.raises(VectorError) as caught:
        run(FakeEngine(layers, width), setup_of(), source_model=ModelRequest("fake"))
    said = f"vectors of fake (fake, 6 layers × 16) do not fit fake (fake, {layers} layers × {width}); "
    assert str(caught.value) == f"{said}the models must have the same size"


# -- what is asked ------------------------------------------------------------------------------------------------


def works(setup: Setup, engine: FakeEngine | None = None) -> Evaluation:
    asked = engine or FakeEngine()
    return Evaluation(asked, setup, Store(), Shelf(asked, setup))


def test_validation_asks_all_layers_of_all_seeds() -> None:
    setup = Setup((made_task(), made_task("u")), transfers=(WORDS,), seeds=(1, 3))
    found = list(works(setup).validation(WORDS))
    assert [(work.task.name, work.modality, work.split, len(work.samples)) for work in found] == [
        ("t", "text", "validation", 6),
        ("u", "text", "validation", 6),
    ]
    cells = [Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.VALIDATION, Variant(seed)) for seed in (1, 3)]
    assert found[0].columns == tuple(Column(cell, layer) for cell in cells for layer in range(6))
    for more in ({"layer": 2}, {"methods": (PROMPT, NO_CONTEXT)}):
        assert list(works(setup_of(**more)).validation(WORDS)) == []


def test_validation_of_a_task_that_overrides_asks_the_other_one() -> None:
    setup = Setup((made_task("u"),), transfers=(WORDS,), against={"u": made_task("o")})
    [work] = works(setup).validation(WORDS)
    assert work.ask(0, work.samples[0]).parts == ("Say y:\n\nQ:x0\nA:",)


def test_the_test_split_is_asked_alone_together_and_after_examples_seed_by_seed() -> None:
    transfers = (WORDS, Transfer(Source.ENSEMBLE, Modality.TEXT))
    evaluation = works(Setup((made_task(),), transfers=transfers, seeds=(1, 3)))
    first, second = (list(evaluation.test(transfer, 2)) for transfer in transfers)
    bare = Column(Cell("t", None, Modality.TEXT, NO_CONTEXT, Split.TEST))

    def columns(source: Source, method: Method, layer: int | None) -> list[Column]:
        told = "Say y:" if source == Source.ENSEMBLE else None
        cells = (Cell("t", source, Modality.TEXT, method, Split.TEST, Variant(seed, told)) for seed in (1, 3))
        return [Column(cell, layer) for cell in cells]

    prompted = [(one,) for one in columns(Source.TEXT, PROMPT, None)]
    assert [work.columns for work in first] == [(bare, *columns(Source.TEXT, PATCH, 2)), *prompted]
    prompted = [(one,) for one in columns(Source.ENSEMBLE, PROMPT, None)]
    assert [work.columns for work in second] == [(*columns(Source.ENSEMBLE, PATCH, 2),), *prompted]
    assert {(work.modality, work.split, len(work.samples)) for work in first} == {("text", "test", 4)}


@pytest.mark.parametrize(("columns", "size"), [(1, PROMPTS), (8, MAX_ROWS // 8), (MAX_ROWS // 2, 2), (MAX_ROWS + 1, 1)])
def test_a_batch_has_no_more_rows_than_the_engine_takes(columns: int, size: int) -> None:
    size = min(size, PROMPTS)
    cell = Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(1))
    setup, one = setup_of(), made_task(test=2 * PROMPTS + 1)
    work = Work(one, Modality.TEXT, Split.TEST, alone(setup, one, Modality.TEXT), one.test, (Column(cell),) * columns)
    batches = list(work.batches())
    assert [number for batch in batches for number in batch] == list(range(2 * PROMPTS + 1))
    assert {len(batch) for batch in batches[:-1]} == {size}
    assert work.rows == (2 * PROMPTS + 1) * columns


def test_only_what_is_missing_is_asked_and_kept() -> None:
    setup, engine = setup_of(layer=1), Layered()
    whole = Store()
    Evaluation(engine, setup, whole, Shelf(engine, setup)).run()
    cell, other = (Cell("t", Source.TEXT, Modality.TEXT, method, Split.TEST, Variant(1)) for method in (PATCH, PROMPT))
    kept = [one for one in whole.records(cell) if one.sample != 2]
    marked = [Record(one.cell, one.sample, one.layer, "x", (), "kept", True, 1.0) for one in kept]
    part = Store(records=[*marked, *whole.records(other)])
    Evaluation(engine, setup, part, Shelf(engine, setup)).run()
    assert [one.answer for one in part.records(cell)] == ["kept", "kept", "y8", "kept"]
    assert part.records(other) == whole.records(other)
    assert {c: len(part.records(c)) for c in part.cells()} == dict.fromkeys(whole.cells(), 4)


def test_a_query_without_words_is_named_by_its_picture(picture: Path) -> None:
    samples = tuple(Sample("", ("y",), picture) for _ in range(5))
    one = Task("t", Path(), "d", "Say y:", validation=samples, test=samples)
    setup, store, engine = Setup((one,), seeds=(1,), methods=(NO_CONTEXT,)), Store(), FakeEngine()
    Evaluation(engine, setup, store, Shelf(engine, setup)).run()
    [cell] = store.cells()
    assert {record.input for record in store.records(cell)} == {str(picture)}


def test_the_other_tasks_answer_is_looked_for_in_both_of_its_splits() -> None:
    other = Task(
        "o",
        Path(),
        "d",
        "Say z:",
        validation=tuple(Sample(f"x{i}", ("no",)) for i in range(6, 8)),
        test=(Sample("x8", ("no",)), Sample("x9", ("yes",))),
    )
    setup, store, engine = setup_of(layer=0, against={"t": other}), Store(), Layered()
    Evaluation(engine, setup, store, Shelf(engine, setup)).run()
    records = store.records(Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(1)))
    assert [record.against for record in records] == [True, True, True, False]


def test_examples_are_drawn_by_seed_and_number_from_the_other_test_samples() -> None:
    setup, one = setup_of(shots=3), made_task(test=12)
    asked = [after(setup, one, WORDS, Variant(seed))(n, one.test[n]).parts[0] for seed in (1, 2) for n in (0, 1)]
    assert len({str(text).rsplit("Q:", 1)[0] for text in asked}) == 4
    assert all(str(text).count("Q:") == 4 for text in asked)
    few = made_task(test=3)
    assert str(after(setup, few, WORDS, Variant(1))(0, few.test[0]).parts[0]).count("Q:") == 3


def test_pictures_are_shown_where_they_are_asked_for() -> None:
    with planted.planted():
        one = find_task("alpha")
        setup = Setup((one,), shots=2)
        made = {
            (source, modality): after(setup, one, Transfer(source, modality), setup.variants(source, one)[0])(
                0, one.test[0]
            )
            for source in Source
            for modality in Modality
        }
        bare = [alone(setup, one, modality)(0, one.test[0]) for modality in Modality]
    assert [len(prompt.images) for prompt in bare] == [0, 1]
    assert bare[0].parts == ("Q:alpha6\nA:",)
    assert [len(prompt.images) for prompt in made.values()] == [0, 1, 2, 3, 0, 1, 0, 1]
    assert str(made[Source.TEXT, Modality.TEXT].parts[0]).startswith("Q:alpha")
    assert made[Source.IMAGE, Modality.TEXT].parts[0] == "Q:"
    assert made[Source.INSTRUCTION, Modality.TEXT].parts == ("Say alpha:\n\nQ:alpha6\nA:",)
    assert made[Source.INSTRUCTION, Modality.IMAGE].parts[0] == "Say alpha:\n\nQ:"


def test_an_instruction_is_said_in_its_wording_and_an_ensembles_in_the_first() -> None:
    one = made_task(wordings={"typo": ("Sya:", "Asy:")})
    setup = Setup((one,), wording="typo", against={"t": made_task("o")})
    told_by, shown_by = (Transfer(source, Modality.TEXT) for source in (Source.INSTRUCTION, Source.ENSEMBLE))
    wordings = setup.variants(Source.INSTRUCTION, one)
    assert wordings == (Variant(wording="Sya:"), Variant(wording="Asy:"))
    [told] = after(setup, one, told_by, wordings[1])(0, one.test[0]).parts
    assert told == "Asy:\n\nSay y:\n\nQ:x6\nA:"
    both_ways = setup.variants(Source.ENSEMBLE, one)
    assert both_ways == tuple(Variant(seed, "Sya:") for seed in (1, 2, 3))
    assert setup.variants(Source.IMAGE, one) == tuple(map(Variant, (1, 2, 3)))
    [both] = after(setup, one, shown_by, both_ways[1])(0, one.test[0]).parts
    assert str(both).startswith("Sya:\n\nSay y:\n\nQ:")


# -- numbers ------------------------------------------------------------------------------------------------------


def test_scores_and_differences_are_rounded_to_four_digits() -> None:
    third = Interval(1 / 3, 2 / 3)
    assert score_record(Score(1 / 3, third)) == {"mean": 0.3333, "interval": [0.3333, 0.6667]}
    full = score_record(Score(1 / 3, third, std=2 / 3, short=1 / 6, against=5 / 6))
    assert full == {"mean": 0.3333, "interval": [0.3333, 0.6667], "std": 0.6667, "short": 0.1667, "against": 0.8333}
    assert score_record(Score(0.0, third, std=0.0))["std"] == 0.0
    assert difference_record(Difference(-1 / 3, third)) == {"mean": -0.3333, "interval": [0.3333, 0.6667]}
    assert transfer_record(TransferResult(WORDS, None, (1 / 3,), {})) == {
        "source": "text",
        "query": "text",
        "layer": None,
        "validation": [0.3333],
        "tasks": {},
    }


def test_a_row_is_written_with_its_constant_where_it_has_one() -> None:
    score, gain = Score(0.5, Interval(0, 1)), Difference(0.25, Interval(0, 1))
    row = Row(3, {PATCH: score}, {(PATCH, PROMPT): gain}, {}, "y")
    written = {"patch": score_record(score), "patch - prompt": difference_record(gain)}
    assert row_record(row) == {"n": 3, "constant": "y", **written}
    assert "constant" not in row_record(Row(3, {}, {}, {}))


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
    said = "there are no validation samples with image to choose the layer on; give `layer`"
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


def test_an_interval_is_the_middle_95_percent() -> None:
    found = interval(np.linspace(0, 1, 2001))
    assert [found.low, found.high] == pytest.approx([0.025, 0.975])
    assert Interval(0, 1).holds_zero
    assert Interval(-1, 0).holds_zero
    assert not Interval(0.01, 1).holds_zero
    assert not Interval(-1, -0.01).holds_zero


def test_resampling_is_the_same_on_every_machine() -> None:
    found = resampled(np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]]), "t")
    assert found.shape == (2000, 2)
    assert np.allclose(found[:, 1], 1)
    assert found[:8, 0].tolist() == [0.5, 0.25, 0.75, 0.5, 0.5, 0.0, 0.25, 0.5]


# -- cells --------------------------------------------------------------------------------------------------------


def test_a_line_has_a_cell_for_each_column() -> None:
    score = Score(0.5, Interval(0.25, 0.75))
    gain = Difference(0.25, Interval(0.125, 0.5))
    scores = {
        MAJORITY: score,
        NO_CONTEXT: score,
        PROMPT: score,
        PATCH: Score(0.5, Interval(0.25, 0.75), against=0.1),
    }
    row = Row(7, scores, {(PATCH, PROMPT): gain}, {}, "y")
    assert method_cells(row, tuple(Method)) == [
        "7",
        "0.50 y",
        "0.50 [0.25, 0.75]",
        "0.50 [0.25, 0.75]",
        "0.50 [0.25, 0.75] (0.10)",
        "+0.25 [+0.12, +0.50]",
        "",
    ]
    for methods in (
        tuple(Method),
        (PROMPT,),
        (PATCH,),
        (NO_CONTEXT, PATCH),
        (PROMPT, PATCH),
    ):
        assert len(method_header(methods)) == len(method_cells(row, methods))
    assert constant(Row(7, scores, {}, {})) == "0.50"
    assert constant(Row(7, {}, {}, {}, "y")) == ""


def test_short_matches_are_told_by_method() -> None:
    def found(rows: dict[str, Row]) -> TransferResult:
        return TransferResult(WORDS, 2, (), rows)

    def score(short: float | None) -> Score:
        return Score(0.5, Interval(0, 1), short=short)

    row = Row(
        1,
        {NO_CONTEXT: score(None), PROMPT: score(0.25), PATCH: score(0.125), MAJORITY: score(0.5)},
        {},
        {},
    )
    said = "right by a match of fewer than three letters: prompt 0.25, patch 0.12"
    assert short_matches(found({AVERAGE: row})) == said
    assert short_matches(found({AVERAGE: row}), (NO_CONTEXT,)) == ""
    assert short_matches(found({})) == ""


# -- metrics ------------------------------------------------------------------------------------------------------


def test_the_metrics_compare_as_they_say() -> None:
    assert starts("Kath", "Kathmandu")
    assert starts("Kathmandu", "Kath")
    assert not starts("", "x")
    assert not starts("x", "")
    assert whole("PARIS, of course", "Paris")
    assert not whole("Parisian", "Paris")
    assert not whole("in Paris", "Paris")
    assert whole("a.b", "a.b")
    assert not whole("axb", "a.b")


def test_short_matches_and_patterns_regard_case_as_the_judge_does() -> None:
    assert not Judge().short("C", ["calf"])
    assert Judge(ignore_case=True).short(" C ", ["calf"])
    one = made_task(pattern="[a-z]+!")
    assert Judge().follows(" yes! and more", (), one.pattern)
    assert not Judge().follows("Yes", ("Yes",), one.pattern)
    assert [Judge(metric).max_tokens(task.pattern) for metric in Metric for task in (made_task(), one)] == [
        1,
        12,
        12,
        12,
    ]


def test_the_papers_averages_are_a_table_by_model() -> None:
    assert averages("table3") == paper_numbers()["table3"]["average"]


def test_a_vector_is_patched_at_the_layer_of_its_column() -> None:
    setup, engine = setup_of(), FakeEngine()
    shelf = Shelf(engine, setup)
    evaluation = Evaluation(engine, setup, Store(), shelf)
    rows = np.arange(96, dtype=np.float32).reshape(6, 16)
    shelf.held["t", Source.TEXT, Variant(2)] = TaskVector(rows)
    cell = Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(2))
    patch = evaluation._patch(setup.tasks[0], Column(cell, 3))
    assert patch is not None
    assert (patch.layer, patch.row.tolist()) == (3, rows[3].tolist())
    assert evaluation._patch(setup.tasks[0], Column(cell)) is None


# -- words that a caller misspells ----------------------------------------------------------------------------------


def test_a_setup_refuses_words_that_it_does_not_know() -> None:
    word: Any = "patsh"
    with pytest.raises(UsageError, match=r"^the method must be one of no context, prompt, patch, not 'patsh'$"):
        setup_of(methods=(PATCH, word))
    with pytest.raises(
        UsageError, match=r"^the source must be one of text, image, instruction, ensemble, not 'patsh'$"
    ):
        Transfer(word, Modality.TEXT)
    with pytest.raises(UsageError, match=r"^the modality must be one of text, image, not 'patsh'$"):
        Transfer(Source.TEXT, word)


def test_words_of_a_transfer_may_be_given_as_text() -> None:
    source, query = "ensemble", "image"
    given = Transfer(source, query)  # type: ignore[arg-type]
    assert given == Transfer(Source.ENSEMBLE, Modality.IMAGE)
    assert (given.source.modality, given.query) == (Modality.TEXT, Modality.IMAGE)
    assert str(given) == "ensemble → image"


def test_pictures_may_be_among_the_examples_or_the_queries() -> None:
    shown = {(source, query): Transfer(source, query).has_pictures for source in Source for query in Modality}
    assert [source for source in Source if shown[source, Modality.TEXT]] == [Source.IMAGE]
    assert all(shown[source, Modality.IMAGE] for source in Source)
    assert not setup_of().has_pictures
    assert Setup((), transfers=(WORDS, Transfer(Source.IMAGE, Modality.TEXT))).has_pictures
