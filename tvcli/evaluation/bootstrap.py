"""Bootstrap intervals: how much the numbers vary between sets of queries of the same kind."""

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
    """Means of float64 (M, N), M numbers per query, over N queries drawn with replacement: float64 (RESAMPLES, M).

    All M numbers use the same resamples, so that their differences are paired. The `name` of the queries is the seed:
    the same answers give the same interval, and other queries are resampled independently.
    """
    n = values.shape[1]
    counts = np.random.default_rng(zlib.crc32(name.encode())).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    return np.asarray(counts @ values.T / n)


def bounds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The limits of the intervals of resampled values, float64 (RESAMPLES, ...), over the first axis."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return np.asarray(low), np.asarray(high)


def interval(values: np.ndarray) -> Interval:
    """The interval of resampled values, float64 (RESAMPLES,)."""
    low, high = bounds(values)
    return Interval(float(low), float(high))
