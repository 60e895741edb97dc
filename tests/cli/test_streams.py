"""Standard streams that are closed, endless or a terminal, and what may reach a terminal."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_gguf
from conftest import ROOT, started

from tvcli.vector import Provenance, TaskVector, save

pytestmark = pytest.mark.timeout(60)  # seconds, after which an input counts as endless


# -- standard streams -----------------------------------------------------------------------------------------


def on_a_terminal(*arguments: object, **options: Any) -> tuple[int, str]:
    """Exit code and all that a terminal was given, with stdin, stdout and stderr being one."""
    ours, its = pty.openpty()
    with started(*arguments, stdin=its, stdout=its, stderr=its, **options) as process:
        os.close(its)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # Linux says so when the last one has gone
            pass
    os.close(ours)
    return process.returncode, shown.decode()


def through_a_shell(redirection: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = f'exec "$0" -m tvcli "$@" {redirection}'
    here = {"PYTHONPATH": str(ROOT), "TV_MODEL": "fake"}
    words = ["sh", "-c", command, sys.executable, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, env={**os.environ, **here}, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "arguments", [["show", "-"], ["prompt", "-i", "-"], ["prompt", "--queries", "-"], ["extract", "-e", "-", "-o", "v"]]
)
def test_a_closed_standard_input_is_said(arguments: list[str]) -> None:
    ran = through_a_shell("<&-", *arguments)
    assert (ran.returncode, ran.stderr) == (2, b"tv: standard input is closed\n")


def test_a_closed_standard_output_is_said_and_no_file_is_taken_for_it(tmp_path: Path) -> None:
    ran = through_a_shell(">&-", "prompt", "-t", "x")
    assert (ran.returncode, ran.stderr) == (1, b"tv: standard output is closed\n")
    path = tmp_path / "v.npy"
    assert through_a_shell(">&- 2>&-", "extract", "--instruction", "x", "-o", path).returncode == 0
    assert np.load(path).shape == (6, 16)
    assert through_a_shell("2>&-", "prompt", "-t", "x").stdout


def test_nobody_types_a_vector_and_no_terminal_is_given_one() -> None:
    code, shown = on_a_terminal("show", "-")
    assert (code, shown) == (2, "tv: standard input is a terminal; pipe a vector into it\r\n")
    code, shown = on_a_terminal("extract", "--instruction", "x", "-o", "-")
    assert (code, shown) == (
        2,
        "tv: a vector cannot be written to a terminal; name a file, or redirect standard output\r\n",
    )


def test_an_endless_standard_input_ends(tmp_path: Path) -> None:
    with Path("/dev/zero").open("rb") as zeros:
        for arguments, code in [(["show", "-"], 3), (["prompt", "-i", "-"], 3), (["prompt", "--queries", "-"], 2)]:
            with started(*arguments, stdin=zeros, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                assert process.stderr is not None
                [sentence] = process.stderr.read().splitlines()
            assert process.returncode == code
            assert b"larger than 128 MiB" in sentence or b"longer than 1 MiB" in sentence


# -- what reaches a terminal ----------------------------------------------------------------------------------


ESCAPES = "\x1b]0;pwned\x07\x1b[2J\x9b31m\r\x08\u202e\u2028\x7f"
DRAWN = re.compile(r"\r\x1b\[K[^\r\x1b]*|\x1b\[\d*(?:;\d+)*m")  # tv's own progress line, and a table's styles


def clean(shown: str) -> bool:
    """No control character but line ends, apart from tv's own drawing."""
    return (
        not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e\u2028]", DRAWN.sub("", shown)) and "pwned" in shown
    )


def hostile_files(folder: Path) -> None:
    task = {"description": ESCAPES, "instruction": f"{ESCAPES}:", "images": ESCAPES}
    (folder / ESCAPES).mkdir()
    (folder / ESCAPES / "task.toml").write_text("".join(f"{k} = {quoted(v)}\n" for k, v in task.items()))
    (folder / ESCAPES / "examples.jsonl").write_text(f'{{"input": {quoted(ESCAPES)}, "output": {quoted(ESCAPES)}}}\n')
    origin = Provenance(
        source=ESCAPES, template=ESCAPES, delimiter=ESCAPES, instruction=ESCAPES, layer_selection=ESCAPES
    )
    save(TaskVector(np.ones((6, 16), np.float32), origin), folder / "v.npy")
    (folder / "m.gguf").write_bytes(bytes(tiny_gguf.model().with_keys(general__type=(tiny_gguf.STRING, ESCAPES))))


def quoted(text: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" if not c.isalnum() else c for c in text) + '"'


@pytest.mark.parametrize(
    "arguments",
    [
        ["prompt", "-t", ESCAPES, "-t", "x", "-v"],
        ["prompt", "-t", ESCAPES, "--json"],
        ["prompt", "-i", f"{ESCAPES}.png"],
        ["prompt", "-t", "x", "-m", ESCAPES],
        ["prompt", "-t", "x", "-m", "m.gguf"],
        ["apply", "v.npy", "-t", "x", "-v"],
        ["show", "v.npy"],
        ["show", "v.npy", "--json"],
        ["tasks", "show", ESCAPES],
        ["tasks", "show", ESCAPES, "--json"],
        ["tasks", "check", ESCAPES],
        ["tasks", "check", f"no-{ESCAPES}"],
        ["eval", "-T", ESCAPES, "--csv", "--query", "text", "--method", "no context"],
        [ESCAPES],
        ["prompt", f"--{ESCAPES}"],
        ["extract", "-e", f"{ESCAPES}.txt", "-o", "v"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(ESCAPES, "ESC"),
)
@pytest.mark.parametrize("debug", ["", "1"])
def test_no_control_character_reaches_a_terminal(tmp_path: Path, arguments: list[str], debug: str) -> None:
    hostile_files(tmp_path)
    _, shown = on_a_terminal(*arguments, cwd=tmp_path, env={"TV_DEBUG": debug})
    assert clean(shown), repr(shown)


def test_what_llama_cpp_logs_of_a_file_cannot_drive_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(bytes(tiny_gguf.model().with_keys(general__name=(tiny_gguf.STRING, ESCAPES))))
    code, shown = on_a_terminal("prompt", "-t", "x", "-m", "m.gguf", "-n", 1, cwd=tmp_path, env={"TV_DEBUG": "1"})
    assert code == 0
    assert clean(shown), repr(shown)


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_access_token_is_never_shown(tmp_path: Path, debug: str) -> None:
    token = "hf_" + "aBcD0123" * 4
    hub = {
        "HF_TOKEN": token,
        "HF_HOME": str(tmp_path),
        "HF_ENDPOINT": f"http://user:{token}@127.0.0.1:9",
        "TV_DEBUG": debug,
    }
    for arguments in (["prompt", "-t", "x", "-m", "owner/repo"], ["prompt", "-i", f"{token}.png"], ["tasks", "pull"]):
        code, shown = on_a_terminal(*arguments, cwd=tmp_path, env={**hub, "TV_DEBUG": debug})
        assert code == 3
        assert "tv: " in shown
        assert "aBcD0123" not in shown
