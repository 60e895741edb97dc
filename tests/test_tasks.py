"""Task folders: the shipped ones are sound, and a user's own are checked by file, line and key."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import Ran, Runner
from PIL import Image as Pillow

from tvcli.errors import UnavailableError, UsageError
from tvcli.experiments.checks import best_letter, cleaned, echo, errors
from tvcli.experiments.metrics import Judge
from tvcli.tasks import PAPER_ORDER, Sample, Task, find_task, load_task, task_folders

SHIPPED = [folder.name for folder in task_folders()]
RECORD = {"input": "cat", "output": ["Felis catus"], "split": "test"}
SIZES = [  # validation and test samples
    ("country-capital", 30, 100),
    ("country-currency", 30, 100),
    ("animal-latin", 30, 45),
    ("animal-young", 30, 54),
    ("food-color", 30, 66),
    ("food-flavor", 30, 89),
]
SAME = [  # one species or food under two names, or a kind with the same answer
    {"sheep", "ram"},
    {"cow", "ox"},
    {"chicken", "rooster"},
    {"dog", "poodle"},
    {"bird", "blackbird"},
    {"butterfly", "monarch butterfly"},
    {"ice cream", "soft serve"},
]
TOML = 'description = "d"\ninstruction = "i:"\n'


def folder_with(tmp_path: Path, toml: str = TOML, lines: str = json.dumps(RECORD)) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "task.toml").write_text(toml)
    (folder / "examples.jsonl").write_text(lines)
    return folder


def samples_of(task: Task) -> list[Sample]:
    return [*task.validation, *task.test]


def test_the_papers_tasks_come_first_in_its_order() -> None:
    assert tuple(SHIPPED[:6]) == PAPER_ORDER
    assert [folder.name for folder in task_folders("paper")] == list(PAPER_ORDER)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_task_has_no_problems(name: str) -> None:
    assert errors(find_task(name)) == []


@pytest.mark.parametrize("name", PAPER_ORDER)
def test_the_papers_tasks_have_thirty_validation_samples_and_a_picture_for_each(name: str) -> None:
    task = find_task(name)
    assert len(task.validation) == 30
    assert all(sample.has("image") and sample.has("text") for sample in (*task.validation, *task.test))
    assert set(task.wordings) == {"question", "typo", "paraphrase", "distractor"}


@pytest.mark.parametrize(("name", "validation", "test"), SIZES)
def test_sizes_are_what_the_drawings_allow(name: str, validation: int, test: int) -> None:
    """The comment in a task.toml says why there are fewer than 100 test samples."""
    task = find_task(name)
    assert (len(task.validation), len(task.test)) == (validation, test)
    words = (task.folder / "task.toml").read_text("utf-8")
    assert test == 100 or f"# {test} test samples, where the paper has 100:" in words


@pytest.mark.parametrize("name", SHIPPED)
def test_no_input_and_no_picture_is_there_twice(name: str) -> None:
    samples = samples_of(find_task(name))
    inputs = [cleaned(sample.input) for sample in samples]
    pictures = [sample.image.read_bytes() for sample in samples if sample.image is not None]
    assert len(set(inputs)) == len(inputs)
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_species_is_there_under_two_names(name: str) -> None:
    inputs = {sample.input for sample in samples_of(find_task(name))}
    for names in SAME:
        assert len(names & inputs) <= 1, names


def test_no_scientific_name_is_right_for_two_animals() -> None:
    """As a whole: under the paper's metric "Canis lupus" would also be right for "Canis lupus familiaris"."""
    for one, other in itertools.combinations(samples_of(find_task("animal-latin")), 2):
        assert not any(Judge().correct(name, other.outputs) for name in one.outputs), (one.input, other.input)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "override-syntax"])
def test_no_answer_echoes_its_input(name: str) -> None:
    """All plurals do, in override-syntax."""
    assert [sample.input for sample in samples_of(find_task(name)) if echo(sample)] == []


