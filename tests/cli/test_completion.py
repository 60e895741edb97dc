"""Tab: typer's completion protocol in the three shells, and nothing heavy loaded for it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from tvcli.cli import main
from tvcli.cli.commands.completion import layers_of
from tvcli.inputs.tasks import task_folders
from tvcli.models.catalog import catalog
from tvcli.vector import TaskVector, save

HEAVY = {"numpy", "llama_cpp", "PIL", "huggingface_hub", "gguf", "httpx", "jinja2"}
Complete = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path, vector: TaskVector, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One vector at hand, another two folders down, and what is not to be offered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TV_MODEL", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    save(vector, "v.npy")
    Path("deep/er").mkdir(parents=True)
    Path("tv").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tvcli "$@"\n')
    Path("tv").chmod(0o755)
    for name in ("deep/er/x.npy", "deep/er/y.npy", ".hidden.npy", "notes.txt", "m.gguf"):
        Path(name).write_bytes(b"")
    return tmp_path


def protocol(line: str, shell: str) -> dict[str, str]:
    """What typer's scripts put into the environment when Tab is pressed at the end of a line."""
    return {
        "_TV_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }


@pytest.fixture
def complete(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complete:
    def offered(line: str, shell: str = "bash") -> list[str]:
        with monkeypatch.context() as patched:
            for name, value in protocol(line, shell).items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit, match="0"):
                main([])
        return capsys.readouterr().out.split()

    return offered


SUGGESTED = str(getattr(catalog()["picto"].layer, "suggested", None))
OFFERED = [
    ("tv ext", ["extract"]),
    ("tv apply ", ["deep/", "v.npy"]),
    ("tv apply d", ["deep/er/x.npy", "deep/er/y.npy"]),  # a lone folder would be closed by a space
    ("tv apply v.npy --layer ", ["all", "0", "1", "2", "3", "4", "5"]),
    ("tv apply v.npy -l 4", ["4"]),
    ("tv apply --layer ", [SUGGESTED]),  # the catalog's for the default model
    ("tv map --model picto --layer ", [SUGGESTED]),
    ("tv map --model fake --layer ", []),
    ("tv compare v.npy v.npy --layer 3", ["3"]),
    ("tv eval --model pic", ["picto", "picto-qwen2.5-coder-1.5b", "picto-tuned"]),
    ("tv prompt -m m.", ["m.gguf"]),
    ("tv report --llm smollm2-135", ["smollm2-135m"]),
    ("tv eval --task food-", ["food-color", "food-flavor"]),
    ("tv tasks show animal-y", ["animal-young"]),
    ("tv lens --vector v", ["v.npy"]),
    ("tv import m", ["m.gguf"]),
    ("tv eval --source i", ["image", "instruction"]),
    ("tv apply v.npy --image ", []),  # files, by the shell
]


@pytest.mark.parametrize(("line", "expected"), OFFERED)
def test_names_are_offered(complete: Complete, line: str, expected: list[str]) -> None:
    assert complete(line) == expected


def test_all_shipped_tasks_are_offered(complete: Complete) -> None:
    assert complete("tv eval --task ") == sorted(path.name for path in task_folders())


@pytest.mark.parametrize(
    ("shell", "expected"), [("bash", "0 1 2"), ("zsh", '_arguments \'*: :(("0" "1" "2"))\''), ("fish", "0 1 2")]
)
def test_each_shell_gets_its_own_form(complete: Complete, shell: str, expected: str) -> None:
    save(TaskVector(np.ones((3, 2), np.float32)), "three.npy")
    assert complete("tv compare three.npy --layer ", shell) == expected.split()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "line", ["tv apply v.npy --layer ", "tv eval --model ", "tv eval --task ", "tv apply --layer ", "tv "]
)
def test_nothing_heavy_is_loaded(line: str) -> None:
    code = "import atexit, sys; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules))); import tvcli.__main__"
    environment = {**os.environ, **protocol(line, "bash")}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout
    assert "tvcli.cli.commands.completion" in ran.stderr.split()
    assert not set(ran.stderr.split()) & HEAVY


IN_SHELL = {
    "bash": 'eval "$(_TV_COMPLETE=source_bash tv)"; COMP_WORDS=(tv apply v.npy --layer ""); COMP_CWORD=4; '
    '_tv_completion tv; printf "%s\\n" "${COMPREPLY[@]}"',
    "zsh": "compdef() {:}; _arguments() {print -r -- ${1#*: :}}; words=(tv apply v.npy --layer ''); CURRENT=5; "
    'eval "$(_TV_COMPLETE=source_zsh tv)"; _tv_completion',
    "fish": "_TV_COMPLETE=source_fish tv | source; complete -C 'tv apply v.npy --layer '",
}


@pytest.mark.parametrize("shell", IN_SHELL)
def test_the_shells_understand_the_script(shell: str, folder: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    command = [shell, *(["-f"] if shell == "zsh" else []), "-c", IN_SHELL[shell]]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    offered = ran.stdout.translate(str.maketrans("", "", '():"')).split()
    assert sorted(offered) == ["0", "1", "2", "3", "4", "5", "all"], ran.stderr


@pytest.mark.parametrize("name", ["a b.npy", "$x.npy", "a'b.npy"])
def test_names_that_need_quotes_are_left_to_the_shell(complete: Complete, name: str) -> None:
    Path(name).write_bytes(b"")
    assert complete("tv apply ") == []


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x01\x00\x02\x00{}", b"\x93NUMPY\x01\x00\x01\x00("]
)
def test_a_broken_vector_offers_no_layers(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "v.npy").write_bytes(data)
    assert layers_of(tmp_path / "v.npy") is None
    assert layers_of(tmp_path) is None
