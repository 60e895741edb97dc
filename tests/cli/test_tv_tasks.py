"""`tv tasks list` and `tv tasks show` print what there is."""

import json

from conftest import Runner

from tvcli.inputs.tasks import task_folders

SHIPPED = [folder.name for folder in task_folders()]


def test_list_and_show_print_what_there_is(tv: Runner) -> None:
    assert [line.split("\t")[0] for line in tv("tasks", "list").out.splitlines()] == ["task", *SHIPPED]
    records = [json.loads(line) for line in tv("tasks", "show", "country-capital", "--json").out.splitlines()]
    assert len(records) == 130
    assert {"split", "input", "output", "image"} == set(records[0])
    assert "Paris" in tv("tasks", "show", "country-capital").out
