"""A command of the user's choice that judges answers (the paper's judge for table 5 was GPT-4o).

It is started once and gets one JSON object per line, which it answers with one verdict per line, in any order:

    {"id": 7, "task": ..., "follow": "What is the green vegetable", "labels": ["broccoli"],
     "overridden": "What is on top of the meat?", "overridden_labels": ["sauce"],
     "input": ..., "image": "/path/to/image.jpg", "answer": "broccoli"}
    {"id": 7, "correct": true, "against": false}

``correct`` is whether the answer does what ``follow`` asks; ``against``, which may be left out, whether it does what
``overridden`` asks. A line must not wait for the next one: a judge that buffers its output never answers.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, Queue
from typing import IO

from tvcli.errors import TvError, UnavailableError, UsageError, reason
from tvcli.files import parse_json
from tvcli.schema import SchemaError, build, shown

PATIENCE = 300.0  # seconds for the next verdict; the first one may load a model
LEAVE = 5.0  # seconds to end in, after the last request
LONGEST = 1 << 20  # bytes of a line
Request = Mapping[str, object]


@dataclass(frozen=True)
class Verdict:
    """What the judge says of the request `id`."""

    id: int
    correct: bool
    against: bool | None = None


def arguments(command: str) -> list[str]:
    """The command's words, split as a shell does, but no shell runs.

    Raises:
        UsageError: no word, or a quote that is not closed.
        UnavailableError: there is no such program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"the judge {command!r} cannot be split into words: {str(error).lower()}") from error
    if not words:
        raise UsageError("the judge is empty; name a command")
    if shutil.which(words[0]) is None:
        raise UnavailableError(f"the judge {command!r} cannot be started: there is no program {words[0]!r}")
    return words


class JudgeCommand:
    """The running command; it is started with the first requests."""

    def __init__(self, command: str) -> None:
        self.command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: Queue[bytes] = Queue()  # an empty one is the end of its output
        self._said: deque[str] = deque(maxlen=1)  # the last line on its stderr
        self._threads: list[threading.Thread] = []
        self._asked = 0

    def verdicts(self, requests: Sequence[Request]) -> Iterator[tuple[int, Verdict]]:
        """The index of a request and its verdict, as they arrive.

        Raises:
            UnavailableError: the command cannot be started.
            TvError: it ends early, is silent for too long, or writes something else than one verdict per request.
        """
        process = self._process or self._start()
        first, self._asked = self._asked, self._asked + len(requests)
        text = "".join(json.dumps({"id": first + i, **one}) + "\n" for i, one in enumerate(requests))
        # a thread, since a judge may answer before it has read everything, and one that reads nothing must not block
        self._thread(_write, process.stdin, text.encode())
        missing = set(range(first, self._asked))
        while missing:
            verdict = self._next(len(requests) - len(missing), len(requests))
            if verdict.id not in missing:
                raise self._error(f"wrote a verdict with the id {verdict.id}, which was not asked or is judged already")
            missing.remove(verdict.id)
            yield verdict.id - first, verdict

    def finish(self) -> None:
        """No more requests. Raises TvError if it wrote more lines than it was asked for."""
        if self._process is None:
            return
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with suppress(Empty):
            while line := self._lines.get(timeout=LEAVE):
                if line.strip():
                    raise self._error(f"wrote more lines than it was asked for, such as {_quoted(line)}")

    def stop(self) -> None:
        """End the process, if it still runs."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(LEAVE)
        for stream in (self._process.stdout, self._process.stderr, self._process.stdin):
            with suppress(OSError):
                if stream is not None:
                    stream.close()

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}  # or a judge in Python would keep its lines back
        try:
            words = arguments(self.command)
            process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)  # noqa: S603
        except OSError as error:
            raise UnavailableError(f"the judge {self.command!r} cannot be started: {reason(error)}") from error
        self._process = process
        self._thread(self._read, process.stdout)
        self._thread(self._listen, process.stderr)
        return process

    def _thread(self, work: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)
        thread.start()
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]

    def _read(self, stream: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while line := stream.readline(LONGEST):
                self._lines.put(line)
        self._lines.put(b"")

    def _listen(self, stream: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while line := stream.readline(LONGEST):
                if text := line.decode("utf-8", "replace").strip():
                    self._said.append(text)

    def _next(self, found: int, wanted: int) -> Verdict:
        count = f"after {found} of {wanted} verdicts"
        try:
            line = self._lines.get(timeout=PATIENCE)
        except Empty:
            raise self._error(f"was silent for {PATIENCE:g} seconds {count}; it must write each line at once") from None
        if not line:
            raise self._error(f"ended {self._code()}{count}")
        try:
            return build(Verdict, parse_json(line), lenient=True)
        except (ValueError, SchemaError) as error:
            said = "" if isinstance(error, json.JSONDecodeError) else f": {error}"
            raise self._error(f"wrote {_quoted(line)}, which is no verdict{said}") from error

    def _code(self) -> str:
        """Its exit code, once its output has ended."""
        try:
            code = None if self._process is None else self._process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            return ""
        for thread in self._threads:
            thread.join(1)  # what it said last
        return f"with exit code {code} "

    def _error(self, what: str) -> TvError:
        said = f" ({self._said[-1]})" if self._said else ""
        return TvError(f"the judge {self.command!r} {what}{said}; what it judged is kept, and `resume` continues")


def _write(stream: IO[bytes], data: bytes) -> None:
    with suppress(OSError, ValueError):  # it ended: the reader finds out
        stream.write(data)
        stream.flush()


def _quoted(line: bytes) -> str:
    return shown(line.decode("utf-8", "replace").strip())


@contextmanager
def open_judge(command: str) -> Iterator[JudgeCommand | None]:
    """`None` for no command; the process ends with the block, even if that fails."""
    if not command:
        yield None
        return
    judge = JudgeCommand(command)
    try:
        yield judge
        judge.finish()
    finally:
        judge.stop()
