"""Whole `tv` processes: interrupted by signals, cut off at a closed pipe, without a home, several at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import EVAL, Process, started

from tvcli.vector import TaskVector, load, save

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")


def start(*arguments: object, **options: Any) -> Process:
    """`tv`, with a pipe at each standard stream that `options` do not give."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return started(*arguments, **{**pipes, **options})


@pytest.fixture
def vector_file(vector: TaskVector, tmp_path: Path) -> Path:
    path = tmp_path / "vector.npy"
    save(vector.with_layer(2, "given"), path)
    return path


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_stream_keeps_its_answers(vector_file: Path, number: int, code: int) -> None:
    with start("apply", vector_file, "--queries", "-", "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Greece\n")
        process.stdin.flush()
        first = process.stdout.readline()
        process.send_signal(number)
        rest, complaint = process.communicate(timeout=20)
    assert process.returncode == code
    assert "answer" in json.loads(first)
    assert rest == b""
    assert b"Traceback" not in complaint


@posix
def test_terminate_is_heard_where_ctrl_c_is_ignored(vector_file: Path) -> None:
    """As in the background of a script."""
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    with start("apply", vector_file, "--queries", "-", preexec_fn=ignore) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Greece\n")
        process.stdin.flush()
        process.stdout.readline()
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 143


IN_A_CALLBACK = """
import ctypes, os, signal, sys
from tvcli.cli.signals import exit_code, handle_sigterm, own_process
from tvcli.engine.native.interrupts import deferred_interrupt

handle_sigterm()
own_process()
after = []

@ctypes.CFUNCTYPE(None)
def callback():
    os.kill(os.getpid(), int(sys.argv[1]))
    after.append("the callback went on")

try:
    with deferred_interrupt():
        callback()
        after.append("so did the call")
    after.append("nothing was raised")
except KeyboardInterrupt:
    print(*after, sep=", ")
    sys.exit(exit_code())
"""


@posix
@pytest.mark.parametrize(
    ("number", "ignored", "code"),
    [(signal.SIGINT, False, 130), (signal.SIGTERM, False, 143), (signal.SIGTERM, True, 143)],
    ids=["Ctrl-C", "terminate", "terminate in the background"],
)
def test_a_signal_in_a_callback_of_native_code_is_raised_behind_the_call(number: int, ignored: bool, code: int) -> None:
    """Python discards what is raised in a ctypes callback, where most of a decode's signals are heard."""
    ignore = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)  # noqa: E731
    command = [sys.executable, "-c", IN_A_CALLBACK, str(int(number))]
    ran = subprocess.run(command, preexec_fn=ignore, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (code, "the callback went on, so did the call\n", "")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_evaluation_keeps_its_samples(tmp_path: Path, number: int) -> None:
    path = tmp_path / "answers.jsonl"
    everything = [*EVAL[:-5], "--json", "--samples", path, "--resume"]
    with start(*everything) as process:
        while not (path.exists() and path.stat().st_size > 1000):
            assert process.poll() is None, process.communicate()
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode in (0, 128 + number)
    kept = path.read_bytes().splitlines()
    assert len(kept) > 1
    assert all(json.loads(line) for line in kept)


COMMANDS = [
    ["extract", "--instruction", "The capital city:", "-o", "-"],
    ["apply", "{vector}", "-t", "Greece"],
    ["prompt", "-t", "Greece"],
    ["show", "{vector}"],
    ["combine", "{vector}", "-o", "-"],
    ["export", "{vector}", "--control-vector", "-"],
    EVAL,
    ["lens", "-t", "Greece"],
    ["compare", "{vector}", "{vector}"],
    ["tasks", "list"],
    ["models", "list"],
    ["doctor"],
    ["--help"],
]


@posix
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_closed_pipe_ends_every_command_quietly(command: list[str], vector_file: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with start(*(a.format(vector=vector_file) for a in command), stdout=writer) as process:
        os.close(writer)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    assert b"Traceback" not in complaint
    assert b"Broken" not in complaint


@posix
@pytest.mark.parametrize("home", [None, "/proc/nowhere", "/dev/null"])
def test_no_home_is_needed(vector_file: Path, home: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", *(name for name in os.environ if name.startswith("XDG"))):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    for command in (["apply", vector_file, "-t", "Greece"], ["models", "list"]):
        with start(*command) as process:
            _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint


@posix
def test_two_writers_leave_one_whole_file(pairs_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "vector.npy"
    writers = [start("extract", "-e", pairs_file, "--seed", seed, "-o", path) for seed in (1, 2, 3, 4)]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    assert load(path).provenance.seed in (1, 2, 3, 4)
    assert {p.name for p in tmp_path.iterdir()} == {"vector.npy", pairs_file.name}


@posix
def test_two_runs_cannot_write_the_same_results(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    runs = [start(*EVAL, "--samples", path, "--resume") for _ in range(3)]
    codes = []
    for run in runs:
        _, complaint = run.communicate(timeout=60)
        codes.append(run.returncode)
        assert run.returncode in (0, 2)
        assert (b"another run is writing" in complaint) == (run.returncode == 2)
    assert 0 in codes
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    keys = [json.dumps(line, sort_keys=True) for line in lines]
    assert len(keys) == len(set(keys))
