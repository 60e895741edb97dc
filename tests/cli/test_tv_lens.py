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
    ran = tv("lens", "-T", "food-color", "--source", "both", "--json", "--plot", picture)
    curves = json.loads(ran.out)
    assert len(curves) == 6
    assert all(len(values) == 6 and 0 <= min(values) <= max(values) <= 1 for values in curves.values())
    assert picture.read_text().startswith("<?xml")
    assert tv("lens", "-T", "food-color", "--source", "both", "--plot", tmp_path / "again.svg").code == 0
    assert (tmp_path / "again.svg").read_bytes() == picture.read_bytes()
