"""Intervals by bootstrap: what the same numbers could have been on other queries of the same kind."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of the resampled values."""

    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        return self.low <= 0 <= self.high


def resampled(values: np.ndarray, name: str) -> np.ndarray:
    """Means of float64 (M, N), M numbers for each of N queries, over queries drawn anew: float64 (RESAMPLES, M).

    All M are resampled alike, so that their differences are paired. The `name` of the queries decides the draw:
    the same answers give the same interval, and other queries are drawn independently of these.
    """
    n = values.shape[1]
    counts = np.random.default_rng(zlib.crc32(name.encode())).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    return np.asarray(counts @ values.T / n)


def interval(values: np.ndarray) -> Interval:
    """Of resampled values, float64 (RESAMPLES,)."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
