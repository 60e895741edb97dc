"""docs/paper.md names every item of `tv paper`, with what differs in the program's own words."""

from __future__ import annotations

import re

from conftest import ROOT

from tvcli.inputs.tasks import load_task, task_folders
from tvcli.paper.items import ALIASES, ITEMS

PAGE = (ROOT / "docs" / "paper.md").read_text("utf-8")
ROWS = [line for line in PAGE.partition("## Items")[2].partition("## Settings")[0].splitlines() if line[:2] == "| "]


def row_of(name: str) -> str:
    """The first row that begins with this name: a later one may name it again."""
    return next(row for row in ROWS if row.split("|")[2].strip().startswith(f"`{name}`"))


def test_every_item_has_a_row_with_what_differs() -> None:
    for name, item in ITEMS.items():
        assert item.differs in row_of(name), name
        assert ("renamed" in row_of(name)) == name.startswith("after-"), name
        if item.differs:
            assert "`tv paper`" in row_of(name), name


def test_every_number_of_the_paper_is_accounted_for() -> None:
    papers = ";".join(row.split("|")[1] for row in ROWS)
    numbers: dict[str, set[int]] = {"table": set(), "figure": set()}
    for kind, text in re.findall(r"(table|figure)s? (\d[\d, to]*)", papers):
        spans = re.findall(r"(\d+)(?: to (\d+))?", text)
        numbers[kind] |= {n for first, last in spans for n in range(int(first), int(last or first) + 1)}
    assert numbers == {"table": set(range(1, 14)), "figure": set(range(1, 16))}
    assert all(f"also as `{alias}`" in PAGE for alias in ALIASES)


def test_the_numbers_of_samples_are_those_of_the_tasks() -> None:
    tasks = [load_task(folder) for folder in task_folders("paper")]
    counts = sorted(len(task.test) for task in tasks)
    assert {len(task.validation) for task in tasks} == {30}
    assert f"tv's own tasks have 30, and {counts[0]} to {counts[-1]} |" in PAGE
