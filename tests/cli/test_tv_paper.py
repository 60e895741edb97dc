"""`tv paper`: every table runs, and again from its folder."""

import json
from pathlib import Path

import pytest
from conftest import Runner


def test_paper_lists_its_tables_and_refuses_unknown_ones(tv: Runner) -> None:
    names = [line.split("\t")[0] for line in tv("paper").out.splitlines()[1:]]
    assert {"table2", "table3", "table4", "table5", "table7", "table9", "table10", "table12", "figure6"} <= set(names)
    assert tv("paper", "table99").code == 2


@pytest.mark.parametrize(
    "name",
    [
        "table2",
        "table3",
        "table4",
        "table5",
        "table6",
        "table9",
        "table10",
        "table12",
        "figure2",
        "figure4",
        "figure5",
        "figure6",
        "figure8",
    ],
)
def test_every_table_runs_and_resumes(tv: Runner, tmp_path: Path, name: str) -> None:
    arguments = ["paper", name, "--json", "--limit", 6, "--seeds", "1,2", "-o", tmp_path / "answers"]
    first = tv(*arguments)
    assert first.code == 0
    record = json.loads(first.out)
    assert record["name"] == name
    assert record["rows"]
    assert tv(*arguments).out == first.out
