"""What makes the results in the repository."""

import gzip
import json
import sys
from pathlib import Path

import pytest
from conftest import ROOT

RESULTS = ROOT / "results"
RUNS = sorted(path.parent for path in RESULTS.glob("*/about.json"))


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


def evaluation(query: str, patch: float) -> str:
    scores = {method: {"mean": 0.25, "interval": [0.2, 0.3]} for method in ("majority", "no context", "prompt")}
    average = {"n": 180, **scores, "patch": {"mean": patch, "interval": [patch - 0.1, patch + 0.1]}}
    pair = {"source": "text", "query": query, "layer": 20, "validation": [0.0] * 28, "tasks": {"average": average}}
    return json.dumps({"pairs": [pair]})


def test_sizes_are_read_from_the_evaluations_of_each_run(tmp_path: Path) -> None:
    import sizes

    for run, query, patch in (("qwen-1.5b", "image", 0.4), ("qwen-1.5b", "text", 0.5), ("qwen-0.5b", "text", 0.3)):
        (tmp_path / run).mkdir(exist_ok=True)
        (tmp_path / run / f"text-{query}.json").write_text(evaluation(query, patch), "utf-8")
    sizes.write_sizes(tmp_path)
    rows = json.loads((tmp_path / "sizes.json").read_text("utf-8"))
    assert [(row["language model"][-4:], row["queries"], row["of the text's patch"]) for row in rows] == [
        ("0.5B", "text", ""),
        ("1.5B", "pictures", "80%"),
        ("1.5B", "text", ""),
    ]
    assert (rows[1]["patch"], rows[1]["layer"], rows[1]["of the depth"]) == ("0.40 [0.30, 0.50]", "20", "75%")
    assert (tmp_path / "sizes.md").read_text("utf-8").count("\n") == 5
    assert (tmp_path / "sizes.svg").stat().st_size > 1000


TOLD = {
    "software": {"versions": {"tvcli": "0.2.0"}, "processor": "one", "path": "/secret"},
    "machine": {"library": "llama.cpp", "kernels": "", "features": ""},
    "subject": {"model": {"name": "small"}},
}


@pytest.mark.parametrize("name", ["picto-tuned", "qwen-0.5b", "qwen-1.5b"])
def test_a_run_is_made_and_copied_under_its_own_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tv` itself is replaced: it says what doctor and eval would, and writes a table as `tv paper` would."""
    import make

    asked: list[str] = []

    def tv(*arguments: str, captured: bool = False) -> str:
        asked.append(arguments[0])
        if arguments[0] == "paper":
            Path(arguments[-1], "table2.md").write_text("made", "utf-8")
        return json.dumps(TOLD) if captured else ""

    monkeypatch.setattr(make, "tv", tv)
    monkeypatch.setattr(make, "HERE", tmp_path / "there")
    make.HERE.mkdir()
    make.make(name, tmp_path / "work")
    pairs = make.RUNS[name].pairs
    assert asked == ["eval"] * len(pairs) + ["paper", "doctor"]
    assert [path.name for path in make.HERE.iterdir()] == [name]
    made = {path.name for path in (make.HERE / name).iterdir()}
    assert made == {"about.json", "table2.md", *(f"{'-'.join(pair)}.json" for pair in pairs)}
    about = json.loads((make.HERE / name / "about.json").read_text("utf-8"))
    assert (about["processor"], len(about["commands"])) == ("one", len(pairs) + 1)
    assert "/secret" not in json.dumps(about)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_answers_and_tables_are_of_one_model(run: Path) -> None:
    """The settings in the first line of every file name the same model, and every table has its Markdown."""
    firsts = [json.loads(gzip.decompress(path.read_bytes()).split(b"\n")[0]) for path in run.glob("*.jsonl.gz")]
    assert len({(first["model"], first["limit"]) for first in firsts}) == 1
    import make

    tables = {path.stem for path in run.glob("*.json")} - {"about", *map("-".join, make.RUNS[run.name].pairs)}
    assert tables
    assert tables == {path.stem for path in run.glob("*.md")}


def test_the_table_of_sizes_is_made_of_what_is_there(tmp_path: Path) -> None:
    import sizes

    for run in RUNS:
        (tmp_path / run.name).symlink_to(run)
    sizes.write_sizes(tmp_path)
    for name in ("sizes.md", "sizes.json"):
        assert (tmp_path / name).read_bytes() == (RESULTS / name).read_bytes()
    assert (RESULTS / "sizes.md").read_text("utf-8") in (RESULTS / "README.md").read_text("utf-8")


def test_an_unknown_run_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import make

    monkeypatch.setattr(sys, "argv", ["make.py", "work", "nothing"])
    with pytest.raises(SystemExit):
        make.main()
    assert "there is no run nothing" in capsys.readouterr().err
