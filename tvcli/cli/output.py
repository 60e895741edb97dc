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
from tvcli.progress import Advance, counted

T = TypeVar("T")
PROGRESS_AFTER = 1.0  # seconds; faster work needs no progress line
REDRAW_AFTER = 0.1  # seconds
LONGEST = 1000  # characters of an error
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # environment variables
# parameters in messages of the library, as a Python caller names them
PARAMETERS = (
    "captions",
    "context",
    "gpu_layers",
    "judge",
    "layer",
    "llm",
    "method",
    "mmproj",
    "model",
    "name",
    "null",
    "override",
    "quant",
    "resume",
    "rpc",
    "shots",
    "source",
    "task",
    "test",
    "validation",
    "vision_from",
)
PARAMETER = re.compile(f"`({'|'.join(PARAMETERS)})`")
# control characters (C0, DEL, C1), line and paragraph separators, bidirectional embeddings, overrides and isolates, and
# surrogates; everything else is text, including characters that this version of Python does not know
HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
TOKEN, SHORTEST_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}"), 8


class Output:
    """The output of a command. `quiet` drops notes, `verbose` adds details; neither changes data."""

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = False
        self._loading_since: float | None = None
        self._drawn = False  # a progress line is on the terminal

    # -- stdout -------------------------------------------------------------------------------------------

    def line(self, *columns: str) -> None:
        """One line of tab-separated data, flushed."""
        self._put("\t".join(visible(column) for column in columns))

    def record(self, record: dict[str, Any]) -> None:
        """One line of JSON. Raises TvError for NaN and infinity, which JSON cannot represent."""
        try:
            text = json.dumps(record, ensure_ascii=not _is_utf8(_stdout().encoding), allow_nan=False)
        except ValueError as error:
            raise TvError("the result contains NaN or infinity, which JSON cannot represent") from error
        self._put(_visible_json(text))

    def text(self, text: str) -> None:
        """A whole file, in UTF-8. On a terminal, control characters are escaped."""
        if self.is_terminal():
            text = "\n".join(map(visible, text.split("\n")))
        with _open_pipe():
            _stdout().buffer.write(text.encode("utf-8"))
            _stdout().buffer.flush()

    def binary(self, data: bytes) -> None:
        """Binary data. Raises UsageError if it would go to a terminal."""
        if self.is_terminal():
            raise UsageError("a vector cannot be written to a terminal; name a file, or redirect standard output")
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
        """What was done; silent with --quiet."""
        if not self.quiet:
            self._say(_with_options(text))

    def detail(self, text: str) -> None:
        """What was read or patched; with --verbose only."""
        if self.verbose:
            self._say(text)

    def warn(self, text: str) -> None:
        self._say(f"warning: {_shortened(_with_options(text))}")

    def error(self, text: str) -> None:
        self._say(f"tv: {_shortened(_with_options(text))}")

    def trace(self, error: BaseException) -> None:
        """The traceback of an error, for debugging."""
        import traceback

        self._say("".join(traceback.format_exception(error)).rstrip("\n"))

    def log(self, text: str) -> None:
        """A library's log, which arrives in parts of lines."""
        if sys.stderr is not None:
            sys.stderr.write(_for_terminal(text))

    def _draw(self, text: str) -> None:
        """Replace the current terminal line."""
        self._drawn = bool(text)
        sys.stderr.write(f"\r\x1b[K{visible(text)}")
        sys.stderr.flush()

    def _clear(self) -> None:
        """Remove the progress line before other output."""
        if self._drawn:
            self._draw("")

    def _say(self, text: str) -> None:
        if sys.stderr is None:  # closed by the parent process
            return
        self._clear()
        sys.stderr.write(_for_terminal(text) + "\n")
        sys.stderr.flush()

    @contextmanager
    def meter(self, total: int | None, what: str, *, in_bytes: bool = False) -> Iterator[Advance]:
        """A `progress.Meter` that shows steps and the time left, only if stderr is a terminal."""
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
        """Yield `items`, with a meter."""
        with self.meter(total, what) as advance:
            yield from counted(items, advance)

    def comma_separated(self, header: Sequence[str] | None, rows: Iterable[Sequence[str]]) -> None:
        """CSV, quoted where necessary."""
        buffer = io.StringIO()
        shown = ([visible(cell) for cell in row] for row in ([header, *rows] if header else rows))
        csv.writer(buffer, lineterminator="\n").writerows(shown)
        for line in buffer.getvalue().splitlines():
            self._put(line)

    def loading(self, fraction: float) -> None:
        """Show how much of a model is loaded, only if stderr is a terminal; at 1 the line is removed."""
        if fraction == 0 or self._loading_since is None:
            self._loading_since = time.monotonic()
        if _is_terminal(sys.stderr) and not self.quiet and time.monotonic() - self._loading_since > PROGRESS_AFTER:
            self._draw("" if fraction >= 1 else f"loading the model {fraction:.0%}")

    def is_terminal(self) -> bool:
        """Whether stdout is a terminal."""
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
    """Give standard streams that were closed to /dev/null, or a file opened next would get their descriptor."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def _for_terminal(text: str) -> str:
    """Text for stderr: without control characters and access tokens."""
    for secret in filter(None, map(os.environ.get, TOKENS)):
        if len(secret) >= SHORTEST_TOKEN:
            text = text.replace(secret, "hf_…")
    return "\n".join(visible(line) for line in TOKEN.sub("hf_…", text).split("\n"))


def _with_options(text: str) -> str:
    """A message of the library, with its parameters as the command line's options: ``gpu_layers`` as --gpu-layers."""
    return PARAMETER.sub(lambda found: f"--{found[1].replace('_', '-')}", text)


def _shortened(text: str) -> str:
    """A message of readable length, whatever name or number it quotes."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"


def _visible_json(text: str) -> str:
    """The same JSON, with all that `visible` would escape as JSON's own escapes; it occurs only in strings."""
    return HARMFUL.sub(lambda found: json.dumps(found[0])[1:-1], text)


def visible(text: str) -> str:
    """`HARMFUL` as escapes, so that no model output or file name can control a terminal or break a line."""
    return HARMFUL.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or character.encode("unicode_escape").decode()


def _is_utf8(encoding: str | None) -> bool:
    return (encoding or "").lower().replace("-", "") == "utf8"


@contextmanager
def _open_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        # Python flushes stdout once more at exit; discard that
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
    """Let `out` print what tv's modules log; otherwise Python's logging defaults apply."""
    logger = logging.getLogger("tvcli")
    logger.handlers, logger.propagate = [_Handler()], False
    logger.setLevel(logging.DEBUG)
