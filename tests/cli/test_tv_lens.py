"""`tv lens`: a line a layer, and the curves of a task."""

import json
from pathlib import Path

from conftest import Runner


def test_lens_prints_a_line_a_layer(tv: Runner, three: list[Path], picture: Path) -> None:
    for given in (["--text", "Greece"], ["--image", picture], ["--vector", three[0]]):
        lines = tv("lens", *given, "--top", 2).out.splitlines()
        assert [line.split("\t")[0] for line in lines] == ["0", "1", "2", "3", "4", "5"]
        assert all(len(line.split("\t")) == 3 for line in lines)
    records = [json.loads(line) for line in tv("lens", "--text", "x", "--json").out.splitlines()]
    assert all(len(record["tokens"]) == 5 for record in records)


def test_lens_follows_input_task_and_answer_through_a_task(tv: Runner, tmp_path: Path) -> None:
    picture = tmp_path / "phases.svg"
    ran = tv("lens", "-T", "food-color", "--source", "both", "--sets", 9, "--json", "--plot", picture)
    curves = json.loads(ran.out)
    names = [f"{phase}, {kind} examples" for kind in ("text", "image") for phase in ("input", "task", "answer")]
    assert list(curves) == names
    for one in curves.values():
        assert one["n"] == 9
        layers = list(zip(one["low"], one["mean"], one["high"], strict=True))
        assert len(layers) == 6
        assert all(0 <= low <= mean <= high <= 1 for low, mean, high in layers)
    assert picture.read_text().startswith("<?xml")
    again = tmp_path / "again.svg"
    assert tv("lens", "-T", "food-color", "--source", "both", "--sets", 9, "--plot", again).code == 0
    assert again.read_bytes() == picture.read_bytes()


def test_lens_reads_an_instruction_in_its_wordings(tv: Runner, tmp_path: Path) -> None:
    curves = json.loads(tv("lens", "-T", "food-color", "--source", "instruction", "--json").out)
    assert {name: one["n"] for name, one in curves.items()} == {"input, instruction": 11, "task, instruction": 11}
    (tmp_path / "task.toml").write_text('description = "d"\ninstruction = "Say:"\n')
    (tmp_path / "examples.jsonl").write_text('{"input": "x", "output": "y", "split": "test"}\n')
    [alone, _] = json.loads(tv("lens", "-T", tmp_path, "--source", "instruction", "--json").out).values()
    assert (alone["n"], alone["low"], alone["high"]) == (1, None, None)


def test_the_views_of_a_task_differ_and_lines_have_the_number_of_runs(tv: Runner) -> None:
    paper, words = (
        tv("lens", "-T", "food-color", "--sets", 4, "--view", view).out.splitlines() for view in ("paper", "words")
    )
    assert paper[0] == words[0] == "\t".join(["curve", "n", *"012345"])
    assert [line.split("\t")[:2] for line in paper[1:]] == [
        [f"{phase}, text examples", "4"] for phase in ("input", "task", "answer")
    ]
    assert paper[1:] != words[1:]
