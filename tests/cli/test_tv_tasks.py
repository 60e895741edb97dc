"""`tv tasks list` and `tv tasks show` print what there is."""

import json
from pathlib import Path

from conftest import Runner
from task_folder import folder_with

from tvcli.inputs.tasks import task_folders

SHIPPED = [folder.name for folder in task_folders()]


def test_list_and_show_print_what_there_is(tv: Runner) -> None:
    assert [line.split("\t")[0] for line in tv("tasks", "list").out.splitlines()] == ["task", *SHIPPED]
    records = [json.loads(line) for line in tv("tasks", "show", "country-capital", "--json").out.splitlines()]
    assert len(records) == 130
    assert {"split", "input", "output", "image"} == set(records[0])
    assert "Paris" in tv("tasks", "show", "country-capital").out


def test_a_question_and_what_overrides_it_are_shown(tv: Runner, tmp_path: Path) -> None:
    asked = {"question": "What?", "instruction": "Its color", "against": ["cat", "kitten"]}
    folder = folder_with(tmp_path, lines=json.dumps({"input": "x", "output": "red", **asked}))
    assert json.loads(tv("tasks", "show", folder, "--json").out).items() >= asked.items()
    assert tv("tasks", "show", folder).out == "test\tx\tred\t\tWhat?\tIts color\tcat | kitten\n"
    assert "has no errors" in tv("tasks", "check", folder).err
    assert "warning" not in tv("tasks", "check", folder).err  # it needs no examples
