"""What ends the process: SIGTERM, like Ctrl-C (answers are kept, half-written files removed), and native crashes."""

from __future__ import annotations

import os
import signal
from types import FrameType

from tvcli.cli.output import out
from tvcli.engine.native.process import Owner, own

CTRL_C = 128 + signal.SIGINT  # the exit code of an interrupted command, by shell convention

_terminated: list[int] = []


def handle_sigterm() -> None:
    """Treat SIGTERM as Ctrl-C, which native calls and half-written files handle."""
    signal.signal(signal.SIGTERM, _terminate)


def own_process() -> None:
    """This process is the ``tv`` command: when native code crashes, it ends with a sentence and an exit code."""
    own(Owner(out.error, out.log if os.environ.get("TV_DEBUG") == "1" else None))


def _terminate(number: int, _: FrameType | None) -> None:
    _terminated.append(number)
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):  # a job in the background of a script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def exit_code() -> int:
    """The exit code of an interrupted command: 143 after SIGTERM, 130 after Ctrl-C."""
    return 128 + signal.SIGTERM if _terminated else CTRL_C
