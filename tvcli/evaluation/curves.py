"""Curves over layers with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tvcli.evaluation.bootstrap import bounds, resampled


@dataclass(frozen=True)
class Curve:
    """Means over `n` runs and the limits of their 95 % interval, float64 (L,) each; NaN limits for single runs."""

    n: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def peak(self) -> int:
        """The layer where it is highest; ties: the lowest."""
        return int(self.mean.argmax())

    def cell(self, layer: int) -> str:
        """``0.123 [0.101, 0.145]``."""
        limits = f" [{self.low[layer]:.3f}, {self.high[layer]:.3f}]" if np.isfinite(self.low[layer]) else ""
        return f"{self.mean[layer]:.3f}{limits}"


def curve(runs: Mapping[str, np.ndarray]) -> Curve:
    """The mean over tasks, with equal weights, of the means over each task's runs, float64 (N, L) by task.

    The interval is by bootstrap over the runs of each task.
    """
    n = sum(len(values) for values in runs.values())
    mean = np.mean([values.mean(0) for values in runs.values()], axis=0)
    if all(len(values) == 1 for values in runs.values()):
        unknown = np.full_like(mean, np.nan)
        return Curve(n, mean, unknown, unknown)
    low, high = bounds(np.mean([resampled(values.T, name) for name, values in runs.items()], axis=0))
    return Curve(n, mean, low, high)
