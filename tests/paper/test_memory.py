"""The memory of a process of its own, and why there is no figure."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys

import numpy as np
import pytest

from tvcli.errors import TvError
from tvcli.paper import memory as peak
from tvcli.paper.memory import peak_megabytes

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
HOLDS_300_MB = "held = bytearray(b'x') * 300_000_000"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@posix
def test_memory_is_in_millions_of_bytes_and_the_childs_own() -> None:
    held = np.ones(600_000_000, np.uint8)
    assert 300 < peak_megabytes(python(HOLDS_300_MB)) < 350
    assert peak_megabytes(python("")) < 50 < held.nbytes / 1e6


@posix
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import sys; sys.exit('first\\ntv: no such file')", "failed with exit code 1: no such file"),
        ("raise SystemExit(3)", "failed with exit code 3: it printed no error"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by SIGKILL: it printed no error"),
    ],
)
def test_the_memory_of_a_process_that_failed_is_an_error(code: str, sentence: str) -> None:
    with pytest.raises(TvError, match=sentence):
        peak_megabytes(python(code))


def test_where_the_system_does_not_tell_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert math.isnan(peak_megabytes(python("")))


# -- in this process ------------------------------------------------------------------------------------------


class Ran:
    """Stands for `subprocess.run`."""

    def __init__(self, stdout: str, stderr: str = "") -> None:
        self.stdout, self.stderr = stdout, stderr
        self.calls: list[tuple[object, dict[str, object]]] = []

    def __call__(self, command: object, **options: object) -> Ran:
        self.calls.append((command, options))
        return self


def test_memory_is_measured_by_a_parent_that_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Ran("0 3000\n")
    monkeypatch.setattr(subprocess, "run", ran)
    assert peak.peak_megabytes(["tv", "x"]) == 3000 * peak.UNIT / 1e6
    options = {"capture_output": True, "check": True, "encoding": "utf-8", "errors": "replace"}
    assert ran.calls == [([sys.executable, "-I", "-c", peak.PARENT, "tv", "x"], options)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("code", "said", "sentence"),
    [
        (1, "first\ntv: no such file\n", "failed with exit code 1: no such file"),
        (3, "", "failed with exit code 3: it printed no error"),
        (-9, "\n \n", "was killed by SIGKILL: it printed no error"),
        (-11, "words: tv: x\n\n", "was killed by SIGSEGV: words: tv: x"),
    ],
)
def test_a_process_that_failed_says_why(monkeypatch: pytest.MonkeyPatch, code: int, said: str, sentence: str) -> None:
    monkeypatch.setattr(subprocess, "run", Ran(f"{code} 3000", said))
    with pytest.raises(TvError) as caught:
        peak.peak_megabytes(["x"])
    assert str(caught.value) == f"the memory of another process cannot be measured: it {sentence}"


def test_a_system_without_that_count_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", {"resource": None}.__getitem__)
    assert math.isnan(peak.peak_megabytes(["x"]))
