"""How long things take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Action = Callable[[], object]


def timed(action: Action) -> float:
    """Seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def interleaved(*actions: Action, rounds: int) -> list[float]:
    """Median seconds of each, run in turns after a first time, so that the machine's moods hit all alike."""
    for action in actions:
        action()
    return [
        statistics.median(times) for times in zip(*([timed(w) for w in actions] for _ in range(rounds)), strict=True)
    ]
