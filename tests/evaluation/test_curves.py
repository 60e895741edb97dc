"""Curves over layers: means over tasks, and intervals over runs."""

from __future__ import annotations

import numpy as np
import pytest

from tvcli.evaluation.bootstrap import interval, resampled
from tvcli.evaluation.curves import Curve, curve


def test_tasks_have_equal_weights_whatever_their_runs() -> None:
    found = curve({"a": np.array([[0.0, 1.0], [1.0, 1.0]]), "b": np.array([[1.0, 0.0]] * 8)})
    assert found.n == 10
    assert found.mean.tolist() == [0.75, 0.5]
    assert (found.peak, curve({"a": np.array([[0.5, 0.5]])}).peak) == (0, 0)


def test_the_interval_is_over_the_runs_of_each_task() -> None:
    values = np.random.default_rng(0).random((40, 3))
    found = curve({"a": values})
    for layer in range(3):
        wanted = interval(resampled(values[:, layer][None], "a")[:, 0])
        assert (found.low[layer], found.high[layer]) == pytest.approx((wanted.low, wanted.high))
        assert found.low[layer] < found.mean[layer] < found.high[layer]
    both = curve({"a": values, "b": np.random.default_rng(1).random((40, 3))})
    assert (both.high - both.low < found.high - found.low).all()  # independent


def test_one_run_of_each_task_has_no_interval() -> None:
    found = curve({"a": np.array([[0.25, 0.5]]), "b": np.array([[0.75, 0.0]])})
    assert (found.n, found.cell(0), found.cell(1)) == (2, "0.500", "0.250")
    assert np.isnan([found.low, found.high]).all()


def test_a_cell_has_the_mean_and_its_limits() -> None:
    assert Curve(3, *(np.array([value]) for value in (0.1234, 0.1, 0.2))).cell(0) == "0.123 [0.100, 0.200]"
