"""The only writer of stdout and stderr: data to stdout, everything else to stderr, what the library logs included.

Answers are written raw, never parsed as markup, with control characters made visible, and flushed line by
line. A reader that closes the pipe (``tv apply ... | head -1``) ends the program quietly, with exit code 0.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from tvcli.errors import TvError, UsageError, reason
from tvcli.files import byte_size
from tvcli.progress import Advance

T = TypeVar("T")
PROGRESS_AFTER = 1.0  # seconds; what is quicker needs no progress line
REDRAW_AFTER = 0.1  # seconds
LONGEST = 1000  # characters of an error
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # environment variables
# in messages of the library: how a Python caller names what can be changed
PARAMETERS = ("context", "layer", "llm", "method", "mmproj", "model", "name", "null", "resume", "rpc", "shots")
PARAMETER = re.compile(f"`({'|'.join(PARAMETERS)})`")
TOKEN, SHORTEST_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}"), 8


class Output:
    """What a command says. `quiet` drops notes, `verbose` adds details; neither touches data."""

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = False
        self._loading_since: float | None = None
        self._drawn = False  # a progress line stands on the terminal

    # -- stdout -------------------------------------------------------------------------------------------

    def line(self, *columns: str) -> None:
        """One line of tab-separated data, flushed."""
        self._put("\t".join(visible(column) for column in columns))

    def record(self, record: dict[str, Any]) -> None:
        """One line of JSON."""
        text = json.dumps(record, ensure_ascii=not _is_utf8(_stdout().encoding))
        self._put(_visible_json(text))

    def binary(self, data: bytes) -> None:
        """Bytes, which are not for people. Raises UsageError if they would go to a terminal."""
        if self.is_terminal():
            raise UsageError("a terminal cannot show a vector; name a file, or send standard output into one")
        with _open_pipe():
            _stdout().buffer.write(data)
            _stdout().buffer.flush()

    def _put(self, line: str) -> None:
        encoding = _stdout().encoding or "utf-8"
        self._clear()
        with _open_pipe():
            sys.stdout.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            sys.stdout.flush()

    # -- stderr -------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """What was done, for people; silent with --quiet."""
        if not self.quiet:
            self._say(_with_options(text))

    def detail(self, text: str) -> None:
        """What was touched; with --verbose only."""
        if self.verbose:
            self._say(text)

    def warn(self, text: str) -> None:
        self._say(f"warning: {_shortened(_with_options(text))}")

    def error(self, text: str) -> None:
        self._say(f"tv: {_shortened(_with_options(text))}")

    def trace(self, error: BaseException) -> None:
        """Where an error comes from, for those who mend it."""
        import traceback

        self._say("".join(traceback.format_exception(error)).rstrip("\n"))

    def log(self, text: str) -> None:
        """A library's log, which comes in pieces of lines."""
        if sys.stderr is not None:
            sys.stderr.write(_for_terminal(text))

    def _draw(self, text: str) -> None:
        """Replace the current terminal line."""
        self._drawn = bool(text)
        sys.stderr.write(f"\r\x1b[K{visible(text)}")
        sys.stderr.flush()

    def _clear(self) -> None:
        """Nothing is written behind a progress line."""
        if self._drawn:
            self._draw("")

    def _say(self, text: str) -> None:
        if sys.stderr is None:  # closed by who started tv
            return
        self._clear()
        sys.stderr.write(_for_terminal(text) + "\n")
        sys.stderr.flush()

    @contextmanager
    def meter(self, total: int | None, what: str, *, in_bytes: bool = False) -> Iterator[Advance]:
        """A `progress.Meter` that shows steps and the time left, on a terminal's stderr only."""
        amount = byte_size if in_bytes else str
        started = drawn = time.monotonic()
        done = 0
        shown = _is_terminal(sys.stderr) and not self.quiet

        def advance(steps: int) -> None:
            nonlocal done, drawn
            done += steps
            now = time.monotonic()
            if shown and now - drawn > REDRAW_AFTER:
                drawn = now
                self._draw(_progress_line(what, done, total, now - started, amount))

        try:
            yield advance
        finally:
            if shown:
                self._draw("")

    def progress(self, items: Iterable[T], total: int | None, what: str) -> Iterator[T]:
        """Pass `items` on, metered."""
        with self.meter(total, what) as advance:
            for item in items:
                yield item
                advance(1)

    def comma_separated(self, header: Sequence[str] | None, rows: Iterable[Sequence[str]]) -> None:
        """CSV, quoted where it must be."""
        buffer = io.StringIO()
        shown = ([visible(cell) for cell in row] for row in ([header, *rows] if header else rows))
        csv.writer(buffer, lineterminator="\n").writerows(shown)
        for line in buffer.getvalue().splitlines():
            self._put(line)

    def loading(self, fraction: float) -> None:
        """Show how much of a model is loaded, on a terminal's stderr only; at 1 the line goes away."""
        if fraction == 0 or self._loading_since is None:
            self._loading_since = time.monotonic()
        if _is_terminal(sys.stderr) and not self.quiet and time.monotonic() - self._loading_since > PROGRESS_AFTER:
            self._draw("" if fraction >= 1 else f"loading the model {fraction:.0%}")

    def is_terminal(self) -> bool:
        """Whether people look at stdout, and not a program."""
        return _is_terminal(sys.stdout)

    def table(self, title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table on a terminal; tab-separated lines, the header first, into a pipe."""
        if not self.is_terminal():
            if title:
                self.note(title)
            for row in (header, *rows):
                self.line(*row)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(title=title or None, title_justify="left")
        for i, name in enumerate(header):
            drawn.add_column(Text(visible(name)), justify="left" if i == 0 else "right")
        for row in rows:
            drawn.add_row(*(Text(visible(cell)) for cell in row))
        Console().print(drawn)


def _progress_line(what: str, done: int, total: int | None, elapsed: float, amount: Callable[[int], str]) -> str:
    if elapsed < PROGRESS_AFTER:
        return ""
    if total is None or not done:
        return f"{what} {amount(done)} in {elapsed:.0f} s"
    left = elapsed / done * (total - done)
    return f"{what} {amount(done)}/{amount(total)}, {left:.0f} s left"


def _stdout() -> TextIO:
    """Raises TvError if it was closed (``tv ... >&-``)."""
    if sys.stdout is None:
        raise TvError("standard output is closed")
    return sys.stdout


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def hold_descriptors() -> None:
    """Give standard streams that were closed to /dev/null, or the next file opened would be taken for one of them."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def _for_terminal(text: str) -> str:
    """What stderr may show: lines without control characters, and no access tokens."""
    for secret in filter(None, map(os.environ.get, TOKENS)):
        if len(secret) >= SHORTEST_TOKEN:
            text = text.replace(secret, "hf_…")
    return "\n".join(visible(line) for line in TOKEN.sub("hf_…", text).split("\n"))


def _with_options(text: str) -> str:
    """A message of the library, with its parameters as the command line's options: ``gpu_layers`` as --gpu-layers."""
    return PARAMETER.sub(lambda found: f"--{found[1].replace('_', '-')}", text)


def _shortened(text: str) -> str:
    """A sentence that somebody reads, whatever name or number it quotes."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _visible_json(text: str) -> str:
    """The same JSON, with all that `visible` would escape as JSON's own escapes; it stands in strings only."""
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else json.dumps(c)[1:-1] for c in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in "\u200d\ufe0f"


def visible(text: str) -> str:
    """Control characters as escapes, so that no model output or file name can drive a terminal or break a line."""
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else _escape(c) for c in text)


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


class _Handler(logging.Handler):
    """What tv's modules log, as a warning, a note or a detail."""

    def emit(self, record: logging.LogRecord) -> None:
        say = (
            out.warn
            if record.levelno >= logging.WARNING
            else out.note
            if record.levelno >= logging.INFO
            else out.detail
        )
        say(record.getMessage())


def attach_log_handler() -> None:
    """From here on `out` says what tv's modules log; without this, Python's own rules hold."""
    logger = logging.getLogger("tvcli")
    logger.handlers, logger.propagate = [_Handler()], False
    logger.setLevel(logging.DEBUG)
