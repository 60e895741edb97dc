"""`tv tasks check`: every problem and every warning of a task."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from conftest import Ran, Runner
from PIL import Image as Pillow
from task_folder import RECORD, TOML, folder_with

from tvcli.errors import UnavailableError
from tvcli.evaluation.task_checks import best_letter, echo, errors, warnings
from tvcli.inputs.tasks import Sample, Task
from tvcli.text import clean, normalized


def test_check_finds_broken_pictures_and_doubled_inputs(tmp_path: Path, tv: Runner) -> None:
    lines = "\n".join(json.dumps(r) for r in (RECORD, RECORD, {**RECORD, "input": "dog", "image": "none.png"}))
    ran = tv("tasks", "check", folder_with(tmp_path, lines=lines))
    assert ran.code == 1
    assert "examples.jsonl, line 2: the input 'cat' is in the file twice, first in line 1" in ran.out
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
    assert f"line 2: the input {clean(other)!r} is in both splits, first in line 1" in ran.out


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
    assert f"line 2: the image {copy} is in both splits, first in line 1" in ran.out
    assert f"line 3: the image {copy} is in both splits, first in line 1" in ran.out
    assert "2 problems" in ran.err


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three different ones."""
    paths = [tmp_path / f"{gray}.png" for gray in range(3)]
    for gray, path in enumerate(paths):
        Pillow.new("L", (4, 4), gray).save(path)
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
    assert "a prompt takes 5 examples, but only 1 validation samples have an image" in ran.err
    assert "with a text" not in ran.err


def test_check_says_what_one_letter_would_answer(tmp_path: Path, tv: Runner) -> None:
    answers = ["sweet", "salty", "bitter", "dry"]
    ran = checked(tv, tmp_path, *({"input": f"x{i}", "output": answer} for i, answer in enumerate(answers)))
    assert (ran.code, ran.out) == (0, "")
    assert "2 answers begin with 's', which alone would be correct for 50% of the test samples" in ran.err


def test_check_has_nothing_to_say_of_one_answer_or_of_a_pattern(tmp_path: Path, tv: Runner) -> None:
    same = [{"input": f"x{i}", "output": "y"} for i in range(4)]
    assert "begin with" not in checked(tv, tmp_path, *same).err
    (tmp_path / "other").mkdir()
    ran = checked(tv, tmp_path / "other", {"input": "xy"}, {"input": "xz"}, toml=TOML + 'pattern = "x"\n')
    assert (ran.code, "echoes" in ran.err, "begin with" in ran.err) == (0, False, False)


# -- every problem --------------------------------------------------------------------------------------------


FILE = Path("f") / "examples.jsonl"


def made(validation: Sequence[Sample], test: Sequence[Sample], pattern: str = "") -> Task:
    return Task("t", Path("f"), "d", "i:", pattern=pattern, validation=tuple(validation), test=tuple(test))


def test_errors_are_in_the_order_of_their_kind_and_of_their_lines(pictures: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    copy = tmp_path / "copy.png"
    copy.write_bytes(pictures[0].read_bytes())
    task = made(
        [
            Sample("cat", ("a",), pictures[0], 1),
            Sample("Cat", ("b",), broken, 4),
            Sample("dog", ("c",), pictures[1], 6),
        ],
        [
            Sample("CAT", ("d",), copy, 2),
            Sample("", ("e",), pictures[2], 3),
            Sample("", ("f",), None, 5),
            Sample("ox", ("g",), pictures[2], 7),
            Sample("yak", ("g",), broken, 8),
        ],
    )
    from tvcli.images import load_any

    with pytest.raises(UnavailableError) as caught:
        load_any(broken)
    assert errors(task) == [
        f"{FILE}, line 2: the input 'CAT' is in both splits, first in line 1",
        f"{FILE}, line 4: the input 'Cat' is in the file twice, first in line 1",
        f"{FILE}, line 4: {caught.value}",
        f"{FILE}, line 8: {caught.value}",
        f"{FILE}, line 2: the image {copy} is in both splits, first in line 1",
        f"{FILE}, line 7: the image {pictures[2]} is in the file twice, first in line 3",
    ]


def test_a_picture_is_decoded_once(pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from tvcli.evaluation import task_checks as checks
    from tvcli.inputs.task_images import load_kept

    seen: list[Path] = []

    def load(path: Path) -> object:
        seen.append(path)
        return load_kept(path)

    monkeypatch.setattr(checks, "load_kept", load)
    errors(made([], [Sample("a", ("x",), pictures[0], 1), Sample("b", ("x",), pictures[0], 2)]))
    assert seen == [pictures[0]]


def test_warnings_are_said_in_full(picture: Path) -> None:
    validation = [Sample(f"v{i}", ("y",), picture if i < 3 else None, i) for i in range(4)]
    test = [
        Sample("bison", ("Bison bison",), None, 5),
        Sample("b", ("bat", "cow"), None, 6),
        Sample("x", ("z",), None, 7),
    ]
    assert warnings(made(validation, test)) == [
        f"{FILE}: a prompt takes 5 examples, but only 4 validation samples have text",
        f"{FILE}: a prompt takes 5 examples, but only 3 validation samples have an image",
        f"{FILE}, line 5: the answer 'Bison bison' echoes the input 'bison',"
        " which would be correct under the paper's metric",
        f"{FILE}, line 6: the answer 'bat' echoes the input 'b', which would be correct under the paper's metric",
    ]
    assert warnings(made(validation, test, pattern="x"), 4) == [
        f"{FILE}: a prompt takes 4 examples, but only 3 validation samples have an image"
    ]
    assert warnings(made(validation, test, pattern="x"), 3) == []


def test_a_modality_that_is_only_tested_is_warned_of_and_one_that_is_nowhere_is_not(picture: Path) -> None:
    assert warnings(made([], [Sample("", (), picture, 1)], pattern="x")) == [
        f"{FILE}: a prompt takes 5 examples, but only 0 validation samples have an image"
    ]
    assert warnings(made([], [Sample("a", (), None, 1)], pattern="x")) == [
        f"{FILE}: a prompt takes 5 examples, but only 0 validation samples have text"
    ]


def test_one_letter_for_a_quarter_of_the_test_samples_is_warned_of() -> None:
    answers = [(" apple", "avocado", "fig"), ("beet",), ("cress",), ("date",)]
    samples = [Sample(f"x{i}", outputs, None, i) for i, outputs in enumerate(answers)]
    assert warnings(made([], samples), 0) == [
        f"{FILE}: 2 answers begin with 'a', which alone would be correct for 25% of the test samples"
        " under the paper's metric"
    ]
    assert warnings(made([], [*samples, Sample("x4", ("egg",), None, 5)]), 0) == []
    assert best_letter((Sample("x", ("ab", "ac", "b")), Sample("y", ("bc",)))) == ("b", 1.0)


def test_an_echo_is_the_first_answer_that_would_count_in_some_case() -> None:
    assert echo(Sample("cat", ("Felis", "CATALINA", "cat"))) == "CATALINA"
    assert echo(Sample("Cat", ("felis",))) is None
    assert normalized("  Cre\u0300me\n BR\u00dbl\u00e9e ") == "cr\u00e8me br\u00fbl\u00e9e"
