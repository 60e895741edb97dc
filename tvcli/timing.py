"""Measure durations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Action = Callable[[], object]


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock, and of the processors that this process used."""

    wall: float = 0.0
    cpu: float = 0.0

    @classmethod
    def now(cls) -> Spent:
        """Two of these give a duration."""
        return cls(time.perf_counter(), time.process_time())

    @classmethod
    def by(cls, action: Action) -> Spent:
        """The duration of `action`."""
        started = cls.now()
        action()
        return cls.now() - started

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.cpu - other.cpu)

    def __mul__(self, times: float) -> Spent:
        return Spent(self.wall * times, self.cpu * times)


def rounded(seconds: float) -> str:
    """A duration for people: "40 s", "12 min", "3 h 20 min", "2 d 5 h"."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def timed(action: Action) -> float:
    """The duration of `action` in seconds of the clock."""
    return Spent.by(action).wall


def interleaved(*actions: Action, rounds: int) -> list[float]:
    """The median seconds of each action. After a first run of each, they run in turns, so that changes of the machine's
    speed affect all of them."""
    for action in actions:
        action()
    return [
        statistics.median(times) for times in zip(*([timed(w) for w in actions] for _ in range(rounds)), strict=True)
    ]
