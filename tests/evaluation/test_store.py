"""The results file: what is written in it, in which order it is read, and each refusal word for word."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tvcli.errors import TvError, UnavailableError, UsageError
from tvcli.evaluation.setup import Variant
from tvcli.evaluation.store import Cell, Record, Store, open_store
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.schema import SchemaError

CELL = Cell("t", Source.TEXT, Modality.IMAGE, Method.PATCH, Split.TEST, Variant(2))

LINE = {
    "task": "t",
    "source": "text",
    "query": "image",
    "method": "patch",
    "split": "test",
    "seed": 2,
    "wording": None,
    "sample": 3,
    "layer": 0,
    "input": "Ærø",
    "labels": ["a", "b"],
    "answer": "x\u2028y",
    "correct": True,
    "margin": 0.5,
    "against": None,
}

SETTINGS: dict[str, Any] = {"shots": 5, "tasks": {"t": "1"}}
HEAD = '{"format": 3, "shots": 5, "tasks": {"t": "1"}}\n'


def record(sample: int = 3, layer: int | None = 0, cell: Cell = CELL, answer: str = "x\u2028y") -> Record:
    return Record(cell, sample, layer, "Ærø", ("a", "b"), answer, True, 0.5)


def refusal(path: Path, settings: dict[str, Any] = SETTINGS, *, resume: bool = True) -> str:
    """What is said of a file, without its name; it must be left as it is, and not stay locked."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(TvError) as caught, open_store(path, settings, resume=resume):
        pass
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not Path(f"{path}.lock").exists()
    return str(caught.value).replace(str(path), "FILE")


def written(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "answers.jsonl"
    path.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


# -- records --------------------------------------------------------------------------------------------------


def test_a_record_is_one_flat_object_and_comes_back_from_it() -> None:
    assert record().to_json() == {**LINE, "labels": ("a", "b")}
    assert Record.from_json(dict(LINE)) == record()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, 1) for key in ("task", "source", "query", "method", "split", "wording", "input", "answer")),
        *((key, 1) for key in ("labels", "correct")),
        *((key, True) for key in ("seed", "sample", "layer", "margin")),
        *((key, 1.5) for key in ("seed", "sample", "layer", "against")),
        *((key, None) for key in LINE if key not in ("source", "seed", "wording", "layer", "against")),
        ("against", 0),
        ("labels", ["a", 1]),
    ],
)
def test_a_record_with_a_value_of_another_kind_is_refused(key: str, value: object) -> None:
    with pytest.raises(SchemaError, match=re.escape(f"the key {key} cannot be {value}")):
        Record.from_json({**LINE, key: value})


@pytest.mark.parametrize(
    "given", [{"layer": None}, {"against": True}, {"against": False}, {"margin": 1}, {"margin": 0.25}]
)
def test_a_record_may_leave_open_what_is_not_always_known(given: dict[str, Any]) -> None:
    [[key, value]] = given.items()
    assert getattr(Record.from_json({**LINE, **given}), key) == value


def test_a_record_of_a_query_alone_or_of_an_instruction_comes_back_too() -> None:
    bare = Cell("t", None, Modality.TEXT, Method.NO_CONTEXT, Split.TEST)
    told = Cell("t", Source.INSTRUCTION, Modality.TEXT, Method.PROMPT, Split.TEST, Variant(wording="Say y:"))
    for cell, words in ((bare, (None, None, None)), (told, ("instruction", None, "Say y:"))):
        line = json.loads(json.dumps(record(cell=cell).to_json()))
        assert (line["source"], line["seed"], line["wording"]) == words
        assert Record.from_json(line) == record(cell=cell)


@pytest.mark.parametrize("key", ["source", "query", "method", "split"])
def test_a_record_with_an_unknown_word_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match=r"must be one of .*, not 'patsh'"):
        Record.from_json({**LINE, key: "patsh"})


@pytest.mark.parametrize("key", [key for key in LINE if key not in ("seed", "wording", "against")])
def test_a_record_without_one_of_its_keys_is_refused(key: str) -> None:
    with pytest.raises(SchemaError, match=f"^the key {key} is missing$"):
        Record.from_json({name: value for name, value in LINE.items() if name != key})


def test_a_record_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"^unknown key more$"):
        Record.from_json({**LINE, "more": 1})


