"""A study: each evaluation is done once, and the other model's vectors are read there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from known_answers import NO_CONTEXT, PROMPT, WORDS
from planted import study

import tvcli.evaluation.vectors
import tvcli.models.opening
from tvcli.cli.work.records import transfer_record
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Engine, Settings
from tvcli.errors import UsageError, VectorError
from tvcli.evaluation.results import MAJORITY
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.vectors import read_vector
from tvcli.inputs.tasks import Task, find_task
from tvcli.kinds import Modality, Source
from tvcli.models.opening import Model, ModelRequest
from tvcli.paper.study import Study


def test_an_evaluation_is_done_once_for_its_setup(planted_folder: Path) -> None:
    known = study(planted_folder, llm="fake")
    first = known.evaluate("table2", known.setup())
    assert known.evaluate("any name", known.setup()) is first
    assert known.table2() is first[0]
    fixed = replace(known.setup(), layer=1)
    other = known.evaluate("table2", fixed)
    assert (first[0].layer, other[0].layer) == (3, 1)
    moved = known.evaluate("table2", fixed, of_llm=True)
    assert moved is not other
    assert known.evaluate("table2", fixed) is other


def test_a_study_goes_on_with_what_is_in_its_folder(planted_folder: Path, tmp_path: Path) -> None:
    first, again = (
        known.evaluate("a", known.setup()) for known in (study(planted_folder, folder=tmp_path) for _ in range(2))
    )
    assert list(map(transfer_record, first)) == list(map(transfer_record, again))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_study_tells_its_meter(planted_folder: Path) -> None:
    told: list[tuple[int, str]] = []

    @contextmanager
    def meter(total: int, what: str) -> Iterator[Any]:
        told.append((total, what))
        yield lambda steps: None

    known = study(planted_folder, meter=meter)
    known.evaluate("table2", replace(known.setup(), layer=1))
    assert told == [(2 * (8 + 2 * 8 + 2 * 8), "answered")]


def test_a_study_asks_with_pictures_where_the_model_sees(planted_folder: Path) -> None:
    sees, blind = study(planted_folder), study(planted_folder, engine=FakeEngine(vision=False))
    assert (sees.query_modality, sees.modalities) == (Modality.IMAGE, [Modality.TEXT, Modality.IMAGE])
    assert (blind.query_modality, blind.modalities) == (Modality.TEXT, [Modality.TEXT])
    told = sees.setup(Source.INSTRUCTION, Source.ENSEMBLE).transfers
    assert told == tuple(Transfer(source, Modality.IMAGE) for source in (Source.INSTRUCTION, Source.ENSEMBLE))
    assert blind.setup().transfers == (WORDS,)


def test_a_study_hands_on_its_settings(planted_folder: Path) -> None:
    known = study(planted_folder, limit=5)
    seen = Transfer(Source.TEXT, Modality.IMAGE)
    assert known.setup() == Setup(known.tasks, transfers=(seen,), seeds=(1, 2), limit=5)
    assert (known.data, known.is_papers) == ("tv's own data", False)
    told = Variant(wording="Say beta:")
    found = known.vector(known.tasks[1], Source.INSTRUCTION, told)
    assert known.vector(known.tasks[1], Source.INSTRUCTION, told) is found
    assert list(known.vectors.values()) == [found]
    assert (known.vector_cache.engine, known.vector_cache.setup) == (known.engine, known.setup())


def test_vectors_of_the_language_model_are_read_there_and_must_fit(
    planted_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, other = study(planted_folder, llm="fake"), planted.Planted(planted_folder, llm=True)
    with monkeypatch.context() as patched:
        patched.setattr(tvcli.models.opening, "FakeEngine", lambda: other)
        found = known.llm_vectors
        patched.setattr(tvcli.models.opening, "FakeEngine", lambda: FakeEngine(n_layer=4))
        with pytest.raises(VectorError, match="the models must have the same size"):
            _ = study(planted_folder, llm="fake").llm_vectors
    again = planted.Planted(planted_folder, llm=True)
    for task in known.tasks:
        for seed in (1, 2):
            wanted = read_vector(again, known.setup(), task, Source.TEXT, Variant(seed))
            assert np.array_equal(found.get(task, Source.TEXT, Variant(seed)).rows, wanted.rows)
    with pytest.raises(UsageError, match="is closed"):
        other.tokens("x")


def test_the_language_model_is_loaded_as_the_model_is(planted_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[ModelRequest] = []
    real = ModelRequest.open

    def opening(request: ModelRequest) -> Model:
        opened.append(request)
        return real(request)

    known = study(planted_folder, llm="fake")
    known.request = ModelRequest("fake", Path("eyes.gguf"), Settings(threads=3))
    monkeypatch.setattr(ModelRequest, "open", opening)
    known.evaluate("one", replace(known.setup(), layer=1), of_llm=True)
    known.evaluate("two", replace(known.setup(), layer=2), of_llm=True)
    assert opened == [ModelRequest("fake", None, Settings(threads=3))]


def test_a_study_answers_again_when_the_same_item_is_asked_with_another_setup() -> None:
    one = find_task("food-color")
    study = Study(engine=FakeEngine(), request=ModelRequest("fake"), tasks=(one,), seeds=(1,), limit=6)
    prompted = replace(study.setup(), transfers=(WORDS,), methods=(PROMPT,))
    first = study.evaluate("table2", prompted)
    assert study.evaluate("another name", replace(prompted)) is first
    other = study.evaluate("table2", replace(prompted, methods=(NO_CONTEXT,)))
    assert set(other[0].average.scores) == {MAJORITY, NO_CONTEXT}


def test_one_layer_is_chosen_in_table_2_for_all(planted_folder: Path) -> None:
    """But for an evaluation that is about its own layer, and one that patches nothing."""
    known = study(planted_folder, one_layer=True)
    [own] = known.evaluate("other", replace(known.setup(Source.INSTRUCTION)))
    [table2] = known.evaluate("table2", known.setup())
    assert (table2.layer, own.layer) == (3, 3)
    assert len(table2.validation) == known.engine.model.n_layer
    assert own.validation == ()
    shots = replace(known.setup(), shots=2)
    [free] = known.evaluate("free", shots, own_layer=True)
    assert len(free.validation) == known.engine.model.n_layer
    [bare] = known.evaluate("bare", replace(shots, methods=(NO_CONTEXT,)))
    assert bare.layer is None


def test_a_vector_that_several_evaluations_need_is_read_once(
    planted_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, Variant]] = []

    def counted(engine: Engine, setup: Setup, task: Task, source: Source, variant: Variant) -> Any:
        read.append((task.name, variant))
        return read_vector(engine, setup, task, source, variant)

    monkeypatch.setattr(tvcli.evaluation.vectors, "read_vector", counted)
    known = study(planted_folder)
    known.evaluate("one", known.setup())
    known.evaluate("two", replace(known.setup(), layer=1))
    known.vector(known.tasks[0], Source.TEXT, Variant(known.seeds[0]))
    assert len(read) == len(set(read)) == len(known.tasks) * len(known.seeds)
    known.evaluate("three", replace(known.setup(), layer=1, shots=2))  # other vectors
    assert len(read) == 2 * len(set(read))
