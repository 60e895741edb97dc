"""Which prompts and patches an evaluation asks for, what it keeps, and what counts as right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from known_answers import NO_CONTEXT, PATCH, PROMPT, TASK, WORDS, Layered, Oracle, Says, made_task, setup_of

from tvcli.cli.work.records import transfer_record
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import MAX_ROWS, Answer, Decoding, Patch
from tvcli.errors import UsageError
from tvcli.evaluation.answering import PROMPTS, Condition, Evaluation, QueryGroup
from tvcli.evaluation.prompts import zero_shot_prompts
from tvcli.evaluation.results import MAJORITY, Score, TransferResult, best_layer, transfer_result
from tvcli.evaluation.run import Files, run
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.store import Cell, Record, Store, open_store
from tvcli.evaluation.vectors import VectorCache
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.metrics import Judge, Metric
from tvcli.prompts.prompt import Prompt, instruction
from tvcli.vector import TaskVector


def evaluated(engine: FakeEngine, setup: Setup, store: Store) -> dict[Transfer, int | None]:
    return Evaluation(engine, setup, store, VectorCache(engine, setup)).run()


def result(store: Store, setup: Setup, layer: int | None = 2) -> TransferResult:
    return transfer_result(store, setup, WORDS, layer)


def scores(store: Store, setup: Setup, layer: int | None = 2) -> dict[str, Score]:
    return dict(result(store, setup, layer).rows["t"].scores)


def test_planted_answers_give_the_table_that_they_must() -> None:
    setup, store = Setup((TASK,), transfers=(WORDS,)), Store()
    layers = evaluated(Oracle(), setup, store)
    assert layers == {WORDS: 2}  # 2 and 4 tie: the lowest
    found = result(store, setup)
    row = found.rows["t"]
    assert [row.scores[method].mean for method in Method] == [0.0, 0.5, 1.0]
    assert row.n == 40
    assert row.scores[PATCH].std == 0.0
    assert found.validation == (0, 0, 1, 0, 1, 0)


def test_a_given_layer_skips_validation_and_may_be_zero() -> None:
    setup, store = Setup((TASK,), transfers=(WORDS,), layer=0), Store()
    assert evaluated(Oracle(), setup, store) == {WORDS: 0}
    assert {cell.split for cell in store.cells()} == {"test"}
    assert scores(store, setup, 0)[PATCH].mean == 0.0


def test_the_query_alone_is_asked_once_for_all_seeds_and_sources() -> None:
    setup, store = Setup((TASK,), transfers=(WORDS, Transfer(Source.INSTRUCTION, Modality.TEXT))), Store()
    evaluated(Oracle(), setup, store)
    assert [(cell.source, cell.variant) for cell in store.cells() if cell.method == NO_CONTEXT] == [(None, Variant())]
    found = {source: {cell.variant for cell in store.cells() if cell.source == source} for source in Source}
    assert found[Source.TEXT] == {Variant(1), Variant(2), Variant(3)}
    assert found[Source.INSTRUCTION] == {Variant(wording="Say y:")}


def test_each_vector_is_read_once() -> None:
    class Counting(Oracle):
        reads = 0

        def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
            Counting.reads += 1
            return super().read(prompts, patch)

    engine, setup = Counting(), Setup((TASK,), transfers=(WORDS, Transfer(Source.INSTRUCTION, Modality.TEXT)))
    vector_cache = VectorCache(engine, setup)
    Evaluation(engine, setup, Store(), vector_cache).run()
    vector_cache.read_all()
    assert len(vector_cache.vectors) == len(setup.seeds) + 1
    assert Counting.reads == len(setup.seeds) * len(TASK.validation) + 1  # a prompt at a time


@pytest.mark.parametrize("missing", ["prompt", "patch"])
def test_an_engine_that_answers_too_little_is_noticed_before_anything_is_kept(missing: str) -> None:
    class Short(Oracle):
        def answer(
            self,
            prompts: Sequence[Prompt],
            patches: Sequence[Patch | None] = (None,),
            decoding: Decoding = Decoding(),  # noqa: B008
        ) -> list[list[Answer]]:
            answers = super().answer(prompts, patches, decoding)
            return answers[:-1] if missing == "prompt" else [row[:-1] for row in answers]

    setup, store = Setup((TASK,), transfers=(WORDS,), layer=2), Store()
    with pytest.raises(ValueError, match="shorter"):
        evaluated(Short(), setup, store)
    assert store.cells() == []


def test_progress_adds_up_to_the_announced_rows() -> None:
    engine, setup = Oracle(), Setup((TASK,), transfers=(WORDS, Transfer(Source.ENSEMBLE, Modality.TEXT)))
    evaluation = Evaluation(engine, setup, Store(), VectorCache(engine, setup))
    steps: list[int] = []
    evaluation.run(steps.append)
    assert sum(steps) == evaluation.total_rows()


def test_to_override_the_prompt_asks_the_other_task() -> None:
    other = Task("o", Path(), "d", "Say z:", test=tuple(Sample(s.input, (f"n{s.input}",)) for s in TASK.test))
    setup, store = Setup((TASK,), transfers=(WORDS,), layer=2, against={"t": other}), Store()
    [text] = zero_shot_prompts(setup, TASK, Modality.TEXT)(0, TASK.test[0]).parts
    assert text == f"Say z:\n\nQ:{TASK.test[0].input}\nA:"
    evaluated(Oracle(), setup, store)
    patched = scores(store, setup)[PATCH]
    assert (patched.mean, patched.against) == (1.0, 0.0)


# -- interrupted ----------------------------------------------------------------------------------------------


class StoppedError(Exception):
    pass


def test_an_interrupted_run_resumes_without_redoing_or_losing_a_sample(tmp_path: Path) -> None:
    setup, whole = Setup((TASK,), transfers=(WORDS,)), Store()
    evaluated(Oracle(), setup, whole)
    expected = transfer_record(result(whole, setup))

    path = tmp_path / "answers.jsonl"
    calls = 0
    while True:
        engine = Oracle()

        def advance(rows: int, engine: Oracle = engine) -> None:
            if engine.calls >= 2:
                raise StoppedError

        try:
            with open_store(path, {}, resume=True) as store:
                Evaluation(engine, setup, store, VectorCache(engine, setup)).run(advance)
            calls += engine.calls
            break
        except StoppedError:
            calls += engine.calls
    assert transfer_record(result(store, setup, best_layer(store, setup, WORDS))) == expected
    undisturbed = Oracle()
    evaluated(undisturbed, setup, Store())
    assert calls == undisturbed.calls
    lines = path.read_text().splitlines()
    assert len(lines) == len(set(lines))


def test_a_torn_last_line_is_dropped_and_made_again(tmp_path: Path) -> None:
    setup, path = Setup((TASK,), transfers=(WORDS,)), tmp_path / "answers.jsonl"
    with open_store(path, {}, resume=False) as store:
        evaluated(Oracle(), setup, store)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with open_store(path, {}, resume=True) as store:
        evaluated(Oracle(), setup, store)
    assert path.read_bytes() == whole


# -- what is asked --------------------------------------------------------------------------------------------


def works(setup: Setup, engine: FakeEngine | None = None) -> Evaluation:
    asked = engine or FakeEngine()
    return Evaluation(asked, setup, Store(), VectorCache(asked, setup))


def test_validation_asks_all_layers_of_all_seeds() -> None:
    setup = Setup((made_task(), made_task("u")), transfers=(WORDS,), seeds=(1, 3))
    found = list(works(setup).validation(WORDS))
    assert [(work.task.name, work.modality, work.split, len(work.samples)) for work in found] == [
        ("t", "text", "validation", 6),
        ("u", "text", "validation", 6),
    ]
    cells = [Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.VALIDATION, Variant(seed)) for seed in (1, 3)]
    assert found[0].conditions == tuple(Condition(cell, layer) for cell in cells for layer in range(6))
    for more in ({"layer": 2}, {"methods": (PROMPT, NO_CONTEXT)}):
        assert list(works(setup_of(**more)).validation(WORDS)) == []


def test_validation_of_a_task_that_overrides_asks_the_other_one() -> None:
    setup = Setup((made_task("u"),), transfers=(WORDS,), against={"u": made_task("o")})
    [work] = works(setup).validation(WORDS)
    assert work.make_prompt(0, work.samples[0]).parts == ("Say y:\n\nQ:x0\nA:",)


def test_the_test_split_is_asked_alone_together_and_after_examples_seed_by_seed() -> None:
    transfers = (WORDS, Transfer(Source.ENSEMBLE, Modality.TEXT))
    evaluation = works(Setup((made_task(),), transfers=transfers, seeds=(1, 3)))
    first, second = (list(evaluation.test(transfer, 2)) for transfer in transfers)
    bare = Condition(Cell("t", None, Modality.TEXT, NO_CONTEXT, Split.TEST))

    def columns(source: Source, method: Method, layer: int | None) -> list[Condition]:
        told = "Say y:" if source == Source.ENSEMBLE else None
        cells = (Cell("t", source, Modality.TEXT, method, Split.TEST, Variant(seed, told)) for seed in (1, 3))
        return [Condition(cell, layer) for cell in cells]

    prompted = [(one,) for one in columns(Source.TEXT, PROMPT, None)]
    assert [work.conditions for work in first] == [(bare, *columns(Source.TEXT, PATCH, 2)), *prompted]
    prompted = [(one,) for one in columns(Source.ENSEMBLE, PROMPT, None)]
    assert [work.conditions for work in second] == [(*columns(Source.ENSEMBLE, PATCH, 2),), *prompted]
    assert {(work.modality, work.split, len(work.samples)) for work in first} == {("text", "test", 4)}


@pytest.mark.parametrize(("columns", "size"), [(1, PROMPTS), (8, MAX_ROWS // 8), (MAX_ROWS // 2, 2), (MAX_ROWS + 1, 1)])
def test_a_batch_has_no_more_rows_than_the_engine_takes(columns: int, size: int) -> None:
    size = min(size, PROMPTS)
    cell = Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(1))
    setup, one = setup_of(), made_task(test=2 * PROMPTS + 1)
    make_prompt, conditions = zero_shot_prompts(setup, one, Modality.TEXT), (Condition(cell),) * columns
    work = QueryGroup(one, Modality.TEXT, Split.TEST, make_prompt, one.test, conditions)
    batches = list(work.batches())
    assert [number for batch in batches for number in batch] == list(range(2 * PROMPTS + 1))
    assert {len(batch) for batch in batches[:-1]} == {size}
    assert work.rows == (2 * PROMPTS + 1) * columns


def test_only_what_is_missing_is_asked_and_kept() -> None:
    setup, engine = setup_of(layer=1), Layered()
    whole = Store()
    Evaluation(engine, setup, whole, VectorCache(engine, setup)).run()
    cell, other = (Cell("t", Source.TEXT, Modality.TEXT, method, Split.TEST, Variant(1)) for method in (PATCH, PROMPT))
    kept = [one for one in whole.records(cell) if one.sample != 2]
    marked = [Record(one.cell, one.sample, one.layer, "x", (), "kept", True, 1.0) for one in kept]
    part = Store(records=[*marked, *whole.records(other)])
    Evaluation(engine, setup, part, VectorCache(engine, setup)).run()
    assert [one.answer for one in part.records(cell)] == ["kept", "kept", "y8", "kept"]
    assert part.records(other) == whole.records(other)
    assert {c: len(part.records(c)) for c in part.cells()} == dict.fromkeys(whole.cells(), 4)


def test_a_query_without_words_is_named_by_its_picture(picture: Path) -> None:
    samples = tuple(Sample("", ("y",), picture) for _ in range(5))
    one = Task("t", Path(), "d", "Say y:", validation=samples, test=samples)
    setup, store, engine = Setup((one,), seeds=(1,), methods=(NO_CONTEXT,)), Store(), FakeEngine()
    Evaluation(engine, setup, store, VectorCache(engine, setup)).run()
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
    Evaluation(engine, setup, store, VectorCache(engine, setup)).run()
    records = store.records(Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(1)))
    assert [record.against for record in records] == [True, True, True, False]


# -- what is patched ------------------------------------------------------------------------------------------


def test_a_vector_is_patched_at_the_layer_of_its_column() -> None:
    setup, engine = setup_of(), FakeEngine()
    vector_cache = VectorCache(engine, setup)
    evaluation = Evaluation(engine, setup, Store(), vector_cache)
    rows = np.arange(96, dtype=np.float32).reshape(6, 16)
    vector_cache.vectors[vector_cache.key(setup.tasks[0], Source.TEXT, Variant(2))] = TaskVector(rows)
    cell = Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(2))
    patch = evaluation._patch(setup.tasks[0], Condition(cell, 3), setup.tasks[0].test[0])
    assert patch is not None
    assert (patch.layer, patch.row.tolist()) == (3, rows[3].tolist())
    assert evaluation._patch(setup.tasks[0], Condition(cell), setup.tasks[0].test[0]) is None


def test_vectors_are_never_read_from_the_test_split() -> None:
    samples = [Sample(f"x{i}", (f"y{i}",)) for i in range(20)]
    task = Task("t", Path(), "d", "Say:", validation=tuple(samples[:10]), test=tuple(samples[10:]))

    class Watching(FakeEngine):
        seen = ""

        def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
            Watching.seen += "".join(str(part) for prompt in prompts for part in prompt.parts)
            return super().read(prompts, patch)

    engine, setup = Watching(), Setup((task,), transfers=(WORDS, Transfer(Source.ENSEMBLE, Modality.TEXT)))
    Evaluation(engine, setup, Store(), VectorCache(engine, setup)).run()
    assert all(f"Q:{sample.input}\n" in Watching.seen for sample in task.validation)
    assert not any(f"Q:{sample.input}\n" in Watching.seen for sample in task.test)


# -- who counts as right --------------------------------------------------------------------------------------


def task_of(labels: str, **more: str) -> Task:
    samples = tuple(Sample(f"x{i}", (labels,)) for i in range(6))
    return Task("t", Path(), "d", "Say:", validation=samples, test=samples, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "pattern", "tokens"), [("paper", "", 1), ("exact", "", 12), ("paper", "[a-z ]+", 48)]
)
def test_the_metric_decides_how_many_tokens_are_asked_for(metric: str, pattern: str, tokens: int) -> None:
    engine = Says("no")
    setup = Setup((task_of("y", pattern=pattern),), transfers=(WORDS,), judge=Judge(Metric(metric)), seeds=(1,))
    Evaluation(engine, setup, Store(), VectorCache(engine, setup)).run()
    assert set(engine.asked) == {Decoding(tokens, stop_at_newline=not pattern)}


def test_an_answer_that_overrides_goes_on_after_a_newline() -> None:
    """An instruction vector brings one first, and the answer behind it would be lost."""
    other, tasks = replace(task_of("n"), name="o"), (task_of("y"),)
    exact = Setup(tasks, transfers=(WORDS,), judge=Judge(Metric.EXACT), seeds=(1,), layer=2)
    for setup, stops in ((exact, True), (replace(exact, against={"t": other}), False)):
        engine = Says("\n\n y")
        store = Store()
        evaluated(engine, setup, store)
        assert set(engine.asked) == {Decoding(12, stop_at_newline=stops)}
        assert result(store, setup).rows["t"].scores[PATCH].mean == 1.0


def test_an_answer_of_both_tasks_does_not_follow_the_vector() -> None:
    """To override the prompt's task is to answer the vector's and not the prompt's."""
    engine, other = Says(" both"), task_of("both of them")
    setup = Setup((task_of("both"),), transfers=(WORDS,), layer=2, seeds=(1,), against={"t": other})
    store = Store()
    Evaluation(engine, setup, store, VectorCache(engine, setup)).run()
    scores = transfer_result(store, setup, WORDS, 2).rows["t"].scores
    overridden = {method: (score.mean, score.against) for method, score in scores.items() if method != MAJORITY}
    assert overridden == dict.fromkeys((NO_CONTEXT, PROMPT, PATCH), (0.0, 1.0))