@pytest.mark.parametrize("name", PAPER_ORDER)
def test_no_answer_repeats_a_word_of_the_instruction(name: str) -> None:
    task = find_task(name)
    words = {word.strip(":'").casefold() for word in task.instruction.split()}
    assert [s.input for s in samples_of(task) if words & {output.casefold() for output in s.outputs}] == []


@pytest.mark.parametrize("name", PAPER_ORDER)
def test_answers_are_few_and_differ_in_more_than_case(name: str) -> None:
    for sample in samples_of(find_task(name)):
        assert len(sample.outputs) <= 3, sample.input
        assert len({cleaned(output) for output in sample.outputs}) == len(sample.outputs), sample.input


def test_both_country_tasks_ask_about_the_same_countries() -> None:
    one, other = (samples_of(find_task(name)) for name in ("country-capital", "country-currency"))
    assert [(s.input, s.image and s.image.name) for s in one] == [(s.input, s.image and s.image.name) for s in other]


@pytest.mark.parametrize(
    ("name", "country", "answers"),
    [
        ("country-currency", "Bulgaria", ("Euro", "Lev")),  # since 2026
        ("country-currency", "Croatia", ("Euro", "Kuna")),  # since 2023
        ("override-factual", "Bulgaria", ("Euro", "Lev")),
        ("override-factual", "Croatia", ("Euro", "Kuna")),
        ("country-capital", "Kazakhstan", ("Astana", "Nur-Sultan")),  # again since 2022
    ],
)
def test_what_changed_since_models_were_trained_is_right_either_way(
    name: str, country: str, answers: tuple[str, ...]
) -> None:
    assert [s.outputs for s in samples_of(find_task(name)) if s.input == country] == [answers]


@pytest.mark.parametrize(
    ("name", "letter", "share"),
    [
        ("country-capital", "P", 0.12),
        ("country-currency", "D", 0.20),
        ("animal-latin", "C", 0.20),
        ("animal-young", "c", 0.52),
        ("food-color", "b", 0.36),
        ("food-flavor", "s", 0.84),
    ],
)
def test_one_letter_answers_no_more_than_is_known(name: str, letter: str, share: float) -> None:
    found, most = best_letter(find_task(name).test)
    assert (found, round(most, 2)) == (letter, share)


@pytest.mark.parametrize(
    ("name", "origin"), [("override-factual", "country-currency"), ("override-semantic", "food-flavor")]
)
def test_overriding_tasks_have_the_answers_of_the_tasks_they_name(name: str, origin: str) -> None:
    known = {sample.input: sample.outputs for sample in samples_of(find_task(origin))}
    for sample in samples_of(find_task(name)):
        assert sample.outputs == known[sample.input]


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
    assert "examples.jsonl, line 2: the input 'cat' is there twice, first in line 1" in ran.out
    assert "examples.jsonl, line 3: image" in ran.out
    assert "none.png cannot be read" in ran.out
    assert "2 problems" in ran.err


def checked(tv: Runner, tmp_path: Path, *records: Mapping[str, object], toml: str = TOML) -> Ran:
    return tv("tasks", "check", folder_with(tmp_path, toml, "\n".join(json.dumps(record) for record in records)))


@pytest.mark.parametrize("other", ["Cr\u00e8me brul\u00e9e", "cre\u0300me  brule\u0301e ", "CR\u00c8ME BRUL\u00c9E"])
def test_check_knows_an_input_in_other_writing(tmp_path: Path, tv: Runner, other: str) -> None:
    one = {"input": "cr\u00e8me brul\u00e9e", "output": "x", "split": "validation"}
    ran = checked(tv, tmp_path, one, {"input": other, "output": "y"})
    assert ran.code == 1
    assert f"line 2: the input {other.strip()!r} is in both splits, first in line 1" in ran.out


