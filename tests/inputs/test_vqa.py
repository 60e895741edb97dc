"""Questions of VQAv2, OK-VQA and A-OKVQA, in files of their public layouts, become task folders."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Runner
from vqa_files import (
    HOLDING,
    SHIRT,
    annotations_of,
    aokvqa,
    color_of,
    held_in,
    questions,
    write_json,
    write_pictures,
    write_vqa,
)

from tvcli.errors import UnavailableError, UsageError
from tvcli.evaluation.task_checks import errors
from tvcli.inputs.tasks import load_task, whose_data
from tvcli.inputs.vqa import accepted, read_aokvqa, read_captions, read_vqa, selection

PICTURES = range(40, 60)
COUNTS = ["--validation", 6, "--test", 10]
Files = list[Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return write_vqa(tmp_path / "public", PICTURES)


def imported(tv: Runner, tmp_path: Path, *arguments: object, kind: str = "vqav2", code: int = 0) -> Any:
    ran = tv("tasks", "import", kind, *arguments, "-o", tmp_path / "task")
    assert ran.code == code, ran.err
    return load_task(tmp_path / "task") if code == 0 else ran.err


def number_of(sample: Any) -> int:
    return int(sample.image.stem)


# -- one question as a task (table 4) ---------------------------------------------------------------------------


def test_one_question_about_many_pictures_is_a_task(tv: Runner, tmp_path: Path, files: Files) -> None:
    captions = tmp_path / "captions.jsonl"
    lines = (json.dumps({"image_id": one, "caption": f"A man in picture {one}."}) + "\n" for one in PICTURES)
    captions.write_text("".join(lines))
    task = imported(tv, tmp_path, *files, "--select", "what COLOR is the shirt", "--captions", captions, *COUNTS)
    assert (len(task.validation), len(task.test)) == (6, 10)
    assert (task.instruction, task.origin) == ("What color is the shirt", "VQAv2")
    assert whose_data([task]) == "questions of VQAv2"
    assert errors(task) == []
    assert not task.has_questions
    for sample in (*task.validation, *task.test):
        color = color_of(number_of(sample))
        assert sample.outputs == (color, f"dark {color}")  # the majority's, and the one that three gave
        assert sample.input == f"A man in picture {number_of(sample)}."


def test_no_picture_is_in_two_samples_and_the_seed_decides_which(tv: Runner, tmp_path: Path, files: Files) -> None:
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = ["tasks", "import", "vqav2", *files, "--ask", *COUNTS, "--seed", seed, "-o", tmp_path / name]
        assert tv(*arguments).code == 0
        task = load_task(tmp_path / name)
        drawn.append([(number_of(s), s.question) for s in (*task.validation, *task.test)])
        assert len({number for number, _ in drawn[-1]}) == 16
    assert drawn[0] == drawn[1] != drawn[2]
    assert {question for _, question in drawn[0]} == {SHIRT, HOLDING}


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("What is the man holding?", {HOLDING}),
        ("what is  the man holding", {HOLDING}),
        ("What is the man hold", set()),  # a text is the whole question
        ("/holding|shirt/", {SHIRT, HOLDING}),
        ("/^what is the/", {HOLDING}),
        ("/", set()),
    ],
)
def test_a_question_is_chosen_by_its_text_or_a_regular_expression(pattern: str, chosen: set[str]) -> None:
    assert {question for question in (SHIRT, HOLDING) if selection([pattern])(question)} == chosen


def test_all_questions_are_chosen_by_no_pattern_and_any_of_several(tv: Runner) -> None:
    assert all(map(selection([]), (SHIRT, HOLDING)))
    assert all(map(selection([SHIRT, HOLDING]), (SHIRT, HOLDING)))
    with pytest.raises(UsageError, match="is not a regular expression: missing"):
        selection(["/(/"])


@pytest.mark.parametrize(
    ("given", "majority", "found"),
    [
        (["no", "Yes", "yes ", "yes"], "", ("yes",)),
        (["a", "a", "b", "b", "b"], "", ("b",)),
        (["a", "a", "a", "b", "b", "b", "c"], "b", ("b", "a")),
        (["a"], "", ("a",)),
        (["", " "], "", ()),
    ],
)
def test_accepted_is_the_majority_and_what_three_gave(given: list[str], majority: str, found: tuple[str, ...]) -> None:
    assert accepted(given, majority) == found


# -- pictures ---------------------------------------------------------------------------------------------------


def test_pictures_that_are_missing_are_named_and_left_out(tv: Runner, tmp_path: Path, files: Files) -> None:
    for number in (41, 47):
        (files[2] / "val2014" / f"COCO_val2014_{number:012}.jpg").unlink()
    ran = tv("tasks", "import", "vqav2", *files, "--select", SHIRT, *COUNTS, "-o", tmp_path / "task")
    assert ran.code == 0
    assert f"2 images are not in {files[2]}, and their questions were left out: " in ran.err
    assert {f"COCO_val2014_{n:012}.jpg" for n in (41, 47)} <= set(re.findall(r"COCO\S+?\.jpg", ran.err))
    task = load_task(tmp_path / "task")
    assert not {41, 47} & {number_of(sample) for sample in (*task.validation, *task.test)}
    said = imported(tv, tmp_path / "more", *files, "--select", SHIRT, "--test", 10, "--validation", 9, code=2)
    assert "only 20 images have a question that matches, and 2 of their images are not in" in said
    assert "lower --validation and --test" in said
    assert not (tmp_path / "more").exists()


def test_pictures_of_2017_and_flat_folders_are_found(tv: Runner, tmp_path: Path) -> None:
    path = write_json(tmp_path / "aokvqa.json", aokvqa(PICTURES))
    flat = write_pictures(tmp_path / "val2017", PICTURES, "{:012}.jpg")
    task = imported(tv, tmp_path, path, flat, "--ask", *COUNTS, kind="aokvqa")
    assert task.origin == "A-OKVQA"
    assert task.test[0].outputs == ("ball games", "tennis match", "tennis")  # and the right choice
    assert task.test[0].question == "What sport is this for?"
    train = write_pictures(tmp_path / "coco" / "train2014", PICTURES, "COCO_train2014_{:012}.jpg").parent
    again = imported(tv, tmp_path / "2", path, train, "--ask", *COUNTS, kind="aokvqa")
    assert [number_of(sample) for sample in again.test] == [number_of(sample) for sample in task.test]


def test_a_folder_that_is_there_is_not_touched(tv: Runner, tmp_path: Path, files: Files) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "mine").write_text("x")
    said = imported(tv, tmp_path, *files, "--ask", *COUNTS, code=3)
    assert f"{folder} cannot be written: it is there already" in said
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


# -- a question that overrides another (table 5) ----------------------------------------------------------------


def test_a_second_question_about_the_same_picture_overrides(tv: Runner, tmp_path: Path, files: Files) -> None:
    task = imported(tv, tmp_path, *files, "--override", "--select", SHIRT, "--test", 10)
    assert (len(task.validation), len(task.test)) == (0, 10)
    assert task.has_own_instructions
    for sample in task.test:
        number = number_of(sample)
        assert (sample.question, sample.against) == (SHIRT, (color_of(number), f"dark {color_of(number)}"))
        assert (sample.instruction, sample.outputs[0]) == ("What is the man holding", held_in(number))


def test_what_overrides_ok_vqa_comes_from_vqav2(tv: Runner, tmp_path: Path, files: Files) -> None:
    known = [one for one in questions(PICTURES)["questions"] if one["question"] == SHIRT]
    own = write_json(tmp_path / "q.json", {"questions": known})
    told = write_json(tmp_path / "a.json", annotations_of(PICTURES, majority=False))
    pictures = files[2]
    alone = imported(tv, tmp_path, own, told, pictures, "--override", "--test", 5, kind="okvqa", code=2)
    assert "only 0 images have two questions" in alone
    second = ["--second-questions", files[0], "--second-annotations", files[1]]
    task = imported(tv, tmp_path, own, told, pictures, "--override", *second, "--test", 5, kind="okvqa")
    assert task.origin == "OK-VQA"
    assert {(s.question, s.instruction) for s in task.test} == {(SHIRT, "What is the man holding")}


def test_one_instruction_overrides_every_question_and_only_a_judge_can_tell(
    tv: Runner, tmp_path: Path, files: Files
) -> None:
    task = imported(tv, tmp_path, *files, "--override", "--instruction", "A poem about it:", "--test", 10)
    assert (task.instruction, task.needs_judge) == ("A poem about it:", True)
    for sample in task.test:
        assert (sample.instruction, sample.outputs) == ("A poem about it:", ())
        assert sample.question in (SHIRT, HOLDING)
        assert sample.against
    evaluation = ("eval", "-T", tmp_path / "task", "--source", "instruction", "-l", 2)
    ran = tv(*evaluation)
    assert (ran.code, "samples of task task have no labels; name a command with --judge" in ran.err) == (2, True)
    (tmp_path / "judge.py").write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    one = json.loads(line)\n"
        "    print(json.dumps({'id': one['id'], 'correct': one['follow'] == 'A poem about it:', 'against': False}))\n"
    )
    judge = shlex.join([sys.executable, str(tmp_path / "judge.py")])
    ran = tv(*evaluation, "--judge", judge, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["pairs"][0]["tasks"]["task"]["patch"]["mean"] == 1.0
    ran = tv("paper", "table5", "-T", tmp_path / "task", "--limit", 5, "--seeds", 1)
    assert (ran.code, "table 5 needs labels, or a command that --judge names" in ran.err) == (2, True)


def test_questions_with_an_answer_in_common_do_not_override_each_other(tmp_path: Path, tv: Runner) -> None:
    files = write_vqa(tmp_path / "public", PICTURES)
    told = annotations_of(PICTURES)
    for one in told["annotations"]:
        one["multiple_choice_answer"] = "red"
    write_json(files[1], told)
    said = imported(tv, tmp_path, *files, "--override", "--select", SHIRT, "--test", 1, code=2)
    assert "only 0 images have two questions" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "choose one task's questions with --select, or give --ask or --override"),
        (["--override", "--second-questions", "q.json"], "must be given together"),
        (["--ask", "--second-questions", "q.json"], "--second-questions does nothing without --override"),
        (["--override", "--ask"], "--ask does nothing with --override"),
        (["--select", "/(/"], "/(/ is not a regular expression"),
        (["--select", "What?", "--instruction", " "], "--instruction is empty"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tv: Runner, tmp_path: Path, files: Files, more: list[object], words: str
) -> None:
    assert words in imported(tv, tmp_path, *files, *more, code=2)


# -- files of another form --------------------------------------------------------------------------------------


Change = Callable[[dict[str, Any], dict[str, Any]], Any]  # of questions and annotations


def _first(of: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(value for value in of.values() if isinstance(value, list))[0]
    return found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q, a: q.pop("questions"), "questions.json: expected a JSON list under the key questions"),
        (lambda q, a: a.update(annotations={}), "annotations.json: expected a JSON list under the key annotations"),
        (lambda q, a: q["questions"].insert(0, 3), "questions.json, item 1: expected a JSON object, not 3"),
        (lambda q, a: _first(q).update(image_id="7"), "item 1: the image_id must be a number of COCO, not '7'"),
        (lambda q, a: _first(q).update(image_id=True), "item 1: the image_id must be a number of COCO, not True"),
        (lambda q, a: _first(q).update(image_id=10**12), "must be a number of COCO"),
        (lambda q, a: _first(q).update(image_id=-1), "must be a number of COCO"),
        (lambda q, a: _first(q).update(question=None), "item 1: the question must be text, not None"),
        (lambda q, a: _first(q).update(question=" "), "item 1: the question is empty"),
        (lambda q, a: _first(q).update(question="x" * 3000), "item 1: the question is longer than 2000 characters"),
        (lambda q, a: _first(q).update(question="a\0b"), "item 1: the question contains a NUL character"),
        (lambda q, a: _first(q).update(question="\ud800"), "half of a surrogate pair"),
        (lambda q, a: _first(q).update(question_id=[1]), "item 1: the question_id must be a number or text"),
        (lambda q, a: _first(q).update(question_id=5), "item 1: the question 5 has no annotation in"),
        (lambda q, a: _first(a).update(image_id=41), "annotations.json, item 1: the question 40000 is about another"),
        (lambda q, a: _first(a).update(answers="red"), "item 1: the answers must be a list, not 'red'"),
        (lambda q, a: _first(a).update(answers=[{"reply": "x"}]), "item 1: the answers must be text, not {'reply'"),
        (lambda q, a: _first(a).update(answers=[{"answer": 3}]), "item 1: the answers must be text, not {'answer': 3}"),
        (lambda q, a: _first(a).update(multiple_choice_answer=3), "the multiple_choice_answer must be text, not 3"),
    ],
)
def test_an_item_of_another_form_is_named(tmp_path: Path, change: Change, words: str) -> None:
    asked, told = questions(PICTURES), annotations_of(PICTURES)
    change(asked, told)
    with pytest.raises(UsageError) as caught:
        read_vqa(write_json(tmp_path / "questions.json", asked), write_json(tmp_path / "annotations.json", told))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.pop("direct_answers"), "item 1: the direct_answers are missing; those of the test split are"),
        (lambda one: one.update(correct_choice_idx=4), "item 1: the correct_choice_idx 4 is the number of no choice"),
        (lambda one: one.update(correct_choice_idx=True), "the correct_choice_idx True is the number of no choice"),
        (lambda one: one.update(choices=None), "item 1: the choices must be a list, not None"),
    ],
)
def test_an_item_of_a_okvqa_of_another_form_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    items = aokvqa(PICTURES)
    change(items[0])
    with pytest.raises(UsageError) as caught:
        read_aokvqa(write_json(tmp_path / "a.json", items))
    assert words in str(caught.value)


def test_what_a_okvqa_calls_difficult_is_left_out(tmp_path: Path) -> None:
    items = aokvqa(PICTURES)
    items[3]["difficult_direct_answer"] = True
    assert len(read_aokvqa(write_json(tmp_path / "a.json", items))) == len(PICTURES) - 1


def test_a_file_that_is_too_large_or_no_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("[{")
    with pytest.raises(UsageError, match=r"a\.json: not JSON"):
        read_aokvqa(path)
    path.write_text("[" * 100_000)
    with pytest.raises(UsageError, match="nested too deeply"):
        read_aokvqa(path)
    monkeypatch.setattr("tvcli.inputs.vqa.MOST_ANNOTATIONS", 1 << 20)
    path.write_text(" " * ((1 << 20) + 1))
    with pytest.raises(UnavailableError, match="larger than 1 MiB"):
        read_aokvqa(path)


# -- captions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{"7": "A man. ", "8": "B"}'),
        ("c.json", '[{"image_id": 7, "caption": "A man."}, {"image_id": 8, "caption": "B", "id": 1}]'),
        ("c.jsonl", '{"image_id": 7, "caption": "A man."}\n\n{"image_id": 8, "caption": "B"}\n'),
    ],
)
def test_captions_are_read_in_three_forms(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_captions(tmp_path / name) == {7: "A man.", 8: "B"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("c.json", "{", "c.json: not JSON"),
        ("c.json", "3", "c.json: expected captions by number of the image"),
        ("c.json", '{"x": "A"}', "c.json, key 'x': the image_id must be a number of COCO, not 'x'"),
        ("c.json", '{"7": 3}', "c.json, key '7': the caption must be text, not 3"),
        ("c.json", '{"7": " "}', "c.json, key '7': the caption is empty"),
        ("c.json", "[3]", "c.json, item 1: expected a JSON object with image_id and caption"),
        ("c.jsonl", '{"image_id": 7, "caption": "A"}\n7', "c.jsonl, line 2: expected a JSON object"),
        ("c.jsonl", '{"image_id": 7}', "c.jsonl, line 1: the caption must be text, not None"),
    ],
)
def test_captions_of_another_form_are_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        read_captions(tmp_path / name)
    assert words in str(caught.value)