# -- samples with instructions of their own -----------------------------------------------------------------------


class Hears(FakeEngine):
    """Keeps what it is asked: the prompt, and the patched row if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, list[float] | None]] = []

    def _answer(self, prompt: Prompt, patch: Patch | None, decoding: Decoding) -> Answer:
        self.heard.append((str(prompt.parts[0]), None if patch is None else patch.row.tolist()))
        return super()._answer(prompt, patch, decoding)


def overriding_task(count: int = 3) -> Task:
    samples = [
        Sample(f"x{i}", (f"y{i}",), question=f"What {i}?", instruction=f"Say {i}", against=(f"n{i}",))
        for i in range(count)
    ]
    return Task("t", Path(), "d", "each its own", test=tuple(samples))


def own_instructions(**more: object) -> Setup:
    transfers = (Transfer(Source.INSTRUCTION, Modality.TEXT),)
    return replace(Setup((overriding_task(),), transfers=transfers, layer=2, judge=Judge(Metric.EXACT)), **more)  # type: ignore[arg-type]


def test_each_sample_is_patched_with_the_vector_of_its_own_instruction() -> None:
    engine, setup = Hears(), own_instructions()
    evaluated(engine, setup, Store())
    rows = [engine.read([instruction(f"Say {i}")])[0][2].tolist() for i in range(3)]
    assert [row for _, row in engine.heard if row is not None] == rows
    query = "Q:x{0} What {0}?\nA:"
    assert [text for text, row in engine.heard if row is not None] == [query.format(i) for i in range(3)]
    unpatched = [text for text, row in engine.heard if row is None]
    assert unpatched[:3] == [query.format(i) for i in range(3)]
    assert unpatched[3:] == [f"Say {i}\n\n{query.format(i)}" for i in range(3)]  # as a system prompt


@pytest.mark.parametrize(("answer", "right", "against"), [("y1", 1 / 3, 0), ("n1", 0, 1 / 3), ("else", 0, 0)])
def test_an_answer_to_the_question_is_not_one_to_the_instruction(answer: str, right: float, against: float) -> None:
    store, setup = Store(), own_instructions()
    evaluated(Says(answer), setup, store)
    [transfer] = setup.transfers
    score = transfer_result(store, setup, transfer, 2).rows["t"].scores[PATCH]
    assert [score.mean, score.against] == pytest.approx([right, against])


def test_instructions_of_samples_need_no_competing_task_and_no_other_source() -> None:
    setup = own_instructions()
    assert setup.overrides(setup.tasks[0])
    with pytest.raises(UsageError, match="have instructions of their own; `source` must be instruction"):
        run(FakeEngine(), own_instructions(transfers=(WORDS,)))
    with pytest.raises(UsageError, match="so it has no vectors to save"):
        run(FakeEngine(), own_instructions(), files=Files(vectors=Path("vectors")))
