"""Task folders: the shipped ones are sound, and a user's own are checked by file, line and key."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from task_folder import RECORD, TOML, folder_with

from tvcli.errors import UnavailableError, UsageError
from tvcli.evaluation.task_checks import best_letter, echo, errors
from tvcli.inputs.tasks import OTHER_DATA, OWN_DATA, Sample, Task, find_task, load_task, task_folders, whose_data
from tvcli.kinds import Modality, Split
from tvcli.metrics import Judge
from tvcli.prompts.prompt import zero_shot
from tvcli.text import normalized

SHIPPED = [folder.name for folder in task_folders()]
PAPER = ["country-capital", "country-currency", "animal-latin", "animal-young", "food-color", "food-flavor"]

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


def samples_of(task: Task) -> list[Sample]:
    return [*task.validation, *task.test]


def test_the_papers_tasks_come_first_in_its_order() -> None:
    assert SHIPPED[:6] == PAPER
    assert [folder.name for folder in task_folders("paper")] == PAPER


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_task_has_no_problems(name: str) -> None:
    assert errors(find_task(name)) == []


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_tasks_have_thirty_validation_samples_and_a_picture_for_each(name: str) -> None:
    task = find_task(name)
    assert len(task.validation) == 30
    assert all(sample.has(Modality.IMAGE) and sample.has(Modality.TEXT) for sample in (*task.validation, *task.test))
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
    inputs = [normalized(sample.input) for sample in samples]
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


@pytest.mark.parametrize("name", PAPER)
def test_no_answer_repeats_a_word_of_the_instruction(name: str) -> None:
    task = find_task(name)
    words = {word.strip(":'").casefold() for word in task.instruction.split()}
    assert [s.input for s in samples_of(task) if words & {output.casefold() for output in s.outputs}] == []


@pytest.mark.parametrize("name", PAPER)
def test_answers_are_few_and_differ_in_more_than_case(name: str) -> None:
    for sample in samples_of(find_task(name)):
        assert len(sample.outputs) <= 3, sample.input
        assert len({normalized(output) for output in sample.outputs}) == len(sample.outputs), sample.input


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
        (TOML + "color = 1\n", json.dumps(RECORD), r"task.toml: unknown key color"),
        ('description = "d"\n', json.dumps(RECORD), r"task.toml: the key instruction is missing"),
        ("x = [", json.dumps(RECORD), r"task.toml: "),
        (TOML, "", "contains no test samples"),
        (TOML, json.dumps({**RECORD, "label": 1}), r"examples.jsonl, line 1: unknown key label"),
        (TOML, json.dumps(RECORD) + "\n{", r"line 2: not JSON"),
        (TOML, "[]", r"line 1: expected a JSON object"),
        (TOML, json.dumps({"input": "cat"}), r"line 1: the output is missing"),
        (TOML, json.dumps({**RECORD, "output": [""]}), r"line 1: the output must be"),
        (TOML, json.dumps({**RECORD, "output": 3}), r"line 1: the output is the number 3"),
        (TOML, json.dumps({**RECORD, "split": "train"}), r"the split must be validation or test, not 'train'"),
        (TOML, json.dumps({**RECORD, "input": " "}), r"needs a text input or an image"),
        (TOML, json.dumps({**RECORD, "image": 3}), r"line 1: the key image cannot be 3"),
    ],
)
def test_a_malformed_task_names_file_line_and_key(tmp_path: Path, toml: str, lines: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load_task(folder_with(tmp_path, toml, lines))
    assert str(tmp_path) in str(caught.value)


# -- every key, every sentence --------------------------------------------------------------------------------


SENTENCES = [
    (TOML + "color = 1\n", "{toml}: unknown key color"),
    (TOML + 'name = "x"\n', "{toml}: unknown key name"),
    (TOML + 'folder = "x"\n', "{toml}: unknown key folder"),
    (TOML + "validation = []\n", "{toml}: unknown key validation"),
    (TOML + "test = []\n", "{toml}: unknown key test"),
    (TOML + "order = '1'\n", "{toml}: the key order cannot be '1'"),
    (TOML + "order = 1.0\n", "{toml}: the key order cannot be 1.0"),
    (TOML + "words = 'a'\n", "{toml}: the key words cannot be 'a'"),
    (TOML + "words = ['a', 1]\n", "{toml}: the key words cannot be ['a', 1]"),
    (TOML + "group = 3\n", "{toml}: the key group cannot be 3"),
    (TOML + "wordings = 3\n", "{toml}: the key wordings cannot be 3"),
    (TOML + "wordings = {typo = 3}\n", "{toml}: the key wordings cannot be {'typo': 3}"),
    (TOML + "wordings = {typo = ['a', 3]}\n", "{toml}: the key wordings cannot be {'typo': ['a', 3]}"),
    (TOML + "wordings = {a = ['a'], b = 'b'}\n", "{toml}: the key wordings cannot be {'a': ['a'], 'b': 'b'}"),
    ('instruction = "i"\n', "{toml}: the key description is missing"),
    ('description = " "\ninstruction = "i"\n', "{toml}: the key description is missing"),
    ('description = "d"\n', "{toml}: the key instruction is missing"),
    (
        TOML + 'pattern = "("\n',
        "{toml}: the pattern is not a regular expression: missing ), unterminated subpattern at position 0",
    ),
]


@pytest.mark.parametrize(("toml", "sentence"), SENTENCES)
def test_what_is_wrong_with_a_task_is_said_in_full(tmp_path: Path, toml: str, sentence: str) -> None:
    folder = folder_with(tmp_path, toml)
    with pytest.raises(UsageError) as caught:
        load_task(folder)
    assert str(caught.value) == sentence.replace("{toml}", str(folder / "task.toml"))


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({**RECORD, "label": 1}, "unknown key label"),
        ({**RECORD, "output": 3}, "the output is the number 3; write it as text, in quotes"),
        ({**RECORD, "output": " "}, "the output must be text or a list of texts"),
        ({**RECORD, "output": ["a", 3]}, "the output is the number 3; write it as text, in quotes"),
        ({**RECORD, "output": ["a", " "]}, "the output must be text or a list of texts"),
        ({**RECORD, "output": {}}, "the output must be text, not {}"),
        ({**RECORD, "output": []}, "the output is missing"),
        ({"input": "cat"}, "the output is missing"),
        ({**RECORD, "input": 3}, "the input is the number 3; write it as text, in quotes"),
        ({**RECORD, "input": 3, "image": "a.png"}, "the input is the number 3; write it as text, in quotes"),
        ({**RECORD, "input": " "}, "a sample needs a text input or an image"),
        ({**RECORD, "input": " ", "image": ""}, "a sample needs a text input or an image"),
        ({**RECORD, "image": 3}, "the key image cannot be 3"),
        ({"output": "a"}, "a sample needs a text input or an image"),
        ({**RECORD, "split": "train"}, "the split must be validation or test, not 'train'"),
        ({**RECORD, "split": None}, "the key split cannot be None"),
    ],
)
def test_what_is_wrong_with_a_sample_is_said_in_full(tmp_path: Path, record: dict[str, object], sentence: str) -> None:
    folder = folder_with(tmp_path, lines=json.dumps(RECORD) + "\n\n" + json.dumps(record))
    with pytest.raises(UsageError) as caught:
        load_task(folder)
    assert str(caught.value) == f"{folder / 'examples.jsonl'}, line 3: {sentence}"


def test_a_task_without_test_samples_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, lines=json.dumps({**RECORD, "split": "validation"}))
    with pytest.raises(UsageError) as caught:
        load_task(folder)
    assert str(caught.value) == f"{folder / 'examples.jsonl'} contains no test samples"


def test_a_task_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnavailableError) as caught:
        find_task("nope")
    known = ", ".join(SHIPPED)
    assert str(caught.value) == f"unknown task 'nope'; give a folder with a task.toml or one of: {known}"


def test_a_task_is_read_with_all_its_keys_and_samples(tmp_path: Path) -> None:
    keys = ["group", "images", "facts", "against", "kind", "pattern", "paper"]
    told: dict[str, Any] = {key: f"{key} of it" for key in keys}
    toml = TOML + "".join(f'{key} = "{text}"\n' for key, text in told.items())
    toml += "order = 7\nwords = ['w', 'v']\n[wordings]\ntypo = ['a', 'b']\n"
    records: list[dict[str, object]] = [
        {"input": " one ", "output": "1", "split": "validation"},
        {"input": "two", "output": ["2", "zwei"]},
        {"image": "a.png", "split": "test"},
        {"input": "caf\u00e9", "image": "b.png"},
    ]
    lines = "\n".join([*map(json.dumps, records[:2]), " ", *map(json.dumps, records[2:])])
    folder = folder_with(tmp_path, toml, lines)
    task = load_task(folder)
    assert task == Task(
        "mine",
        folder,
        "d",
        "i:",
        **told,
        wordings={"typo": ("a", "b")},
        order=7,
        words=("w", "v"),
        validation=(Sample("one", ("1",)),),
        test=(
            Sample("two", ("2", "zwei")),
            Sample("", (), folder / "a.png"),
            Sample("caf\u00e9", (), folder / "b.png"),
        ),
    )
    assert [sample.line for sample in samples_of(task)] == [1, 2, 4, 5]
    assert [s.input for s in task.samples(Split.TEST, Modality.TEXT)] == ["two", "caf\u00e9"]
    assert [s.image for s in task.samples(Split.TEST, Modality.IMAGE)] == [folder / "a.png", folder / "b.png"]
    assert [s.input for s in task.samples(Split.VALIDATION, Modality.TEXT)] == ["one"]
    assert task.samples(Split.VALIDATION, Modality.IMAGE) == []


def test_a_task_is_named_after_its_folder_however_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder_with(tmp_path))
    assert find_task(".").name == "mine"


def test_bytes_that_are_no_unicode_are_refused_with_their_place(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    (folder / "examples.jsonl").write_bytes(b'{"input": "a\xff", "output": "b"}')
    with pytest.raises(UsageError, match=r"examples\.jsonl is not UTF-8 text \(byte 12\); save it as UTF-8$"):
        load_task(folder)
    (folder / "examples.jsonl").unlink()
    with pytest.raises(UnavailableError, match=r"^file .*examples\.jsonl cannot be read: no such file"):
        load_task(folder)


def test_a_sample_is_an_example_of_its_text_or_its_picture(picture: Path) -> None:
    sample = Sample("cat", ("Felis", "x"), picture)
    assert (sample.example(Modality.TEXT).input, sample.example(Modality.TEXT).output) == ("cat", "Felis")
    assert sample.example(Modality.IMAGE).is_image
    assert Sample("cat", ()).example(Modality.TEXT).output == ""
    assert Sample("cat", ()).load(Modality.IMAGE) == "cat"
    assert [
        Sample("", ()).has(Modality.TEXT),
        Sample("a", ()).has(Modality.TEXT),
        Sample("a", ()).has(Modality.IMAGE),
    ] == [
        False,
        True,
        False,
    ]


def test_the_digest_of_a_task_is_the_same_for_ever_and_of_all_that_answers_depend_on(tmp_path: Path) -> None:
    from dataclasses import replace

    cat, dog = Sample("cat", ("Felis catus", "x")), Sample("dog", ("Canis",))
    told = {"wordings": {"typo": ["Sya:", "ay:"]}, "pattern": "p"}
    task = Task("t", Path(), "d", "Say:", **told, validation=(cat,), test=(dog,))  # type: ignore[arg-type]
    assert task.digest == "b2482194a0cf71b4"
    assert replace(task, name="u", folder=tmp_path, description="e", images="i", facts="f").digest == task.digest
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    others = [
        replace(task, instruction="Tell:"),
        replace(task, wordings={}),
        replace(task, pattern="q"),
        replace(task, validation=(dog,), test=(cat,)),
        replace(task, test=(replace(dog, image=tmp_path / "a.png"),)),
        replace(task, test=(replace(dog, image=tmp_path / "b.png"),)),
        replace(task, test=(replace(dog, question="q"),)),
        replace(task, test=(replace(dog, instruction="q"),)),
        replace(task, test=(replace(dog, against=("q",)),)),
    ]
    assert len({task.digest, *(other.digest for other in others)}) == 10
    for missing in ("none.png", "a\0b"):
        assert replace(task, test=(replace(dog, image=tmp_path / missing),)).digest == task.digest


def test_an_instruction_has_other_wordings() -> None:
    task = Task("t", Path(), "d", "Say:", wordings={"typo": ("Sya:", "ay:"), "a": ("b",)})
    assert list(map(task.instructions, ("", "typo", "a"))) == [["Say:"], ["Sya:", "ay:"], ["b"]]
    with pytest.raises(UsageError) as caught:
        task.instructions("nope")
    assert str(caught.value) == "task t has no wordings of kind 'nope'; it has: a, typo"
    with pytest.raises(UsageError, match=r"it has: none$"):
        Task("t", Path(), "d", "Say:").instructions("nope")


def test_the_data_are_tvs_own_only_if_all_tasks_are(tmp_path: Path) -> None:
    own, other = find_task("food-color"), load_task(folder_with(tmp_path))
    assert [whose_data([own]), whose_data([own, other]), whose_data([other])] == [OWN_DATA, OTHER_DATA, OTHER_DATA]
    assert (OWN_DATA, OTHER_DATA) == ("tv's own data", "other data")
    assert whose_data([]) == OWN_DATA


def test_groups_are_those_of_the_task_files() -> None:
    assert [folder.name for folder in task_folders("nope")] == []
    assert [folder.name for folder in task_folders()] == [*PAPER, *sorted(set(SHIPPED) - set(PAPER))]


def test_a_word_that_is_no_modality_or_split_is_refused() -> None:
    pictures: Any = "pictures"
    for refused in (Sample("a", ()).has, Sample("a", ()).load, Sample("a", ()).example):
        with pytest.raises(UsageError, match=r"^the modality must be one of text, image, not 'pictures'$"):
            refused(pictures)
    task = Task("t", Path(), "d", "i:")
    with pytest.raises(UsageError, match=r"^the modality must be one of"):
        task.samples(Split.TEST, pictures)
    with pytest.raises(UsageError, match=r"^the split must be one of validation, test, not 'pictures'$"):
        task.samples(pictures, Modality.TEXT)


# -- questions behind inputs ------------------------------------------------------------------------------------


def test_a_sample_has_a_question_and_what_overrides_it(tmp_path: Path, picture: Path) -> None:
    asked = {"question": " What is it? ", "instruction": "Its color:", "against": ["cat", "kitten"]}
    lines = json.dumps({"input": "cat", "image": str(picture), "output": "red", **asked})
    task = load_task(folder_with(tmp_path, lines=lines))
    [sample] = task.test
    assert (sample.question, sample.instruction, sample.against) == ("What is it?", "Its color:", ("cat", "kitten"))
    assert sample.load(Modality.TEXT) == "cat What is it?"
    assert zero_shot(sample.load(Modality.IMAGE)).parts[2] == "What is it?\nA:"
    assert task.has_questions
    assert task.has_own_instructions
    assert not find_task("food-color").has_own_instructions


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"question": 3}, "the question is the number 3; write it as text, in quotes"),
        ({"question": ["a"]}, "the question must be text, not ['a']"),
        ({"instruction": "a\0"}, "the instruction contains a NUL character"),
        ({"against": ["a", 3]}, "the against is the number 3"),
        ({"against": ["a", " "]}, "the against must be text or a list of texts"),
    ],
)
def test_a_question_that_is_no_text_is_named(tmp_path: Path, asked: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=r"line 1: ") as caught:
        load_task(folder_with(tmp_path, lines=json.dumps({"input": "cat", "output": "red", **asked})))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("\nI have a neck longer than any tree. What am I?\n\nQ:", True),
        ("My spots hide me,\nmy neck feeds me: what am I?", True),
        ("giraffe giraffe giraffe giraffe giraffe giraffe", False),  # any five words were a line of a poem
        ("the the the the the the What am I?", False),
        ("What am I?", False),
        ("What am I?\nQ:slothsloth\nA: What am I?\nQ:slothsloth\nA: What am I?", False),  # picto, with a system prompt
        ("What am I?\nA: I am a mosquito.\nA: What am I?\nA: I am a mosquito.", False),
        ('The animal that ends in "What am I?" is a rabbit.', False),
        ("I am tall and yellow and eat leaves. What am I doing?", False),
        ('A riddle about the animal that ends in "What am I?"', False),  # the request
        ("Giraffa camelopardalis is its scientific name", False),
    ],
)
def test_a_riddle_is_known_by_its_end(answer: str, right: bool) -> None:
    assert Judge().follows(answer, (), find_task("override-creative").pattern) is right
