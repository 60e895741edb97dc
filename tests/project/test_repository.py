"""What the repository and its packages say of themselves: links, licenses, versions, and the map for contributors."""

from __future__ import annotations

import re
import sys

import pytest
from conftest import ROOT

from tvcli.engine.native.pinned import PINNED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_the_readme_links_to_what_exists() -> None:
    """Addresses, and files of the repository, which are in the source distribution too."""
    prose = re.sub(r"^```.*?^```", "", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(\s*<?([^)\s>]+)", prose)
    links += re.findall(r"^\[[^\]]+\]:\s*(\S+)", prose, re.MULTILINE)
    links += re.findall(r"\b(?:href|src)\s*=\s*[\"']([^\"']+)", prose)
    assert "https://arxiv.org/abs/2410.22330" in links
    files = [link for link in links if not link.startswith("https://")]
    assert len(files) > 10
    assert not [link for link in files if not (ROOT / link).is_file()]


@pytest.mark.parametrize("pattern", PROJECT["license-files"])
def test_the_license_files_exist(pattern: str) -> None:
    assert [path for path in ROOT.glob(pattern) if path.is_file()]


def test_every_license_among_the_data_is_shipped() -> None:
    shipped = {path for pattern in PROJECT["license-files"] for path in ROOT.glob(pattern)}
    data = {path for folder in ("models", "tasks") for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert {path for path in data if re.match(r"(LICEN[CS]E|NOTICE|COPYING)", path.name, re.IGNORECASE)} <= shipped


def test_the_version_is_the_changelogs_newest() -> None:
    newest = re.search(r"^## \[(.+?)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["version"]
    assert re.fullmatch(r"unreleased|\d{4}-\d\d-\d\d", newest[2])


def test_the_pythons_that_are_named_are_those_that_ci_runs() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    listed = re.search(r"python-version: \[(.*)\]", workflow)
    assert listed is not None
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert named == re.findall(r"3\.\d+", listed[1])
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_every_room_of_the_tree_is_described() -> None:
    rooms = re.search(r"```text rooms\n(.*?)```", CONTRIBUTING, re.DOTALL)
    assert rooms is not None
    described = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", CONTRIBUTING, re.MULTILINE)
    assert re.findall(r"\w+", " ".join(described)) == rooms[1].split()


def test_every_path_that_contributors_are_sent_to_exists() -> None:
    folders = r"(?:tvcli|tests|benchmarks|models|tasks|\.ci|\.github)/"
    paths = re.findall(rf"(?:^|[\s`])({folders}[\w./-]*)", CONTRIBUTING, re.MULTILINE)
    paths = [path.rstrip(".") for path in paths if "NAME" not in path]
    assert len(paths) > 20
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_pinned_llama_cpp_python_is_named_alike_everywhere() -> None:
    pins = {
        path.name: set(re.findall(r"llama-cpp-python==([\w.]+)", path.read_text("utf-8")))
        for path in (ROOT / "pyproject.toml", ROOT / "docs/how-to/backends.md", ROOT / "benchmarks" / "README.md")
    }
    assert all(found == {PINNED.package_version} for found in pins.values()), pins
