"""How long things take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Work = Callable[[], object]


def timed(work: Work) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(*works: Work, rounds: int) -> list[float]:
    """Median seconds of each, run in turns after a first time, so that the machine's moods hit all alike."""
    for work in works:
        work()
    return [statistics.median(times) for times in zip(*([timed(w) for w in works] for _ in range(rounds)), strict=True)]
