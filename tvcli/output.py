"""The only writer of stdout and stderr: data to stdout, everything else to stderr.

Answers are written raw, never parsed as markup, with control characters made visible, and flushed line by
line. A reader that closes the pipe (``tv apply ... | head -1``) ends the program quietly, with exit code 0.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tvcli.errors import TvError, reason

T = TypeVar("T")
PROGRESS_AFTER = 1.0  # seconds; what is quicker needs no progress line


class Output:
    """What a command says. `quiet` drops notes, `verbose` adds details; neither touches data."""

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = False

    # -- stdout -------------------------------------------------------------------------------------------

    def line(self, *columns: str) -> None:
        """One line of tab-separated data, flushed."""
        self._put("\t".join(visible(column) for column in columns))

    def record(self, record: dict[str, Any]) -> None:
        """One line of JSON."""
        text = json.dumps(record, ensure_ascii=not _is_utf8(sys.stdout.encoding))
        self._put(text)

    def binary(self, data: bytes) -> None:
        with _open_pipe():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def _put(self, line: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        with _open_pipe():
            sys.stdout.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            sys.stdout.flush()

    # -- stderr -------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """What was done, for people; silent with --quiet."""
        if not self.quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        """What was touched; with --verbose only."""
        if self.verbose:
            self._say(text)

    def warn(self, text: str) -> None:
        self._say(f"warning: {text}")

    def error(self, text: str) -> None:
        self._say(f"tv: {text}")

    def _say(self, text: str) -> None:
        sys.stderr.write("\n".join(visible(line) for line in text.split("\n")) + "\n")
        sys.stderr.flush()

    def progress(self, items: Iterable[T], total: int | None, what: str) -> Iterator[T]:
        """Pass `items` on, with a line of progress and time left on stderr if that is a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield from items
            return
        started = time.monotonic()
        try:
            for done, item in enumerate(items):
                _draw(_progress_line(what, done, total, time.monotonic() - started))
                yield item
        finally:
            _draw("")


def _progress_line(what: str, done: int, total: int | None, elapsed: float) -> str:
    if elapsed < PROGRESS_AFTER:
        return ""
    if total is None or not done:
        return f"{what} {done}"
    left = elapsed / done * (total - done)
    return f"{what} {done}/{total}, {left:.0f} s left"


def _draw(text: str) -> None:
    """Replace the current terminal line."""
    sys.stderr.write(f"\r\x1b[K{visible(text)}")
    sys.stderr.flush()


def visible(text: str) -> str:
    """Control characters as escapes, so that no model output or file name can drive a terminal or break a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\u200d\ufe0f" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or character.encode("unicode_escape").decode()


def _is_utf8(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "") == "utf8"


@contextmanager
def _open_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Python flushes stdout once more at exit; let that go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        raise TvError(f"standard output cannot be written: {reason(error)}") from error


out = Output()
