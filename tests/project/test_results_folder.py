"""What makes the results in the repository."""

import gzip
import json
import sys
from pathlib import Path

import pytest
from conftest import ROOT

RESULTS = ROOT / "results"
INTERVAL = "0.30 ±0.01 [0.20, 0.40]"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RESULTS))


def test_saved_answers_can_be_read() -> None:
    files = sorted(RESULTS.glob("*/*.jsonl.gz"))
    assert files
    for path in files:
        first, *answers = gzip.decompress(path.read_bytes()).decode().splitlines()
        assert {"model", "tv", "library", "tasks"} <= json.loads(first).keys(), path
        assert all({"task", "answer", "correct"} <= json.loads(answer).keys() for answer in answers), path


def test_what_was_made_is_copied_and_answers_are_compressed(tmp_path: Path) -> None:
    import make

    work, folder = tmp_path / "work", tmp_path / "there"
    work.mkdir()
    for name in ("table2.jsonl", "table2.md", "table2.json", "table2.svg", "table2.jsonl.lock"):
        (work / name).write_text(name, "utf-8")
    make.publish(work, folder)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {"table2.jsonl.gz", "table2.md", "table2.json", "table2.svg"}
    assert gzip.decompress(first["table2.jsonl.gz"]) == b"table2.jsonl"
    make.publish(work, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_sizes_are_read_from_the_tables_of_each_run(tmp_path: Path) -> None:
    import sizes

    average = {"task": "average", "n": "180", "majority": "0.18", "prompt": INTERVAL, "patch": "0.40 [0.30, 0.50]"}
    text = {**average, "pair": "text → text", "patch": "0.50 [0.40, 0.60]"}
    other = {**average, "pair": "text → image"}
    for run, tables in (
        ("qwen-1.5b", {"table2": [average], "table12": [other, text]}),
        ("qwen-0.5b", {"table2": [average]}),
    ):
        (tmp_path / run).mkdir()
        for name, rows in tables.items():
            table = {"note": "tv's own data; text → text, patched at layer 20", "rows": rows}
            (tmp_path / run / f"{name}.json").write_text(json.dumps(table), "utf-8")
    sizes.write_tables(tmp_path)
    small, large = json.loads((tmp_path / "sizes.json").read_text("utf-8"))
    assert (small["queries"], small["share"], small["depth"]) == ("text", "100%", "88%")
    assert (large["queries"], large["patch"], large["patch, text queries"]) == (
        "pictures",
        "0.40 [0.30, 0.50]",
        text["patch"],
    )
    assert (large["share"], large["layer"], large["depth"]) == ("80%", "20", "75%")
    assert (tmp_path / "sizes.md").read_text("utf-8").count("\n") == 4


def test_an_interval_is_read_from_a_cell() -> None:
    import sizes

    assert sizes.spread("0.18 ±0.02 [0.12, 0.25]") == (0.18, 0.12, 0.25)
    assert sizes.spread("0.18 [0.12, 0.25]") == (0.18, 0.12, 0.25)
    with pytest.raises(SystemExit, match="no interval"):
        sizes.spread("0.18")


def test_an_unknown_run_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import make

    monkeypatch.setattr(sys, "argv", ["make.py", "work", "nothing"])
    with pytest.raises(SystemExit):
        make.main()
    assert "there is no run nothing" in capsys.readouterr().err
