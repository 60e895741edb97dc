"""What `tv paper -o` writes beside the answers: each table as Markdown and JSON, and its plot."""

import json
from pathlib import Path

import pytest
from conftest import ROOT, Runner
from task_folder import RECORD, folder_with

from tvcli import plots
from tvcli.cli.work.paper_files import markdown
from tvcli.paper.study import Table


def test_a_table_is_saved_as_it_is_printed(tv: Runner, tmp_path: Path) -> None:
    common = ["paper", "table2", "--limit", 6, "--seeds", 1, "-T", "food-color", "-o", tmp_path]
    said = tv(*common)
    printed = [line.split("\t") for line in said.out.splitlines()]
    record = json.loads((tmp_path / "table2.json").read_text("utf-8"))
    assert [list(record["rows"][0]), *(list(row.values()) for row in record["rows"])] == printed
    assert json.loads(tv(*common, "--json").out) == record
    lines = (tmp_path / "table2.md").read_text("utf-8").splitlines()
    first = [line.removeprefix("| ").split(" | ")[0] for line in lines if line.startswith("|")]
    assert first == ["task", "---", *(row[0] for row in printed[1:])]
    kept = {path.name for path in tmp_path.iterdir()}
    assert {"table2.jsonl", "table2.json", "table2.md"} <= kept
    assert ("table2.svg" in kept) == plots.available()
    assert f"wrote {tmp_path / 'table2.md'}, {tmp_path / 'table2.json'}" in said.err


def test_what_a_model_says_is_no_markup() -> None:
    made = Table(("query", "answer"), (("a|b", "<b>*x*</b>\n\x1b[1m`"),), legend="1 < 2")
    assert markdown("t_1: title", made) == (
        "t\\_1: title\n\n| query | answer |\n| --- | ---: |\n| a\\|b | \\<b>\\*x\\*\\</b>\\n\\x1b[1m\\` |\n\n1 \\< 2\n"
    )


@pytest.mark.parametrize("name", ["table2.svg", "table12.json"])
def test_a_picture_of_a_task_is_not_overwritten(tv: Runner, tmp_path: Path, name: str) -> None:
    folder = folder_with(tmp_path, lines=json.dumps({**RECORD, "image": name}))
    picture = folder / name
    picture.write_bytes((ROOT / "tests" / "data" / "flags" / "fr.png").read_bytes())
    said = tv("paper", "table2", "table12", "-T", folder, "-o", folder)
    assert (said.code, said.err) == (2, f"tv: the output {picture} is also an input\n")
