"""Measure durations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Action = Callable[[], object]


def timed(action: Action) -> float:
    """The duration of `action` in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def interleaved(*actions: Action, rounds: int) -> list[float]:
    """The median seconds of each action. After a first run of each, they run in turns, so that changes of the machine's
    speed affect all of them."""
    for action in actions:
        action()
    return [
        statistics.median(times) for times in zip(*([timed(w) for w in actions] for _ in range(rounds)), strict=True)
    ]