# -- the store ------------------------------------------------------------------------------------------------


def test_records_come_in_the_order_of_samples_and_layers_of_one_layer_if_given() -> None:
    order: list[tuple[int, int | None]] = [(1, 2), (0, 3), (1, 1), (1, 0), (0, None), (2, 1), (0, 1)]
    store = Store(records=[record(*key) for key in order])
    keys = [(one.sample, one.layer) for one in store.records(CELL)]
    assert keys == [(0, None), (0, 1), (0, 3), (1, 0), (1, 1), (1, 2), (2, 1)]
    assert [one.sample for one in store.records(CELL, 0)] == [1]
    assert [one.sample for one in store.records(CELL, 1)] == [0, 1, 2]


def test_a_store_knows_what_it_holds() -> None:
    store, other = Store(), Cell("u", None, Modality.TEXT, Method.NO_CONTEXT, Split.TEST)
    assert (store.cells(), store.records(CELL)) == ([], [])
    store.add([record(3, None), record(4, 2)])
    store.add([record(3, None, other)])
    assert store.cells() == [CELL, other]
    assert store.has(CELL, 3, None)
    assert store.has(CELL, 4, 2)
    unknown = replace(other, task="v")
    for cell, sample, layer in ((CELL, 3, 2), (CELL, 4, None), (other, 4, 2), (unknown, 3, None)):
        assert not store.has(cell, sample, layer)


def test_a_later_answer_replaces_an_earlier_one() -> None:
    store = Store(records=[record(answer="first")])
    store.add([record(answer="second")])
    assert [one.answer for one in store.records(CELL)] == ["second"]


class Full(io.StringIO):
    name = "answers.jsonl"

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_answers_that_cannot_be_written_are_told_of() -> None:
    with pytest.raises(UnavailableError) as caught:
        Store(Full()).add([record()])
    assert str(caught.value) == "answers.jsonl cannot be written: no space left on device"


def test_a_batch_is_on_the_disk_when_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with open_store(path, SETTINGS, resume=False) as store:
        assert path.read_text("utf-8") == HEAD
        store.add([record(3), record(4)])
        _, *lines = path.read_text("utf-8").removesuffix("\n").split("\n")
        assert lines == [json.dumps({**LINE, "sample": number}, ensure_ascii=False) for number in (3, 4)]
        assert Path(f"{path}.lock").exists()
    assert not Path(f"{path}.lock").exists()


@pytest.mark.usefixtures("ascii_locale")
def test_a_file_is_unicode_in_every_locale(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with open_store(path, {"tasks": {"mål": "1"}}, resume=False) as store:
        store.add([record()])
    first, second, _ = path.read_bytes().decode("utf-8").split("\n")
    assert json.loads(first)["tasks"] == {"mål": "1"}
    assert json.loads(second) == LINE


def test_without_a_file_answers_are_kept_in_memory(tmp_path: Path) -> None:
    with open_store(None, SETTINGS, resume=False) as store:
        store.add([record()])
        assert store.records(CELL) == [record()]


# -- going on with a file -------------------------------------------------------------------------------------


def resumed(path: Path, settings: dict[str, Any] = SETTINGS) -> Sequence[Record]:
    with open_store(path, settings, resume=True) as store:
        return [one for cell in store.cells() for one in store.records(cell)]


def test_what_was_written_is_read_again_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(LINE, ensure_ascii=False), head=HEAD.replace(" ", ""))
    before = path.read_bytes()
    assert resumed(path) == [record()]
    assert path.read_bytes() == before


@pytest.mark.parametrize("torn", ["", '{"form', '{"format": 3, "sho'])
def test_a_file_without_a_whole_line_is_begun_anew(tmp_path: Path, torn: str) -> None:
    path = written(tmp_path, head=torn)
    assert resumed(path, {"data": "Ærø"}) == []
    assert path.read_text("utf-8") == '{"format": 3, "data": "Ærø"}\n'


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(LINE))
    before = path.read_bytes()
    path.write_bytes(before + '{"task": "Æ'.encode()[:-1])
    assert resumed(path) == [record()]
    assert path.read_bytes() == before


