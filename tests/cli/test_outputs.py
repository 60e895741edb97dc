"""No command writes over what it reads; `-` is standard input or output wherever files are."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_gguf
from conftest import EVAL, Runner, started

from tvcli.engine.gguf.control_vector import save as save_control_vector
from tvcli.inputs.tasks import find_task
from tvcli.vector import TaskVector, save

SMALL = ["-T", "mine", "--limit", 5, "--seeds", 1]


@pytest.fixture
def folder(pairs_file: Path, picture: Path, vector: TaskVector, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of all kinds, each also under other names."""
    place = pairs_file.parent
    monkeypatch.chdir(place)
    os.link(pairs_file, "hard.txt")
    Path("soft.txt").symlink_to(pairs_file)
    Path("pictures.txt").write_text(f"@{picture.name}\ta\nx\tb\n")
    for name in ("v.npy", "w.npy", "v.png"):
        save(vector, name if name.endswith(".npy") else "v.npy")
    shutil.copy("v.npy", "v.svg")
    save_control_vector(vector, "c.gguf")
    Path("m.gguf").write_bytes(bytes(tiny_gguf.model()))
    Path("mm.gguf").write_bytes(bytes(tiny_gguf.vision()))
    shutil.copytree(find_task("food-color").folder, "mine")
    shutil.copytree(find_task("food-color").folder.parent / "images", "images")
    return place


DESTROYED: list[tuple[list[Any], str]] = [
    (["extract", "-e", "pairs.txt", "-o", "pairs.txt"], "pairs.txt"),
    (["extract", "-e", "pairs.txt", "-o", "hard.txt"], "hard.txt"),
    (["extract", "-e", "soft.txt", "-o", "pairs.txt"], "pairs.txt"),
    (["extract", "-e", "pictures.txt", "-o", "picture.png"], "picture.png"),
    (["extract", "-m", "m.gguf", "-e", "pairs.txt", "-o", "m.gguf"], "m.gguf"),
    (["extract", "-m", "m.gguf", "--mmproj", "mm.gguf", "-e", "pairs.txt", "-o", "mm.gguf"], "mm.gguf"),
    (["doctor", "m.gguf", "--bundle", "m.gguf"], "m.gguf"),
    (["doctor", "m.gguf", "--mmproj", "mm.gguf", "--bundle", "mm.gguf"], "mm.gguf"),
    (["export", "v.npy", "--control-vector", "v.npy"], "v.npy"),
    (["import", "c.gguf", "-o", "c.gguf"], "c.gguf"),
    (["compare", "v.svg", "w.npy", "--plot", "v.svg"], "v.svg"),
    (["report", *SMALL, "-o", "mine/examples.jsonl"], "mine/examples.jsonl"),
    (["report", *SMALL, "-o", "mine/task.toml"], "mine/task.toml"),
    (["eval", *SMALL, "--samples", "mine/examples.jsonl", "--resume"], "mine/examples.jsonl"),
    (["eval", *SMALL, "--samples", "mine/task.toml"], "mine/task.toml"),
    (["eval", *SMALL, "--plot", "PICTURE"], "PICTURE"),
    (["lens", "-T", "mine", "--plot", "PICTURE"], "PICTURE"),
    (["map", "-T", "mine", "--plot", "PICTURE"], "PICTURE"),
]


@pytest.mark.parametrize(("arguments", "output"), DESTROYED, ids=lambda value: str(value))
def test_an_output_that_is_also_an_input_is_refused_and_stays_as_it_is(
    tv: Runner, folder: Path, arguments: list[Any], output: str
) -> None:
    picture = next(str(sample.image) for sample in find_task("mine").test if sample.image is not None)
    arguments = [picture if argument == "PICTURE" else argument for argument in arguments]
    output = picture if output == "PICTURE" else output
    before = Path(output).read_bytes()
    ran = tv(*arguments)
    assert (ran.code, ran.err) == (2, f"tv: the output {output} is also an input\n")
    assert Path(output).read_bytes() == before


def test_what_the_shell_opened_for_standard_input_is_an_input_too(pairs_file: Path) -> None:
    before = pairs_file.read_bytes()
    with pairs_file.open("rb") as file, started("extract", "-e", "-", "-o", pairs_file, stdin=file, stderr=-1) as ran:
        _, said = ran.communicate(timeout=60)
    assert ran.returncode == 2
    assert b"is also an input" in said
    assert pairs_file.read_bytes() == before


def test_two_vectors_are_checked_under_their_own_names(tv: Runner, folder: Path) -> None:
    shutil.copy("pairs.txt", "x.examples.npy")
    ran = tv("extract", "-e", "x.examples.npy", "--instruction", "x", "-o", "x.npy")
    assert (ran.code, ran.err) == (2, "tv: the output x.examples.npy is also an input\n")
    Path("y.instruction.npy").mkdir()
    ran = tv("extract", "-e", "pairs.txt", "--instruction", "x", "-o", "y.npy")
    assert (ran.code, ran.err) == (3, "tv: y.instruction.npy cannot be written: is a directory\n")


