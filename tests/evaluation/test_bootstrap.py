"""Intervals: their width, and resampling that is the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest

from tvcli.evaluation.bootstrap import RESAMPLES, Interval, interval, resampled


def test_an_interval_has_the_width_that_theory_gives() -> None:
    """Of a share p of n queries the standard error is sqrt(p (1 - p) / n), and the interval 1.96 of them each way."""
    hits = np.array([[1.0] * 30 + [0.0] * 70])
    found = interval(resampled(hits, "t")[:, 0])
    error = 1.96 * np.sqrt(0.3 * 0.7 / 100)
    assert found.low == pytest.approx(0.3 - error, abs=0.02)
    assert found.high == pytest.approx(0.3 + error, abs=0.02)


def test_the_same_answers_give_the_same_interval_and_other_queries_are_drawn_independently() -> None:
    values = np.random.default_rng(0).random((2, 50))
    assert np.array_equal(resampled(values, "t"), resampled(values, "t"))
    one, other = resampled(values[:1], "t")[:, 0], resampled(values[:1], "u")[:, 0]
    assert one.shape == (RESAMPLES,)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1


def test_an_interval_is_the_middle_95_percent() -> None:
    found = interval(np.linspace(0, 1, 2001))
    assert [found.low, found.high] == pytest.approx([0.025, 0.975])
    assert Interval(0, 1).holds_zero
    assert Interval(-1, 0).holds_zero
    assert not Interval(0.01, 1).holds_zero
    assert not Interval(-1, -0.01).holds_zero


def test_resampling_is_the_same_on_every_machine() -> None:
    found = resampled(np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]]), "t")
    assert found.shape == (2000, 2)
    assert np.allclose(found[:, 1], 1)
    assert found[:8, 0].tolist() == [0.5, 0.25, 0.75, 0.5, 0.5, 0.0, 0.25, 0.5]
