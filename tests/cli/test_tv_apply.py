"""`tv apply` on the fake engine: answers on stdout, words on stderr, queries from options, pipes, files and folders."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import Runner, started
from PIL import Image as Pillow

from tvcli.cli.commands.options import QueryOptions
from tvcli.cli.work.inputs import gather
from tvcli.engine.fake import FakeEngine
from tvcli.vector import TaskVector, save, to_bytes


def test_one_query_prints_only_the_answer(tv: Runner, made: Path, picture: Path) -> None:
    ran = tv("apply", made, "--image", picture)
    assert ran.code == 0
    assert ran.out.count("\n") == 1
    assert "\t" not in ran.out
    assert "patching layer 3 (half the depth" in ran.err


def test_several_queries_print_name_and_answer_in_order(tv: Runner, made: Path, picture: Path) -> None:
    ran = tv("apply", made, "--image", picture, "--text", "Chile", "--text", "Cuba", "--layer", 2)
    names = [line.split("\t")[0] for line in ran.out.splitlines()]
    assert names == [str(picture), "Chile", "Cuba"]


def test_an_answer_does_not_depend_on_its_neighbors(tv: Runner, made: Path) -> None:
    alone = tv("apply", made, "-t", "Cuba").out.strip()
    assert tv("apply", made, "-t", "Chile", "-t", "Cuba").out.splitlines()[1] == f"Cuba\t{alone}"


def test_layer_all_prints_one_answer_a_layer(tv: Runner, made: Path) -> None:
    rows = [line.split("\t") for line in tv("apply", made, "-t", "Cuba", "--layer", "all").out.splitlines()]
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    for layer, answer in rows:
        assert tv("apply", made, "-t", "Cuba", "--layer", layer).out.strip() == answer.strip()


def test_layer_zero_is_a_layer(tv: Runner, made: Path, vector: TaskVector, tmp_path: Path) -> None:
    record = json.loads(tv("apply", made, "-t", "Cuba", "--layer", "0", "--json").out)
    assert record["layer"] == 0
    save(vector.with_layer(0, "by hand"), tmp_path / "zero.npy")
    ran = tv("apply", tmp_path / "zero.npy", "-t", "Cuba", "--json")
    assert json.loads(ran.out)["layer"] == 0
    assert "patching layer 0 (by hand)" in ran.err


def test_json_is_one_object_a_line(tv: Runner, made: Path, picture: Path) -> None:
    records = [json.loads(line) for line in tv("apply", made, "-i", picture, "-t", "Perú", "--json").out.splitlines()]
    assert [(r["input"], r["kind"]) for r in records] == [(str(picture), "image"), ("Perú", "text")]
    assert all(isinstance(r["margin"], float) and r["tokens"] for r in records)


def test_verbose_names_token_layer_and_provenance(tv: Runner, made: Path) -> None:
    ran = tv("apply", made, "-t", "Cuba", "-v")
    assert "Cuba: overwriting layer 3 at the delimiter" in ran.err
    assert "|[:] (token " in ran.err
    assert "vector: text examples, 5 prompts, read with fake" in ran.err
    assert ran.out == tv("apply", made, "-t", "Cuba").out


def test_a_patched_answer_differs_from_the_unpatched_one(tv: Runner, vector: TaskVector, tmp_path: Path) -> None:
    save(TaskVector(vector.rows * 50), tmp_path / "strong.npy")
    layers = tv("apply", tmp_path / "strong.npy", "-t", "Cuba", "--layer", "all").out.splitlines()
    assert tv("prompt", "-t", "Cuba").out.strip() not in {line.split("\t")[1] for line in layers}


def test_a_vector_comes_through_a_pipe(tv: Runner, made: Path) -> None:
    assert tv("apply", "-", "-t", "Cuba", stdin=made.read_bytes()).out == tv("apply", made, "-t", "Cuba").out


def test_an_image_comes_through_a_pipe(tv: Runner, made: Path, picture: Path) -> None:
    assert tv("apply", made, "-i", "-", stdin=picture.read_bytes()).out == tv("apply", made, "-i", picture).out


def test_queries_come_from_a_pipe(tv: Runner, made: Path) -> None:
    ran = tv("apply", made, "--queries", "-", stdin=b"Chile\nCuba\n")
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == ["Chile", "Cuba"]


@pytest.mark.parametrize(("end", "options"), [(b"\0", ["-0"]), (b"\n", []), (b"\r\n", [])])
def test_names_of_images_come_from_a_pipe_or_a_file(
    tv: Runner, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a b.png", "-c.png", "@d.png", "é.png"]
    for name in names:
        Pillow.new("RGB", (4, 4)).save(name)
    data = end.join(os.fsencode(name) for name in names)  # the last end may be missing
    Path("names").write_bytes(data + end)
    for ran in (
        tv("apply", made, "--images-from", "-", *options, "-t", "x", stdin=data),
        tv("apply", made, "--images-from", "names", *options, "-t", "x"),
    ):
        assert (ran.code, [line.split("\t")[0] for line in ran.out.splitlines()]) == (0, ["x", *names])


def test_a_name_from_a_pipe_is_answered_before_the_next_is_written(vector: TaskVector, tmp_path: Path) -> None:
    save(vector, tmp_path / "v.npy")
    Pillow.new("RGB", (4, 4)).save(tmp_path / "a.png")
    command = ["apply", "v.npy", "-q", "--images-from", "-", "-0", "--json"]
    with started(*command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(b"a.png\0")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["input"] == "a.png"
        process.stdin.close()
        assert process.wait() == 0


def test_the_queries_of_a_redirected_file_are_counted_and_those_of_a_pipe_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tmp_path / "names"
    names.write_text("a.png\nb.png\nc.png\n")
    asked = QueryOptions(images_from="-", text=["x"])
    with names.open() as file, subprocess.Popen(["cat", names], stdout=subprocess.PIPE, text=True) as process:
        for stream, total in ((file, 4), (process.stdout, None)):
            monkeypatch.setattr("sys.stdin", stream)
            queries = gather(asked)
            assert queries.total == total
            assert queries.several
            assert len(list(queries.items)) == 4


@pytest.mark.parametrize("lines", ["", "Greece\n"])
def test_a_redirected_file_is_answered_as_a_pipe_is(made: Path, tmp_path: Path, lines: str) -> None:
    (tmp_path / "queries").write_text(lines)
    with (tmp_path / "queries").open("rb") as file:
        ran = [started("apply", made, "--queries", "-", "-q", stdout=subprocess.PIPE, stdin=file)]
    ran.append(started("apply", made, "--queries", "-", "-q", stdout=subprocess.PIPE, stdin=subprocess.PIPE))
    redirected, piped = (
        process.communicate(data, timeout=60)[0] for process, data in zip(ran, (None, lines.encode()), strict=True)
    )
    assert [process.returncode for process in ran] == [0, 0]
    assert redirected == piped
    assert redirected.startswith(b"Greece\t" if lines else b"")


def test_a_folder_is_all_its_images(tv: Runner, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flags"
    folder.mkdir()
    for name in ("b.png", "a.jpg", "notes.txt"):
        (folder / name).write_bytes(b"")
        if name != "notes.txt":
            Pillow.new("RGB", (4, 4)).save(folder / name)
    ran = tv("apply", made, "-i", folder)
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == [str(folder / "a.jpg"), str(folder / "b.png")]


def test_a_broken_image_among_others_is_named_skipped_and_counted(tv: Runner, made: Path, picture: Path) -> None:
    ran = tv("apply", made, "-i", picture, "none.png", picture)
    assert ran.code == 3
    assert len(ran.out.splitlines()) == 2
    assert "none.png cannot be read: no such file" in ran.err
    assert "1 of the queries could not be answered and was skipped" in ran.err


def test_odd_answers_and_names_cannot_drive_a_terminal(tv: Runner, made: Path) -> None:
    ran = tv("apply", made, "-t", "\x1b[31mred\n\tx", "-t", "y")
    assert "\x1b" not in ran.out
    assert ran.out.startswith("\\x1b[31mred\\n\\tx\t")
    assert "\x1b" not in tv("apply", made, "-i", "\x1b[31m.png").err


def test_a_vector_from_another_model_of_the_same_shape_is_used_and_said(tv: Runner, vector: TaskVector) -> None:
    from dataclasses import replace

    other = replace(vector.provenance, model=replace(FakeEngine().model, name="other", digest="x"))
    ran = tv("apply", "-", "-t", "x", stdin=to_bytes(TaskVector(vector.rows, other)))
    assert ran.code == 0
    assert "the vector was read with other" in ran.err


def test_a_vector_read_at_another_token_is_warned_of(tv: Runner, vector: TaskVector) -> None:
    from dataclasses import replace

    other = TaskVector(vector.rows, replace(vector.provenance, delimiter="?"))
    assert "read at the token '?', the query ends in ':'" in tv("apply", "-", "-t", "x", stdin=to_bytes(other)).err


def test_text_that_is_no_unicode_is_refused(tv: Runner, tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    assert tv("extract", "--instruction", "caf\u00e9", "-o", path).code == 0
    for ran in (
        tv("extract", "--instruction", "caf\udce9 \ud800", "-o", path),
        tv("apply", path, "-t", "caf\udce9", "-t", "x", "--json"),
        tv("prompt", "-t", "x", "--system", "caf\udce9"),
        tv("lens", "--text", "caf\udce9"),
    ):
        assert (ran.code, ran.out) == (2, "")
        assert "holds bytes that are not UTF-8 text: 'caf\\udce9" in ran.err
