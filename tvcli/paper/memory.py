"""The peak memory of another process."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from tvcli.errors import TvError

# On Linux a process's peak includes the memory of its parent when it was started. This parent needs little memory.
PARENT = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; see getrusage(2) of each system


_measure: ContextVar[Callable[[Sequence[str]], float] | None] = ContextVar("measure", default=None)


@contextmanager
def measured_by(measure: Callable[[Sequence[str]], float]) -> Iterator[None]:
    """`peak_megabytes` is `measure` in this block: a plan starts no processes."""
    token = _measure.set(measure)
    try:
        yield
    finally:
        _measure.reset(token)


def peak_megabytes(command: Sequence[str]) -> float:
    """Peak resident memory of a process, in MB (1e6 bytes); NaN if the system does not report it.

    Raises:
        TvError: the process failed; the message ends with its last line on standard error.
    """
    if importlib.util.find_spec("resource") is None:  # Windows
        return float("nan")
    if (instead := _measure.get()) is not None:
        return instead(command)
    started = [sys.executable, "-I", "-c", PARENT, *command]
    ran = subprocess.run(started, capture_output=True, check=True, encoding="utf-8", errors="replace")  # noqa: S603
    code, peak = map(int, ran.stdout.split())
    if code:
        raise TvError(f"the memory of another process cannot be measured: it {_end(code)}: {_last_line(ran.stderr)}")
    return peak * UNIT / 1e6


def _end(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"


def _last_line(text: str) -> str:
    """The last line, without the prefix ``tv:``, which `main` adds to the whole message."""
    lines = text.strip().splitlines()
    return lines[-1].removeprefix("tv: ") if lines else "it printed no error"
