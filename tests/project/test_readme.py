"""The README's commands run as they are written, and its Python too."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from tvcli.engine.native import pinned

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

README = (ROOT / "README.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path, **more: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **more}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme")
    (path / "tests").symlink_to(ROOT / "tests")
    (path / "tasks").symlink_to(ROOT / "tasks")
    return path


@pytest.mark.model
@pytest.mark.parametrize("kind", ["sh setup", "sh prebuilt"])
def test_the_set_up_commands_end_with_the_flag_answered(kind: str, folder: Path) -> None:
    [block] = blocks(kind)
    steps = [step for step in block.split(" && ") if not step.startswith("pip install")]
    assert len(steps) == 2
    assert run(["bash", "-euc", " && ".join(steps)], folder).strip() == "Paris"


def test_without_a_compiler_the_same_is_installed_but_for_llama_cpp() -> None:
    listed = (ROOT / "requirements-prebuilt.txt").read_text("utf-8").splitlines()
    listed = [line for line in listed if line and not line.startswith("#")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    compiled = [f"{pinned.PINNED.package}=={pinned.PINNED.package_version}"]
    prebuilt = [f"{pinned.PREBUILT.package}=={pinned.PREBUILT.package_version}"]
    wanted = set(project["dependencies"]) | set(project["optional-dependencies"]["demo"])
    assert wanted - set(listed) == set(compiled)
    assert set(listed) - wanted == set(prebuilt)


@pytest.mark.model
def test_the_tour_runs(folder: Path) -> None:
    for block in blocks("sh"):
        assert run(["bash", "-euo", "pipefail", "-c", block], folder)


@pytest.mark.model
def test_the_python_example_runs(folder: Path) -> None:
    [block] = blocks("python")
    assert run([sys.executable, "-c", block], folder).startswith("Paris")


RECIPES = re.findall(r"^```(\w+) recipe\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
FLAGS = len(list((ROOT / "tests" / "data" / "flags").glob("*.png")))
ANSWERS = [FLAGS, 1, FLAGS, FLAGS, 2]  # lines that each recipe prints, or writes into answers.jsonl


@pytest.mark.parametrize(("recipe", "answers"), list(zip(RECIPES, ANSWERS, strict=True)))
def test_a_recipe_runs(recipe: tuple[str, str], answers: int, tmp_path: Path) -> None:
    """On the fake model, beside the vector that the tour makes."""
    kind, text = recipe
    for tool in ("jq", "make"):
        if tool in f"{kind} {text}".split() and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    extract = ["tv", "extract", "-q", "--examples", "tests/data/capitals.txt", "-o", "capital.npy"]
    run(extract, tmp_path, TV_MODEL="fake")
    (tmp_path / "Makefile").write_text(text, encoding="utf-8")
    commands = {
        "sh": ["bash", "-euo", "pipefail", "-c", text],
        "make": ["make"],
        "python": [sys.executable, "-c", text],
    }
    printed = run(commands[kind], tmp_path, TV_MODEL="fake")
    written = tmp_path / "answers.jsonl"
    if written.exists():
        assert len({json.loads(line)["input"] for line in written.read_text("utf-8").splitlines()}) == answers
    else:
        assert len(printed.splitlines()) == answers


def test_every_exit_code_is_in_the_readme() -> None:
    for code in (0, 1, 2, 3, 4, 130):
        assert re.search(rf"^\| {code} \|", README, re.MULTILINE)
