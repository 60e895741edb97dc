"""The paper's own numbers (`numbers.toml`), and the rows that stand beside tv's."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tvcli.evaluation.results import AVERAGE
from tvcli.files import parse_toml
from tvcli.paper.study import Study

FILE = Path(__file__).with_name("numbers.toml")
TASKS = ("country-capital", "country-currency", "animal-latin", "animal-young", "food-color", "food-flavor")


@functools.cache
def paper_numbers() -> Mapping[str, Any]:
    """The numbers by table."""
    return parse_toml(FILE)


def averages(table: str) -> Mapping[str, Mapping[str, float]]:
    """A table's averages over the six tasks, by model and column."""
    found: Mapping[str, Mapping[str, float]] = paper_numbers()[table][AVERAGE]
    return found


def numbers_of(table: str, model: str, row: str) -> Mapping[str, float]:
    """A model's numbers by column for one task, or `AVERAGE` over the six; empty for a task that is not the paper's."""
    if row == AVERAGE:
        return averages(table)[model]
    if row not in TASKS:
        return {}
    columns: Mapping[str, Sequence[float]] = paper_numbers()[table]["tasks"][model]
    return {column: values[TASKS.index(row)] for column, values in columns.items()}


def paper_name(study: Study, model: str) -> str:
    """The paper's row name; its numbers are comparable only on the paper's data."""
    return f"paper: {model}" if study.is_papers else f"paper: {model} (other data)"


def paper_rows(study: Study, table: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """For each model of the paper's table, a row per task of the study that the paper has, and the average.

    `columns` names the number of each cell, or is empty.
    """
    rows = []
    for model in averages(table):
        for task in (*(task.name for task in study.tasks if task.name in TASKS), AVERAGE):
            numbers = numbers_of(table, model, task)
            rows.append((f"{paper_name(study, model)}, {task}", *(_cell(numbers, column) for column in columns)))
    return rows


def paper_cell(table: str, model: str, row: str, column: str) -> str:
    """One number, or an empty cell."""
    return _cell(numbers_of(table, model, row), column)


def _cell(numbers: Mapping[str, float], column: str) -> str:
    return f"{numbers[column]:.2f}" if column in numbers else ""
