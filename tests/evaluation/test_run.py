"""An evaluation from a setup to its results file and its vectors, and what is refused before the work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from known_answers import PROMPT, TASK, WORDS, Layered, Oracle, made_task, setup_of

from tvcli.cli.work.records import result_record
from tvcli.engine.fake import FakeEngine
from tvcli.errors import UsageError, VectorError
from tvcli.evaluation.run import Files, run
from tvcli.evaluation.setup import Setup, Transfer
from tvcli.evaluation.vectors import VectorCache
from tvcli.kinds import Modality, Source
from tvcli.method.extract import tv_version
from tvcli.models.opening import ModelRequest
from tvcli.vector import load


def test_a_results_file_begins_with_what_its_answers_depend_on(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    run(Layered(), setup_of(), files=Files(file))
    head, first, *_ = map(json.loads, file.read_text("utf-8").splitlines())
    settings = {
        "model": "fake 6 × 16",
        "picture": "model",
        "tv": tv_version(),
        "source_model": None,
        **setup_of().to_json(),
    }
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
    assert head == {"format": 3, **settings, "source_model": {"model": "fake 6 × 16", "picture": "model"}}


def test_vectors_are_kept_with_the_layer_that_validation_chose(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "vectors"
    setup = Setup((made_task(),), transfers=(WORDS, Transfer(Source.INSTRUCTION, Modality.TEXT)), seeds=(1, 2))
    run(Layered(), setup, files=Files(vectors=folder))
    names = ["t.instruction.1.npy", "t.text.1.npy", "t.text.2.npy"]
    assert sorted(path.name for path in folder.iterdir()) == names
    vector_cache = VectorCache(FakeEngine(), setup)
    vector_cache.read_all()
    for task, source, variant in vector_cache.wanted():
        kept = load(folder / f"{task.name}.{source}.{variant.seed or 1}.npy")
        assert np.array_equal(kept.rows, vector_cache.get(task, source, variant).rows)
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
        (Setup((made_task(), made_task("u"), made_task())), "t is the name of two tasks; rename the task's folder"),
        (
            Setup((made_task("average"),)),
            "average is the name of a table row; rename the task's folder",
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


def test_a_run_goes_on_with_its_file_where_that_is_asked_for(tmp_path: Path) -> None:
    setup, path, engine = Setup((TASK,), transfers=(WORDS,), layer=2), tmp_path / "results.jsonl", Oracle()
    first = run(Oracle(), setup, files=Files(path))
    again = run(engine, setup, files=Files(path, resume=True))
    assert (engine.calls, result_record(again)) == (0, result_record(first))
    with pytest.raises(UsageError, match="already exists; add `resume`"):
        run(engine, setup, files=Files(path))


def test_models_of_different_sizes_do_not_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VectorError, match="must have the same size"):
        run(FakeEngine(n_layer=4), Setup((TASK,), transfers=(WORDS,)), source_model=ModelRequest("fake"))
