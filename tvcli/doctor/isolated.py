"""Run work that may crash in a separate process."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Send = Callable[[Any], None]


class DiedError(Exception):
    """A process that ended before its work, by a `signal` or for the reason in the message."""

    def __init__(self, signal: int | None, reason: str) -> None:
        super().__init__(reason)
        self.signal = signal


def isolated(work: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """Yield what ``work(send, *arguments)`` sends; everything must be picklable.

    Raises:
        DiedError: the process ended early; the message is the last line that it wrote to standard error.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit what this process has loaded
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder, receiver:
        stderr = Path(folder) / "stderr"
        process = context.Process(target=_work, args=(sender, stderr, work, arguments), daemon=True)
        process.start()
        sender.close()
        try:
            while (item := _received(receiver)) is not None:
                yield item[0]
            process.join()
        finally:
            process.kill()
            process.join()
        if process.exitcode:
            raise DiedError(-process.exitcode if process.exitcode < 0 else None, _last_line(stderr))


def _work(sender: Connection, stderr: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ["GGML_NO_BACKTRACE"] = "1"  # ggml_abort would start a debugger
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
    work(lambda item: sender.send((item,)), *arguments)
    sender.close()


def _received(receiver: Connection) -> Any:
    """The next item in a tuple, or `None` at the end."""
    try:
        return receiver.recv()
    except (EOFError, OSError):
        return None


def _last_line(file: Path) -> str:
    lines = file.read_text("utf-8", "replace").strip().splitlines() if file.exists() else []
    return lines[-1] if lines else "it printed no error"
