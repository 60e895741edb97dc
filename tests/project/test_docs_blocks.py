"""The blocks of the pages in docs/ run in their order, one folder per page, on the fake model and a hub on loopback.

Blocks of the kinds `RUN` run; ``<!-- needs: PROGRAM -->`` in the line above: only where there is this program. Those of
the kinds `FILES` are files: ``<!-- file: NAME -->`` there has one written. ``<!-- not run: REASON -->`` says why a
block is not run; its commands must be commands all the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import papers_archives
import pytest
from conftest import ROOT
from local_hub import LocalHub, serve
from parsing import parse

from tvcli.inputs.paper_data import REPOSITORIES

OWN_TESTS = {"python.md", "new-architecture.md"}
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name not in OWN_TESTS)
RUN, FILES, OTHERS = {"sh", "python"}, {"csv", "json", "make", "toml"}, {"text"}
BLOCK = re.compile(r"(?:^<!-- (?P<key>[a-z ]+): (?P<value>.+) -->\n)?^```(?P<kind>.*)\n(?P<text>(?:.*\n)*?)^```$", re.M)
COMMAND = re.compile(r"(?:^|[|;&] *)(tv [^|;&<>#\n]+)", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block, with the key and the value of the comment directly above it."""

    kind: str
    text: str
    key: str
    value: str
    line: int  # of the fence; the first is 1

    @property
    def runs(self) -> bool:
        return self.kind in RUN and (not self.key or (self.key == "needs" and shutil.which(self.value) is not None))

    @property
    def commands(self) -> list[str]:
        """Every use of tv, a line that ends in a backslash joined with the next."""
        return [found.strip() for found in COMMAND.findall(self.text.replace("\\\n", " "))]


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            found["kind"],
            found["text"],
            found["key"] or "",
            found["value"] or "",
            text.count("\n", 0, found.start("kind")) + 1,
        )
        for found in BLOCK.finditer(text)
    ]


def identified(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs"))


def run(command: list[str], folder: Path, hub: LocalHub) -> str:
    """What it writes to standard error. It must succeed."""
    home = folder.parent / "home"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TV_MODEL": "fake",
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home / "hub"),
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "NO_PROXY": "127.0.0.1",
    }
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With links to `tests` and `tasks`, and with archives of the layout of the paper's."""
    path = tmp_path / "page"
    path.mkdir()
    for name in ("tests", "tasks"):
        (path / name).symlink_to(ROOT / name)
    papers_archives.write(path)
    return path


@pytest.fixture
def hub(folder: Path) -> Iterator[LocalHub]:
    """It has the same archives."""
    archives = papers_archives.Archives(folder / "annotations.zip", folder / "images.zip")
    with serve(LocalHub({f"datasets/{REPOSITORIES[0]}": archives.by_name})) as served:
        yield served


@pytest.mark.parametrize("page", PAGES, ids=identified)
def test_the_blocks_run_from_top_to_bottom(page: Path, folder: Path, hub: LocalHub) -> None:
    for block in blocks(page):
        if block.key == "file":
            (folder / block.value).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.value).write_text(block.text, encoding="utf-8")
        elif block.runs:
            how = [sys.executable, "-c"] if block.kind == "python" else ["bash", "-euo", "pipefail", "-c"]
            run([*how, block.text], folder, hub)


@pytest.mark.parametrize("page", PAGES, ids=identified)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        where = f"{identified(page)}, before line {block.line}"
        assert block.kind in RUN | FILES | OTHERS, where
        assert block.key in {"", "file", "needs", "not run"}, where
        assert block.key != "file" or block.kind in FILES, where
        assert block.key not in {"needs", "not run"} or block.kind in RUN, where


@pytest.mark.parametrize("page", PAGES, ids=identified)
def test_commands_of_blocks_that_do_not_run_are_commands(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "sh" and not block.runs:
            for command in block.commands:
                parse(command)


def test_blocks_and_their_comments_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "x\n\n<!-- not run: 4 GB -->\n```sh\ntv models pull \\\n    a | tv show -\n```\n\n"
        "<!-- file: a/b.csv -->\n```csv\na,b\n```\n<!-- a remark: x -->\n\n```sh\ntv paper\n```\n",
        encoding="utf-8",
    )
    first, second, third = blocks(page)
    assert (first.key, first.value, first.runs) == ("not run", "4 GB", False)
    assert [command.split() for command in first.commands] == [["tv", "models", "pull", "a"], ["tv", "show", "-"]]
    assert (second.key, second.value, second.text) == ("file", "a/b.csv", "a,b\n")
    assert (third.key, third.runs, third.text) == ("", True, "tv paper\n")
