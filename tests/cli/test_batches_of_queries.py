"""One bad item of many is named, skipped and counted; pictures of tasks are looked at before the work starts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Runner
from PIL import Image as Pillow

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Answer
from tvcli.errors import TvError, UnavailableError, VectorError
from tvcli.inputs.tasks import load_task
from tvcli.kinds import Modality, Split
from tvcli.prompts.prompt import Prompt

LONG = "word " * 5000  # more tokens than the fake model's context holds


def png(path: Path, width: int = 8, height: int = 8) -> Path:
    Pillow.new("RGB", (width, height), (200, 10, 10)).save(path)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "z.png"):
        png(Path(name))
    png(Path("pano.png"), 4000, 10)
    Path("phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    Path("cut.png").write_bytes(Path("a.png").read_bytes()[:50])
    return tmp_path


BROKEN = {
    "pano.png": "image pano.png is too narrow to encode: 4000 × 10 pixels",
    "phone.heic": "phone.heic is not an image that tv can read (HEIC); convert it to PNG or JPEG",
    "none.png": "image none.png cannot be read: no such file or directory",
    "cut.png": "image cut.png is damaged",
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", [["apply", "VECTOR"], ["prompt"]], ids=["apply", "prompt"])
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_picture_that_cannot_be_asked_about_stops_no_other(
    tv: Runner, made: Path, command: list[str], name: str
) -> None:
    given = [str(made) if word == "VECTOR" else word for word in command]
    ran = tv(*given, "-i", "a.png", name, "z.png")
    assert ran.code == 3
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == ["a.png", "z.png"]
    first, last = ran.err.splitlines()[-2:]
    assert first.startswith(f"tv: {BROKEN[name]}")
    assert last == "tv: 1 of the queries could not be answered and was skipped"
    alone = tv(*given, "-i", name)
    assert (alone.code, alone.out) == (3, "")
    assert "skipped" not in alone.err


@pytest.mark.usefixtures("here")
def test_a_bad_line_is_named_by_file_and_line(tv: Runner, made: Path) -> None:
    Path("q.txt").write_text(f"@a.png\n@pano.png\n{LONG}\nJapan\n@none.png\n")
    ran = tv("apply", made, "--queries", "q.txt")
    assert ran.code == 3
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == ["a.png", "Japan"]
    said = ran.err.splitlines()
    assert "tv: q.txt, line 2: image pano.png is too narrow to encode: 4000 × 10 pixels" in said
    [long] = [line for line in said if line.startswith("tv: q.txt, line 3: ")]
    assert "tokens does not fit the context" in long
    assert any(line.startswith("tv: q.txt, line 5: image none.png cannot be read") for line in said)
    assert said[-1] == "tv: 3 of the queries could not be answered and were skipped"


@pytest.mark.usefixtures("here")
def test_names_from_a_file_or_a_pipe_are_named_too(tv: Runner, made: Path) -> None:
    Path("names").write_text("a.png\nnone.png\n")
    assert "tv: names, line 2: image none.png" in tv("apply", made, "--images-from", "names").err
    ran = tv("apply", made, "--images-from", "-", "-0", stdin=b"a.png\0none.png\0")
    assert ran.code == 3
    assert "tv: standard input, name 2: image none.png" in ran.err


@pytest.mark.usefixtures("here")
def test_a_text_that_does_not_fit_is_named_and_one_alone_keeps_its_code(tv: Runner, made: Path) -> None:
    ran = tv("apply", made, "-t", LONG, "-t", "Japan")
    assert (ran.code, len(ran.out.splitlines())) == (3, 1)
    assert ran.err.splitlines()[-2].startswith("tv: word word")
    assert tv("apply", made, "-t", LONG).code == 2


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("raised", "code", "answered"), [(TvError("mtmd refuses it"), 3, 2), (VectorError("no vector"), 4, 1)]
)
def test_what_the_engine_refuses_is_skipped_unless_it_is_the_vector(
    tv: Runner, made: Path, monkeypatch: pytest.MonkeyPatch, raised: TvError, code: int, answered: int
) -> None:
    whole = FakeEngine.answer

    def answer(self: FakeEngine, prompts: list[Prompt], *rest: Any) -> list[list[Answer]]:
        if "no" in str(prompts[0].parts):
            raise raised
        return whole(self, prompts, *rest)

    monkeypatch.setattr(FakeEngine, "answer", answer)
    ran = tv("apply", made, "-t", "Peru", "-t", "no", "-t", "Cuba")
    assert (ran.code, len(ran.out.splitlines())) == (code, answered)
    if code == 3:
        assert "tv: no: mtmd refuses it" in ran.err


def test_a_model_without_an_image_encoder_ends_the_batch_at_once(
    tv: Runner, made: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tvcli.models.opening.FakeEngine", lambda: FakeEngine(vision=False))
    ran = tv("apply", made, "-i", here / "a.png", here / "z.png")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("has no image encoder; add --mmproj") == 1


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_a_folder_says_what_it_leaves_out(tv: Runner, made: Path) -> None:
    folder = Path("d")
    folder.mkdir()
    for name in ("a.png", "b.jfif", "C.JPE", "m.PGM"):
        Pillow.new("L", (9, 9)).save(folder / name, "PPM" if name == "m.PGM" else "PNG")
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.jpg"):
        (folder / name).write_bytes(b"")
    ran = tv("apply", made, "-i", "d")
    assert (ran.code, len(ran.out.splitlines())) == (0, 4)
    assert "left out" not in ran.err
    (folder / "notes.txt").write_bytes(b"")
    (folder / "sub.png").mkdir()
    ran = tv("apply", made, "-i", "d")
    assert (ran.code, len(ran.out.splitlines())) == (0, 4)
    assert "1 other file of d was left out: notes.txt\n" in ran.err
    assert "1 folder of d was left out: sub.png\n" in ran.err
    (folder / "c.heic").write_bytes(b"")
    assert "2 other files of d were left out: c.heic, notes.txt\n" in tv("apply", made, "-i", "d").err
    assert "left out" not in tv("apply", made, "-q", "-i", "d").err


@pytest.mark.usefixtures("here")
def test_a_folder_without_images_says_what_it_has(tv: Runner, made: Path) -> None:
    Path("e").mkdir()
    for number in range(7):
        Path(f"e/{number}.heic").write_bytes(b"")
    ran = tv("apply", made, "-i", "e")
    assert ran.code == 3
    words = "folder e contains no images, but 0.heic, 1.heic, 2.heic, 3.heic, 4.heic, …; convert these to PNG or JPEG"
    assert words in ran.err


# -- standard input ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_the_lens_takes_a_picture_from_standard_input(tv: Runner) -> None:
    ran = tv("lens", "-m", "fake", "--image", "-", stdin=Path("a.png").read_bytes())
    assert (ran.code, ran.out) == (0, tv("lens", "-m", "fake", "--image", "a.png").out)
    ran = tv("lens", "-m", "fake", "--image", "-", stdin=b"x")
    assert ran.code == 3
    assert "standard input is not an image that tv can read" in ran.err


# -- tasks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def task(here: Path) -> Path:
    """Twelve samples with pictures, line 3 and line 9 with ones that cannot be used."""
    folder = here / "mine"
    folder.mkdir()
    (folder / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    lines = []
    for number in range(1, 13):
        picture = "pano.png" if number == 3 else "none.png" if number == 9 else f"{number}.png"
        if number != 9:
            png(folder / picture, *((4000, 10) if number == 3 else ()))
        split = "validation" if number <= 6 else "test"
        lines.append(json.dumps({"input": f"x{number}", "output": "y", "image": picture, "split": split}))
    (folder / "examples.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "--seeds", 1],
        ["eval", "--seeds", 1, "--source", "image", "--query", "text"],
        ["paper", "table2", "--seeds", 1],
        ["paper", "figure6", "--seeds", 1],
        ["report", "-o", "r.html", "--seeds", 1],
    ],
    ids=str,
)
def test_pictures_of_tasks_are_looked_at_before_the_work_starts(
    tv: Runner, task: Path, monkeypatch: pytest.MonkeyPatch, command: list[object]
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work has started")

    monkeypatch.setattr(FakeEngine, "answer", work)
    monkeypatch.setattr(FakeEngine, "read", work)
    ran = tv(*command, "-m", "fake", "-T", task)
    assert (ran.code, ran.out) == (3, "")
    words = (
        f"tv: {task / 'examples.jsonl'}, line 3: image {task / 'pano.png'} is too narrow to encode: 4000 × 10 pixels"
    )
    assert ran.err.splitlines()[-1] == f"{words}; 1 more cannot be used, which tv tasks check lists"


def test_pictures_that_nobody_looks_at_are_not_looked_at(tv: Runner, task: Path) -> None:
    ran = tv("eval", "-m", "fake", "-T", task, "--query", "text", "--seeds", 1, "--shots", 2, "--layer", 1)
    assert ran.code == 0, ran.err
    ran = tv("eval", "-m", "fake", "-T", task, "--limit", 2, "--shots", 2, "--seeds", 1)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("command", [["lens", "--source", "image"], ["map", "--source", "image"]], ids=str)
def test_the_lens_and_the_map_name_file_and_line(tv: Runner, task: Path, command: list[object]) -> None:
    ran = tv(*command, "-m", "fake", "-T", task)
    assert ran.code == 3
    assert f"{task / 'examples.jsonl'}, line 3: image {task / 'pano.png'} is too narrow" in ran.err


def test_a_file_that_was_mended_is_looked_at_again(task: Path) -> None:
    [_, _, narrow, *_] = load_task(task).samples(Split.VALIDATION, Modality.IMAGE)
    assert "too narrow" in narrow.problem()
    png(task / "pano.png", 300, 20)
    assert narrow.problem() == ""
    assert isinstance(narrow.load(Modality.IMAGE), object)
    (task / "pano.png").unlink()
    with pytest.raises(UnavailableError, match=r"examples\.jsonl, line 3: image .* cannot be read"):
        narrow.load(Modality.IMAGE)


def test_a_sample_that_the_engine_refuses_is_named(tv: Runner, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FakeEngine.answer

    def answer(self: FakeEngine, prompts: list[Prompt], *rest: Any) -> list[list[Answer]]:
        if any("x8" in str(prompt.parts) for prompt in prompts):
            raise TvError("llama.cpp cannot do it")
        return whole(self, prompts, *rest)

    monkeypatch.setattr(FakeEngine, "answer", answer)
    ran = tv("eval", "-m", "fake", "-T", task, "--query", "text", "--seeds", 1, "--shots", 2, "--layer", 1)
    assert ran.code == 1
    assert f"tv: {task / 'examples.jsonl'}, line 8: llama.cpp cannot do it" in ran.err


def test_a_vector_that_cannot_be_read_names_its_task(tv: Runner, task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> np.ndarray:
        raise TvError("llama.cpp cannot do it")

    monkeypatch.setattr(FakeEngine, "read", read)
    ran = tv("eval", "-m", "fake", "-T", task, "--query", "text", "--seeds", 1, "--shots", 2, "--layer", 1)
    assert ran.code == 1
    assert "tv: task mine, vector of seed 1: llama.cpp cannot do it" in ran.err