def test_check_knows_a_picture_in_another_file(tmp_path: Path, tv: Runner, picture: Path) -> None:
    copy = picture.with_name("copy.png")
    copy.write_bytes(picture.read_bytes())
    records = [
        {"input": "a", "output": "x", "image": str(picture), "split": "validation"},
        {"input": "b", "output": "y", "image": str(copy)},
        {"output": "z", "image": str(copy)},
    ]
    ran = checked(tv, tmp_path, *records)
    assert ran.code == 1
    assert f"line 2: the picture {copy} is in both splits, first in line 1" in ran.out
    assert f"line 3: the picture {copy} is in both splits, first in line 1" in ran.out
    assert "2 problems" in ran.err


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three different ones."""
    paths = [tmp_path / f"{grey}.png" for grey in range(3)]
    for grey, path in enumerate(paths):
        Pillow.new("L", (4, 4), grey).save(path)
    return paths


def test_check_takes_many_pictures_without_a_text(tmp_path: Path, tv: Runner, pictures: list[Path]) -> None:
    ran = checked(tv, tmp_path, *({"output": "x", "image": str(picture)} for picture in pictures))
    assert (ran.code, ran.out) == (0, "")


@pytest.mark.parametrize(
    ("text", "answers", "echoed"),
    [
        ("Guatemala", ["Guatemala City"], "Guatemala City"),
        ("S\u00e3o Tom\u00e9 and Pr\u00edncipe", ["x", "S\u00e3o Tom\u00e9"], "S\u00e3o Tom\u00e9"),
        ("bison", ["Bison bison"], "Bison bison"),
        ("Andorra", ["andorra la Vella"], "andorra la Vella"),
    ],
)
def test_check_warns_of_echoes(tmp_path: Path, tv: Runner, text: str, answers: list[str], echoed: str) -> None:
    ran = checked(tv, tmp_path, {"input": "y", "output": "z"}, {"input": text, "output": answers})
    assert (ran.code, ran.out) == (0, "")
    assert f"examples.jsonl, line 2: the answer {echoed!r} echoes the input {text!r}" in ran.err
    assert "line 1" not in ran.err


@pytest.mark.parametrize(("text", "answer"), [("pig", "boar"), ("cat", "kitten"), ("Algeria", "Algiers")])
def test_check_calls_nothing_else_an_echo(tmp_path: Path, tv: Runner, text: str, answer: str) -> None:
    assert "echoes" not in checked(tv, tmp_path, {"input": text, "output": answer}).err


def test_check_warns_of_too_few_examples_of_each_modality(tmp_path: Path, tv: Runner, pictures: list[Path]) -> None:
    records: list[dict[str, object]] = [{"input": f"a{i}", "output": "x", "split": "validation"} for i in range(5)]
    records[0]["image"] = str(pictures[0])
    ran = checked(tv, tmp_path, *records, {"input": "b", "output": "x"})
    assert (ran.code, ran.out) == (0, "")
    assert "a prompt takes 5 examples, and the validation samples with a picture are 1" in ran.err
    assert "with a text" not in ran.err


def test_check_says_what_one_letter_would_answer(tmp_path: Path, tv: Runner) -> None:
    answers = ["sweet", "salty", "bitter", "dry"]
    ran = checked(tv, tmp_path, *({"input": f"x{i}", "output": answer} for i, answer in enumerate(answers)))
    assert (ran.code, ran.out) == (0, "")
    assert "2 answers begin with 's', which alone would be right for 50% of the test samples" in ran.err


def test_check_has_nothing_to_say_of_one_answer_or_of_a_pattern(tmp_path: Path, tv: Runner) -> None:
    same = [{"input": f"x{i}", "output": "y"} for i in range(4)]
    assert "begin with" not in checked(tv, tmp_path, *same).err
    (tmp_path / "other").mkdir()
    ran = checked(tv, tmp_path / "other", {"input": "xy"}, {"input": "xz"}, toml=TOML + 'pattern = "x"\n')
    assert (ran.code, "echoes" in ran.err, "begin with" in ran.err) == (0, False, False)


def test_list_and_show_print_what_there_is(tv: Runner) -> None:
    assert [line.split("\t")[0] for line in tv("tasks", "list").out.splitlines()] == ["task", *SHIPPED]
    records = [json.loads(line) for line in tv("tasks", "show", "country-capital", "--json").out.splitlines()]
    assert len(records) == 130
    assert {"split", "input", "output", "image"} == set(records[0])
    assert "Paris" in tv("tasks", "show", "country-capital").out
