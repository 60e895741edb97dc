"""The paper's items by name, and each table and evaluation as the planted engine must make it."""

from __future__ import annotations

import json
from pathlib import Path

import planted
import pytest
from conftest import Runner

import tvcli.models.opening
from tvcli.errors import UsageError
from tvcli.paper.items import ITEMS, OF_QUESTIONS, find_items

# -- names ----------------------------------------------------------------------------------------------------


def test_items_are_found_by_name_and_all_are_every_one() -> None:
    assert find_items(["all"]) == list(ITEMS)
    assert find_items(["figure6", "table2"]) == ["figure6", "table2"]
    assert find_items(["table11"]) == ["table3"]


@pytest.mark.parametrize("names", [["table99"], ["table2", "table99"]])
def test_an_unknown_item_is_refused_with_those_that_there_are(names: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        find_items(names)
    assert str(caught.value) == f"unknown item 'table99'; the items are {', '.join(ITEMS)}, or all"


def test_the_list_of_items_says_what_each_is_needs_and_does_otherwise(tv: Runner) -> None:
    said = [line.split("\t") for line in tv("paper").out.splitlines()]
    assert said[0] == ["name", "title", "needs", "differs from the paper"]
    assert [line[0] for line in said[1:]] == [
        *("table2", "table3", "table4", "after-table4", "table5", "after-table5"),
        *("table6", "table7", "table9", "table10", "table12", "table13"),
        *("figure2", "figure4", "figure5", "figure6", "figure7", "figure8"),
    ]
    by_name = {line[0]: line for line in said}
    title = "vectors from the language model, patched into the VLM; per task, table 11"
    assert by_name["table3"] == ["table3", title, "the VLM's language model", ""]
    assert by_name["table7"][3] == "memory is that of a process; in the paper, of a GPU"
    assert all(all(line[1:3]) for line in said)
    records = [json.loads(line) for line in tv("paper", "--json").out.splitlines()]
    assert [list(record.values()) for record in records] == said[1:]


# -- the tables of the paper, each as the planted engine must make it -----------------------------------------


GOLDEN = json.loads(planted.GOLDEN.read_text("utf-8"))


@pytest.mark.parametrize("name", ITEMS)
def test_a_table_is_what_the_planted_engine_makes_of_it(name: str) -> None:
    """If a change of this table is meant: python tests/planted.py > tests/data/golden_tables.json."""
    assert planted.table(name) == GOLDEN["tables"][name]


def test_the_golden_tables_are_those_that_the_program_has() -> None:
    assert list(GOLDEN["tables"]) == list(ITEMS)
    assert tuple(GOLDEN["evaluations"]) == planted.EVALUATIONS


@pytest.mark.parametrize("command", planted.EVALUATIONS)
def test_an_evaluation_says_what_the_planted_engine_makes_of_it(command: str) -> None:
    assert planted.evaluation(command) == GOLDEN["evaluations"][command]


@pytest.mark.parametrize("name", [name for name in ITEMS if name != "table7"])
def test_a_table_is_resumed_from_its_folder(tv: Runner, tmp_path: Path, name: str) -> None:
    imported = ["-T", "epsilon", "-T", "zeta"] if name in OF_QUESTIONS else []
    arguments = ["paper", name, "--json", "--seeds", "1,2", *imported, "-o", tmp_path / "answers"]
    with planted.planted():
        first = tv(*arguments)
    kept = {path: path.read_bytes() for path in (tmp_path / "answers").glob("*.jsonl")}
    with planted.planted():
        again = tv(*arguments)
    assert first.code == 0
    assert (again.code, again.out) == (0, first.out)
    assert {path: path.read_bytes() for path in (tmp_path / "answers").glob("*.jsonl")} == kept


def test_columns_of_tables_differ_so_that_mixing_them_up_shows() -> None:
    """The planted engine must not make equal what a fault could exchange."""
    tables = {name: made["rows"] for name, made in GOLDEN["tables"].items()}
    rows = {name: {row[next(iter(row))]: row for row in made} for name, made in tables.items()}
    three = rows["table3"]["average"]
    assert three["from the LLM"] != three["from the VLM"]
    nine = rows["table9"]["average"]
    assert len({nine[kind] for kind in ("plain", "question", "typo", "paraphrase", "distractor")}) > 3
    six = [row["examples alone"] for row in tables["figure6"]]
    assert len(set(six)) > 5
    two = rows["table2"]["average"]
    assert len({two[method] for method in ("no context", "prompt", "patch")}) == 3
    assert len({row["patch"] for row in tables["table12"] if row["task"] == "average"}) == 4
    assert len({two[name] for name in ("prompt", "patch", "image prompt", "image patch")}) == 4
    four = [row for row in tables["table4"] if row["question"] == "average"]
    assert len({row[method] for row in four for method in ("prompt", "patch")}) == 4
    five = rows["table5"]["average"]
    assert len({five[method] for method in ("prompt alone", "system prompt", "patch")}) == 3


def test_all_of_the_paper_leaves_out_what_cannot_be_made_and_makes_the_rest(
    tv: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with planted.planted() as folder, monkeypatch.context() as patched:
        patched.setattr(tvcli.models.opening, "FakeEngine", lambda: BlindPlanted(folder))
        assert tv("paper", "table12").code == 2
        for task in folder.glob("*/task.toml"):
            task.write_text(task.read_text().split("[wordings]")[0])
        ran = tv("paper", "all", "--seeds", 1, "--json")
    assert ran.code == 0
    made = [json.loads(line)["name"] for line in ran.out.splitlines()]
    assert made == [name for name in ITEMS if name not in ("table4", "table5", "table9", "table12")]
    assert "warning: skipped table4: table 4 needs question sets of VQAv2; make each with" in ran.err
    assert "warning: skipped table5: table 5 needs questions that override others; make them with" in ran.err
    assert "warning: skipped table9: table 9 needs wordings of each kind; alpha has no question wordings" in ran.err
    assert "warning: skipped table12: table 12 needs a model with an image encoder" in ran.err


class BlindPlanted(planted.Planted):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.has_vision = False
