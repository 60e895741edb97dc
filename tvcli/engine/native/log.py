"""llama.cpp's log: recent errors are kept for error messages, and the owner of the process or a file may get all."""

from __future__ import annotations

import collections
import os
from pathlib import Path
from typing import Any

from tvcli.engine.native import pinned
from tvcli.engine.native.process import owner

_recent: collections.deque[str] = collections.deque(maxlen=20)
_callbacks: list[Any] = []  # callbacks, as long as the process lives
_files: list[int] = []  # descriptors


def take_over(library: Any) -> None:
    """Set tv's own log function in llama.cpp and mtmd; by default they write to standard error."""

    is_detail = False

    def log(level: int, text: bytes, user_data: object) -> None:
        nonlocal is_detail
        is_detail = is_detail if level == pinned.LOG_CONTINUED else level == pinned.LOG_DEBUG
        line, listener = text.decode("utf-8", "replace"), owner()
        if listener is not None and listener.log is not None:
            listener.log(line)
        for number in _files if not is_detail else ():
            os.write(number, text)
        if level in (pinned.LOG_WARN, pinned.LOG_ERROR) and line.strip():
            _recent.append(line.strip())

    _callbacks.append(library.ggml_log_callback(log))
    for set_log in (library.llama_log_set, library.mtmd_log_set, library.mtmd_helper_log_set):
        set_log(_callbacks[-1], None)


def write_to(path: Path) -> None:
    """Append what is logged from now on, apart from details, to a file: it is there even if the process crashes."""
    _files.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))


def forget_errors() -> None:
    """Call this before a call that may fail: earlier messages do not explain its failure."""
    _recent.clear()


def last_error() -> str:
    """llama.cpp's first warning or error since `forget_errors`, without its source location."""
    words = [line.split("\n")[0].split(": ", 1)[-1] for line in _recent]
    return words[0] if words else "llama.cpp gave no reason"
