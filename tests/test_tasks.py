"""Task folders: the shipped ones are sound, and a user's own are checked by file, line and key."""

import json
from pathlib import Path

import pytest
from conftest import Runner

from tvcli.errors import UnavailableError, UsageError
from tvcli.tasks import PAPER_ORDER, find_task, load_task, problems, task_folders

SHIPPED = [folder.name for folder in task_folders()]
RECORD = {"input": "cat", "output": ["Felis catus"], "split": "test"}
TOML = 'description = "d"\ninstruction = "i:"\n'


def folder_with(tmp_path: Path, toml: str = TOML, lines: str = json.dumps(RECORD)) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "task.toml").write_text(toml)
    (folder / "examples.jsonl").write_text(lines)
    return folder


def test_the_papers_tasks_come_first_in_its_order() -> None:
    assert tuple(SHIPPED[:6]) == PAPER_ORDER
    assert [folder.name for folder in task_folders("paper")] == list(PAPER_ORDER)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_task_has_no_problems(name: str) -> None:
    assert problems(find_task(name)) == []


@pytest.mark.parametrize("name", PAPER_ORDER)
def test_the_papers_tasks_have_thirty_validation_samples_and_a_picture_for_each(name: str) -> None:
    task = find_task(name)
    assert len(task.validation) == 30
    assert all(sample.has("image") and sample.has("text") for sample in (*task.validation, *task.test))
    assert set(task.wordings) == {"question", "typo", "paraphrase", "distractor"}


@pytest.mark.parametrize("name", ["country-capital", "country-currency"])
def test_country_tasks_have_a_hundred_test_samples(name: str) -> None:
    assert len(find_task(name).test) == 100


@pytest.mark.parametrize("name", [folder.name for folder in task_folders("override")])
def test_what_overrides_shares_its_inputs_with_what_is_overridden(name: str) -> None:
    task = find_task(name)
    other = find_task(task.against)
    known = {sample.input for sample in (*other.validation, *other.test)}
    assert {sample.input for sample in (*task.validation, *task.test)} <= known


def test_a_folder_of_ones_own_works_by_path(tmp_path: Path) -> None:
    task = find_task(str(folder_with(tmp_path)))
    assert (task.name, task.test[0].outputs) == ("mine", ("Felis catus",))


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(UnavailableError, match="country-capital"):
        find_task("nope")


@pytest.mark.parametrize(
    ("toml", "lines", "words"),
    [
        (TOML + "colour = 1\n", json.dumps(RECORD), r"task.toml: unknown key colour"),
        ('description = "d"\n', json.dumps(RECORD), r"task.toml: the key instruction is missing"),
        ("x = [", json.dumps(RECORD), r"task.toml: "),
        (TOML, "", "holds no test samples"),
        (TOML, json.dumps({**RECORD, "label": 1}), r"examples.jsonl, line 1: unknown key label"),
        (TOML, json.dumps(RECORD) + "\n{", r"line 2: not JSON"),
        (TOML, "[]", r"line 1: expected a JSON object"),
        (TOML, json.dumps({"input": "cat"}), r"line 1: the output is missing"),
        (TOML, json.dumps({**RECORD, "output": [""]}), r"line 1: output must be"),
        (TOML, json.dumps({**RECORD, "output": 3}), r"line 1: output must be"),
        (TOML, json.dumps({**RECORD, "split": "train"}), r"split must be validation or test, not 'train'"),
        (TOML, json.dumps({**RECORD, "input": " "}), r"needs a text input or an image"),
        (TOML, json.dumps({**RECORD, "image": 3}), r"needs a text input or an image"),
    ],
)
def test_a_malformed_task_names_file_line_and_key(tmp_path: Path, toml: str, lines: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load_task(folder_with(tmp_path, toml, lines))
    assert str(tmp_path) in str(caught.value)


def test_check_finds_broken_pictures_and_doubled_inputs(tmp_path: Path, tv: Runner) -> None:
    lines = "\n".join(json.dumps(r) for r in (RECORD, RECORD, {**RECORD, "input": "dog", "image": "none.png"}))
    ran = tv("tasks", "check", folder_with(tmp_path, lines=lines))
    assert ran.code == 1
    assert "the input 'cat' is there twice" in ran.out
    assert "none.png cannot be read" in ran.out
    assert "2 problems" in ran.err


def test_list_and_show_print_what_there_is(tv: Runner) -> None:
    assert [line.split("\t")[0] for line in tv("tasks", "list").out.splitlines()] == ["task", *SHIPPED]
    records = [json.loads(line) for line in tv("tasks", "show", "country-capital", "--json").out.splitlines()]
    assert len(records) == 130
    assert {"split", "input", "output", "image"} == set(records[0])
    assert "Paris" in tv("tasks", "show", "country-capital").out
