"""Data never stand behind a progress line."""

import io
import sys

import pytest

import tvcli.cli.output
import tvcli.models.opening


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_data_never_stand_behind_a_progress_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(tvcli.cli.output, "PROGRESS_AFTER", 0.0)
    monkeypatch.setattr(tvcli.cli.output, "REDRAW_AFTER", 0.0)
    out = tvcli.cli.output.Output()
    with out.meter(None, "done") as advance:
        advance(1)
        out.line("data")
        out.note("note")
    assert screen.getvalue() == "\r\x1b[Kdone 1 in 0 s\r\x1b[Kdata\nnote\n\r\x1b[K"