def test_combine_may_write_over_what_it_read(tv: Runner, folder: Path, vector: TaskVector) -> None:
    assert tv("combine", "v.npy", "-w", 2, "-o", "v.npy").code == 0
    assert np.array_equal(np.load("v.npy"), vector.rows * 2)


def test_the_answers_that_a_report_is_made_of_are_not_written_over(tv: Runner, folder: Path) -> None:
    ran = tv("report", *SMALL, "-o", "results/table2.jsonl", "--results", "results")
    assert ran.code == 2  # there is no such folder yet
    Path("results").mkdir()
    ran = tv("report", *SMALL, "-o", "results/table2.jsonl", "--results", "results")
    assert (ran.code, ran.err) == (
        2,
        "tv: the output results/table2.jsonl would overwrite answers of --results results\n",
    )


@pytest.mark.parametrize("text", ["hello", "{}", "a\nb"])
@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_file_that_holds_no_results_is_never_emptied(
    tv: Runner, tmp_path: Path, text: str, resume: list[str]
) -> None:
    path = tmp_path / "notes"
    path.write_text(text)
    assert tv(*EVAL, "--samples", path, *resume).code == 2
    assert path.read_text() == text


def test_one_file_is_not_written_twice(tv: Runner, tmp_path: Path) -> None:
    ran = tv("eval", "-T", "food-color", "--samples", tmp_path / "x.png", "--plot", tmp_path / "x.png")
    assert (ran.code, ran.err) == (2, f"tv: --plot and --samples both write {tmp_path / 'x.png'}\n")


def test_a_folder_that_cannot_be_made_is_said_before_the_work(tv: Runner, pairs_file: Path) -> None:
    ran = tv(*EVAL, "--vectors", pairs_file)
    assert (ran.code, ran.out, ran.err) == (3, "", f"tv: folder {pairs_file} cannot be created: file exists\n")


def test_answers_may_have_the_longest_name(tv: Runner, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    few = [*EVAL[:-3], "--limit", "5", "--layer", "1"]
    assert tv(*few, "--samples", path).code == 0
    assert tv(*few, "--samples", path, "--resume").code == 0
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


# -- `-` --------------------------------------------------------------------------------------------------


def test_the_lens_takes_a_picture_from_standard_input(tv: Runner, picture: Path) -> None:
    assert tv("lens", "-i", "-", stdin=picture.read_bytes()).out == tv("lens", "-i", picture).out != ""


def test_a_control_vector_goes_through_a_pipe(tv: Runner, folder: Path) -> None:
    exported = tv("export", "v.npy", "--control-vector", "-")
    imported = tv("import", "-", "-o", "-", stdin=exported.raw)
    assert imported.raw == Path("v.npy").read_bytes()
    for data in (b"", b"hello", exported.raw[:-5], Path("m.gguf").read_bytes()):
        ran = tv("import", "-", "-o", "-", stdin=data)
        assert ran.code in (3, 4)
        assert "standard input" in ran.err
        assert "/" not in ran.err.replace("i/o", "")


def test_a_report_goes_to_standard_output(tv: Runner) -> None:
    ran = tv("report", "-T", "food-color", "-T", "animal-young", "--limit", 5, "--seeds", 1, "-o", "-")
    assert ran.code == 0
    assert ran.out.startswith("<!doctype html>") or ran.out.lower().startswith("<!doctype html>")
    assert "wrote standard output" in ran.err


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["eval", "--samples", "-"], "--samples"),
        (["eval", "--vectors", "-"], "--vectors"),
        (["paper", "table2", "-o", "-"], "--output"),
        (["report", "-o", "r.html", "--results", "-"], "--results"),
        (["tasks", "pull", "-o", "-"], "--output"),
    ],
)
def test_what_is_resumed_needs_a_name(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = tv(*arguments)
    assert (ran.code, ran.err) == (2, f"tv: {option} cannot be standard output; name a file or folder\n")
    assert list(tmp_path.iterdir()) == []


def test_a_loop_of_links_ends_every_command_in_a_sentence(tv: Runner, folder: Path) -> None:
    Path("loop").symlink_to("loop")
    for arguments in (["extract", "-e", "pairs.txt", "-o", "loop"], ["report", *SMALL, "-o", "loop"]):
        ran = tv(*arguments)
        assert (ran.code, ran.err) == (3, "tv: loop cannot be written: too many levels of symbolic links\n")


def test_a_vector_goes_to_an_open_file_of_the_shell(pairs_file: Path) -> None:
    with (pairs_file.parent / "v.npy").open("wb") as file:
        arguments = ["extract", "-q", "-e", pairs_file, "-o", "/dev/stdout"]
        with started(*arguments, stdout=file, stderr=subprocess.PIPE) as ran:
            assert ran.wait(60) == 0
    assert np.load(pairs_file.parent / "v.npy").shape == (6, 16)
