"""The paper's own numbers, typed a second time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvcli.paper.numbers import TASKS, averages, numbers_of, paper_cell, paper_numbers

NUMBERS = """
table2 average LLaVA-1.5-7B no context 0.00 prompt 0.18 patch 0.32
table2 average Mantis-Fuyu-8B no context 0.00 prompt 0.09 patch 0.31 image prompt 0.18 image patch 0.20
table2 average Idefics2-8B no context 0.01 prompt 0.18 patch 0.51 image prompt 0.43 image patch 0.31
table2 average Random majority 0.14
table2 tasks LLaVA-1.5-7B no context 0 0 0 0 0 0 prompt .02 .18 .03 .23 .28 .37 patch .31 .30 .26 .18 .53 .31
table2 tasks Mantis-Fuyu-8B no context 0 0 0 0 0 0 prompt .09 .06 .08 .02 .23 .04 patch .32 .23 .36 .09 .51 .36 |
    image prompt .11 .13 .24 .05 .34 .23 image patch .17 .03 .16 .05 .50 .31
table2 tasks Idefics2-8B no context .03 0 .03 0 .01 .01 prompt .11 .03 .41 .13 .21 .18 |
    patch .61 .40 .48 .62 .53 .39 image prompt .71 .57 .43 .12 .41 .35 image patch .58 .32 .40 .03 .39 .17
table2 tasks Random majority .00 .12 .00 .18 .24 .31
table3 average Vicuna → LLaVA-1.5 llm .37 vlm .32
table3 average Mistral → Idefics2 llm .52 vlm .51
table3 tasks Vicuna → LLaVA-1.5 llm .33 .32 .25 .33 .53 .45 vlm .31 .30 .26 .18 .53 .31
table3 tasks Mistral → Idefics2 llm .57 .58 .46 .55 .54 .39 vlm .61 .40 .48 .62 .53 .39
table10 average Idefics2-8B no context .01 prompt .15 patch .54 image prompt .44
table10 tasks Idefics2-8B no context 0 0 .07 0 0 0 prompt .16 .06 .24 .16 .17 .12 patch .70 .44 .50 .64 .54 .40 |
    image prompt .74 .53 .44 .12 .43 .35
table12 average LLaVA-1.5-7B text → image .32 text → text .59
table12 average Mantis-Fuyu-8B image → image .20 text → image .31 text → text .34 image → text .25
table12 average Idefics2-8B image → image .31 text → image .51 text → text .65 image → text .42
table12 tasks LLaVA-1.5-7B text → image .31 .30 .26 .18 .53 .31 text → text .97 .58 .77 .20 .63 .41
table12 tasks Mantis-Fuyu-8B image → image .17 .03 .16 .05 .50 .31 text → image .32 .23 .36 .09 .51 .36 |
    text → text .46 .30 .48 .18 .28 .36 image → text .31 .01 .36 .05 .40 .34
table12 tasks Idefics2-8B image → image .58 .32 .40 .03 .39 .17 text → image .61 .40 .48 .62 .53 .39 |
    text → text .97 .61 .74 .54 .63 .41 image → text .81 .43 .58 .04 .40 .27
"""
OF_ACCURACIES = ("table2", "table3", "table10", "table12")
LABELS = ("average", "tasks")


def spelled(table: str, label: str, model: str, columns: dict[str, Any]) -> str:
    """A model's numbers as a line like those above."""
    words = [table, label, model]
    for column, value in columns.items():
        words += [column, *(f"{number:g}" for number in np.atleast_1d(value))]
    return " ".join(words)


def typed() -> list[str]:
    def plain(word: str) -> str:
        return f"{float(word):g}" if word[0] in ".0" else word

    lines = NUMBERS.strip().replace("|\n    ", "").splitlines()
    return [" ".join(plain(word) for word in line.split()) for line in lines]


def test_the_papers_numbers_are_those_typed_twice() -> None:
    known = paper_numbers()
    listed = [
        spelled(table, label, model, columns)
        for table in OF_ACCURACIES
        for label in LABELS
        for model, columns in known[table][label].items()
    ]
    assert sorted(listed) == sorted(typed())
    assert known["table3"]["cosine"] == {"lowest": 0.89, "highest": 0.95}
    assert known["table7"] == {
        "cost": {
            "prompt, 30 long examples": {"seconds": 2.20, "megabytes": 20020},
            "patch": {"seconds": 0.20, "megabytes": 8210},
        },
        "ratio": {"seconds": 11, "megabytes": 2.4},
    }
    assert set(known) == {*OF_ACCURACIES, "table7", "table13"}


@pytest.mark.parametrize(
    ("table", "model", "column"),
    [
        (table, model, column)
        for table in OF_ACCURACIES
        for model, columns in paper_numbers()[table]["average"].items()
        for column in columns
    ],
)
def test_the_papers_averages_are_those_of_its_tasks(table: str, model: str, column: str) -> None:
    numbers = paper_numbers()[table]
    assert np.mean(numbers["tasks"][model][column]) == pytest.approx(numbers["average"][model][column], abs=0.0051)


def test_every_column_has_an_average() -> None:
    """Each is known by task as well as on average."""
    for table in OF_ACCURACIES:
        average, tasks = (paper_numbers()[table][label] for label in LABELS)
        assert {model: set(columns) for model, columns in average.items()} == {
            model: set(columns) for model, columns in tasks.items()
        }
        assert all(len(values) == len(TASKS) for columns in tasks.values() for values in columns.values())


def test_tables_that_share_a_cell_share_its_number() -> None:
    """Text vectors on image queries are in tables 2, 3 and 12; the ratio of table 7 is that of its costs."""
    two, three, twelve = (paper_numbers()[name]["tasks"] for name in ("table2", "table3", "table12"))
    for model in ("LLaVA-1.5-7B", "Mantis-Fuyu-8B", "Idefics2-8B"):
        assert two[model]["patch"] == twelve[model]["text → image"]
        assert two[model].get("image patch") == twelve[model].get("image → image")
    assert two["LLaVA-1.5-7B"]["patch"] == three["Vicuna → LLaVA-1.5"]["vlm"]
    assert two["Idefics2-8B"]["patch"] == three["Mistral → Idefics2"]["vlm"]
    seven = paper_numbers()["table7"]
    prompt, patch = seven["cost"].values()
    for what, ratio in seven["ratio"].items():
        assert prompt[what] / patch[what] == pytest.approx(ratio, abs=0.05)


def test_a_number_is_found_by_table_model_task_and_column() -> None:
    assert averages("table3") == paper_numbers()["table3"]["average"]
    assert numbers_of("table3", "Vicuna → LLaVA-1.5", "animal-young") == {"llm": 0.33, "vlm": 0.18}
    assert numbers_of("table3", "Vicuna → LLaVA-1.5", "average") == {"llm": 0.37, "vlm": 0.32}
    assert numbers_of("table3", "Vicuna → LLaVA-1.5", "a task of one's own") == {}
    assert paper_cell("table12", "Idefics2-8B", "country-capital", "text → text") == "0.97"
    assert paper_cell("table12", "LLaVA-1.5-7B", "country-capital", "image → text") == ""


def test_what_instructions_decode_to_is_five_tokens_by_task() -> None:
    tokens = paper_numbers()["table13"]["tokens"]
    assert tuple(tokens) == TASKS
    assert {len(five) for five in tokens.values()} == {5}
    assert tokens["animal-latin"][0] == "species"
