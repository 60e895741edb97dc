"""llama.cpp's log in a file: what is logged, apart from details, as soon as it is logged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tvcli.engine.native import log, pinned


class Library:
    """Takes the log functions that a llama.cpp is given."""

    log: Callable[[int, bytes, object], None]

    @staticmethod
    def ggml_log_callback(function: Any) -> Any:
        return function

    def llama_log_set(self, function: Any, _: object) -> None:
        self.log = function

    mtmd_log_set = mtmd_helper_log_set = llama_log_set


def test_details_are_left_out_with_what_continues_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_files", [])
    monkeypatch.setattr(log, "_callbacks", [])
    library, path = Library(), tmp_path / "log"
    log.take_over(library)
    library.log(pinned.LOG_WARN, b"before\n", None)
    log.write_to(path)
    library.log(2, b"info", None)
    library.log(pinned.LOG_CONTINUED, b" more\xff\n", None)
    assert path.read_bytes() == b"info more\xff\n"
    library.log(pinned.LOG_DEBUG, b"detail", None)
    library.log(pinned.LOG_CONTINUED, b" more\n", None)
    library.log(pinned.LOG_ERROR, b"error\n", None)
    assert path.read_bytes() == b"info more\xff\nerror\n"