def test_added_tasks_are_named_in_the_first_line_and_former_ones_stay(tmp_path: Path) -> None:
    lines = [json.dumps({**LINE, "sample": number}) for number in (3, 4)]
    path = written(tmp_path, *lines)
    assert resumed(path, {"shots": 5, "tasks": {"ø": "2"}}) == [record(3), record(4)]
    head = '{"format": 3, "shots": 5, "tasks": {"t": "1", "ø": "2"}}\n'
    assert path.read_text("utf-8") == f"{head}{lines[0]}\n{lines[1]}\n"


def test_a_file_without_tasks_is_gone_on_with(tmp_path: Path) -> None:
    path = written(tmp_path, head='{"format": 3, "shots": 5}\n')
    assert resumed(path, {"shots": 5}) == []
    assert path.read_text("utf-8") == '{"format": 3, "shots": 5}\n'
    assert resumed(path) == []
    assert path.read_text("utf-8") == HEAD


# -- refusals -------------------------------------------------------------------------------------------------


def test_a_file_is_gone_on_with_only_if_that_is_asked_for(tmp_path: Path) -> None:
    said = refusal(written(tmp_path), resume=False)
    assert said == "FILE already exists; add `resume` to continue it, or name another file"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("[]", "FILE, line 1: not a results file of tv"),
        ("{}", "FILE, line 1: not a results file of tv"),
        ('{"format": 3, "tasks": 1}', "FILE, line 1: not a results file of tv"),
        ("no", "FILE, line 1: not a results file of tv (Expecting value: line 1 column 1 (char 0))"),
        ('{"format": "1"}', "FILE has the results format '1', this tv reads 3; name another file"),
        ('{"format": 3, "shots": 4}', "FILE was made with shots 4, not 5; name another file"),
        ('{"format": 3}', "FILE was made with shots None, not 5; name another file"),
        ('{"format": 3, "shots": 5, "x": "y"}', "FILE was made with x 'y', not None; name another file"),
        ('{"format": 3, "z": 1, "a": 1}', "FILE was made with a 1, not None; name another file"),
        (
            '{"format": 3, "shots": 4, "tasks": {"t": "2"}}',
            "FILE has answers for other samples of the task t; name another file",
        ),
    ],
)
def test_a_file_that_answers_something_else_is_refused(tmp_path: Path, head: str, said: str) -> None:
    assert refusal(written(tmp_path, head=f"{head}\n")) == said


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", "{}", "1", '{"task": "t"}', *(json.dumps({**LINE, key: "1"}) for key in ("seed", "split"))],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str) -> None:
    assert refusal(written(tmp_path, json.dumps(LINE), line)) == "FILE, line 3: not a record of tv eval"


def test_bytes_that_are_no_text_are_no_record(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + b"\xff\n")
    assert refusal(path) == "FILE, line 2: not a record of tv eval"


def test_a_folder_holds_no_results(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    assert refusal(folder) == "FILE cannot be a results file: it is not a regular file"


def test_a_results_file_needs_its_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no" / "answers") == "FILE cannot be written: its folder does not exist"


def test_a_fault_of_the_disk_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)

    def broken(*_: object, **__: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", broken)
        with pytest.raises(UnavailableError, match=re.escape(f"{path} cannot be written: input/output error")):
            resumed(path)


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    with open_store(path, SETTINGS, resume=True), pytest.raises(UsageError) as caught:
        resumed(path)
    assert str(caught.value) == f"another run is writing {path}"


def test_a_results_file_is_not_overwritten_mixed_or_shared(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    refused = pytest.raises(UsageError, match="another run is writing")
    with open_store(path, {"shots": 5}, resume=False), refused, open_store(path, {"shots": 5}, resume=True):
        pass
    with pytest.raises(UsageError, match="add `resume`"), open_store(path, {"shots": 5}, resume=False):
        pass
    with pytest.raises(UsageError, match="was made with shots 5, not 4"), open_store(path, {"shots": 4}, resume=True):
        pass


@pytest.mark.parametrize(
    "content",
    ["hello\n", "[]\n", "{}\n", '{"format": 3}\nnonsense\n', '{"format": 3}\n{"task": "t"}\n', '{"format": 1}\n'],
)
def test_a_file_that_is_no_results_file_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(UsageError), open_store(path, {}, resume=True):
        pass
    assert path.read_text() == content
