"""The site of docs/ builds without a network: no broken link or anchor, no page outside the navigation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from tvcli.errors import TvError
from tvcli.models.catalog import catalog


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder


def test_the_commands_are_the_programs(site: Path) -> None:
    page = (site / "reference" / "commands" / "index.html").read_text("utf-8")
    headings = re.findall(r'<h\d id="([^"]+)"', page)
    assert {"tv-apply", "tv-models-pull", "tv-tasks-import-vqav2"} <= set(headings)
    assert "--one-layer" in page


def test_the_models_are_the_catalogs(site: Path) -> None:
    page = (site / "reference" / "models" / "index.html").read_text("utf-8")
    assert re.findall(r"<tr>\s*<td>([^<]+)</td>", page) == list(catalog())


def test_the_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8"))
        assert not loaded, page


def test_every_exit_code_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "files.md").read_text("utf-8")
    kinds: list[type[TvError]] = [TvError, *subclasses(TvError)]
    codes = {0, 130, 143, *(kind.exit_code for kind in kinds)}
    assert codes <= set(map(int, re.findall(r"^\| (\d+) \|", page, re.MULTILINE)))


def subclasses(kind: type[TvError]) -> list[type[TvError]]:
    return [found for one in kind.__subclasses__() for found in (one, *subclasses(one))]
