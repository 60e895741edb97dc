"""A plan says what an item then takes; it makes nothing and writes nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import planted
import pytest
from clocked import Clock, Clocked, clock  # noqa: F401 - a fixture
from conftest import Runner

from tvcli.engine.fake import FakeEngine
from tvcli.inputs.tasks import find_task
from tvcli.models.opening import Model, ModelRequest
from tvcli.paper.items import ITEMS
from tvcli.paper.plan import Planned, plan
from tvcli.paper.study import Study
from tvcli.timing import Spent

LOAD = Spent(100.0, 200.0)


@pytest.fixture
def tasks() -> Iterator[Path]:
    with planted.planted() as folder:
        yield folder


@pytest.fixture
def plain(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``--model fake`` is the plain fake: the planted engine knows no other prompts than those of tasks."""
    with monkeypatch.context() as patched:
        patched.setattr("tvcli.models.opening.FakeEngine", FakeEngine)
        yield


def planned(study: Study, *names: str) -> dict[str, Planned]:
    return {one.name: one for one in plan(study, {name: ITEMS[name].make for name in names}, LOAD)}


@pytest.mark.parametrize("name", [name for name in ITEMS if name != "table7"])
def test_the_time_of_each_item_is_what_it_then_takes(
    name: str,
    tasks: Path,
    clock: Clock,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    questions = tuple(find_task(str(tasks / name)) for name in ("epsilon", "zeta"))
    with monkeypatch.context() as patched:
        patched.setattr("tvcli.models.opening.FakeEngine", lambda: Clocked(clock))  # of the LLM
        known = planned(planted.study(tasks, engine=Clocked(clock), llm="fake", imported=questions), name)[name]
        engine, started = Clocked(clock), clock.now()
        ITEMS[name].make(planted.study(tasks, engine=engine, llm="fake", imported=questions))
        took = clock.now() - started
    assert took.wall > 1
    assert known.spent.wall == pytest.approx(took.wall, rel=0.01)
    assert known.spent.cpu == pytest.approx(took.cpu, rel=0.01)


def test_what_items_share_is_counted_in_the_first(tasks: Path, clock: Clock) -> None:  # noqa: F811
    known = planned(planted.study(tasks, engine=Clocked(clock)), "table2", "table6", "table12")
    alone = planned(planted.study(tasks, engine=Clocked(clock)), "table6", "table12")
    assert known["table2"].answers >= alone["table6"].answers > 0
    assert known["table6"].answers == 0
    assert known["table6"].work.rows < alone["table6"].work.rows
    assert known["table12"].answers == alone["table12"].answers
    assert known["table12"].work.encodings < alone["table6"].work.encodings


def test_what_the_folder_has_is_not_to_be_done_again(tasks: Path, tmp_path: Path) -> None:
    def study() -> Study:
        return planted.study(tasks, engine=FakeEngine(), folder=tmp_path)

    empty = planned(study(), "table2")["table2"]
    assert (empty.there, list(tmp_path.iterdir())) == (0, [])
    ITEMS["table2"].make(study())
    file, there = tmp_path / "table2.jsonl", sorted(tmp_path.iterdir())
    whole = file.read_bytes()
    full = planned(study(), "table2")["table2"]
    assert (full.there, full.answers, full.work.rows, full.spent.wall < LOAD.wall) == (
        empty.answers,
        empty.answers,
        0,
        True,
    )
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-8]) + b'{"torn')
    partly = planned(study(), "table2")["table2"]
    assert partly.there == empty.answers - 8
    assert 0 < partly.work.rows < empty.work.rows
    assert file.read_bytes() == b"".join(lines[:-8]) + b'{"torn'
    assert sorted(tmp_path.iterdir()) == there


def test_what_cannot_be_made_says_why(tasks: Path) -> None:
    known = planned(planted.study(tasks, engine=FakeEngine(vision=False)), "table12", "table2")
    assert known["table12"].skipped.startswith("table 12 needs a model with an image encoder")
    assert known["table12"].work.decodes == 0
    assert (known["table2"].skipped, known["table2"].work.encodings) == ("", 0)


def test_no_process_is_started_for_the_memory(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: Any, **__: Any) -> None:
        pytest.fail("a process was started")

    monkeypatch.setattr(subprocess, "run", start)
    known = planned(planted.study(tasks, engine=FakeEngine()), "table7")["table7"]
    assert known.processes == 2
    assert known.spent.wall > 2 * LOAD.wall


def test_a_command_that_judges_is_not_started(tasks: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    known = planned(planted.study(tasks, engine=FakeEngine(), judge=f"touch {started}"), "after-table5")["after-table5"]
    assert known.work.rows > 0
    assert not started.exists()


def test_the_language_model_is_not_fetched_for_a_plan(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: ModelRequest) -> Model:
        pytest.fail("a model was loaded")

    monkeypatch.setattr(ModelRequest, "load", load)
    with_llm = planned(planted.study(tasks, engine=FakeEngine(), llm="vicuna-7b-v1.5"), "table2", "table3")
    assert with_llm["table3"].processes == 1
    assert with_llm["table3"].work.rows > 0


# -- tv paper --plan --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("plain")
def test_the_command_says_it_and_makes_nothing(tv: Runner, tmp_path: Path) -> None:
    given = ["--seeds", "1,2", "-o", tmp_path / "answers"]
    ran = tv("paper", "table2", "table12", "--plan", *given)
    assert ran.code == 0, ran.err
    header, *rows = [line.split("\t") for line in ran.out.splitlines()]
    assert header == ["item", "answers", "there", "tokens", "rows", "encodings", "time"]
    assert [row[0] for row in rows] == ["table2", "table12", "together"]
    first, second, both = (int(row[1].replace(",", "")) for row in rows)
    assert first + second == both
    assert "What several items need is counted in the first of them" in ran.err
    assert not (tmp_path / "answers").exists()
    assert tv("paper", "table2", *given).code == 0
    after = [line.split("\t") for line in tv("paper", "table2", "--plan", *given).out.splitlines()]
    assert after[1][1:6] == [rows[0][1], rows[0][1], "0", "0", "0"]


@pytest.mark.usefixtures("plain")
def test_the_plan_as_json(tv: Runner) -> None:
    ran = tv("paper", "all", "--plan", "--seeds", "1", "--json")
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert [record["name"] for record in records] == [*ITEMS, "together"]
    *items, together = records
    for key in ("answers", "there", "tokens", "rows", "encodings", "processes"):
        assert sum(item[key] for item in items) == together[key]
    assert together["seconds"] >= sum(item["seconds"] for item in items) - 0.1
    assert set(items[0]) == {*together}
