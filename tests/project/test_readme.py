"""The README's commands run as they are written, and its Python too."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from tvcli.engine.native import pinned
from tvcli.models.catalog import catalog

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


def test_the_readme_fits_a_few_screens() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme_says_how_many_models_of_the_catalog_see() -> None:
    [said] = re.findall(r"lists (\d+) models that see", " ".join(README.split()))
    assert sum(entry.sees is True for entry in catalog().values()) == int(said)
