"""Seconds of work, and works that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pytest

from tvcli.timing import interleaved, timed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still but for what it is told."""
    now = [100.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return advance


def test_work_is_timed_in_seconds(clock: Callable[[float], None]) -> None:
    assert timed(lambda: clock(0.25)) == 0.25


def test_works_take_turns_after_a_first_time_that_is_not_counted(clock: Callable[[float], None]) -> None:
    calls: list[str] = []

    def work(name: str, seconds: Iterable[float]) -> Callable[[], None]:
        left = iter(seconds)

        def run() -> None:
            calls.append(name)
            clock(next(left))

        return run

    assert interleaved(work("a", [64, 1, 8, 2]), work("b", [128, 16, 4, 32]), rounds=3) == [2, 16]
    assert "".join(calls) == "ab" * 4
