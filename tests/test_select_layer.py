"""`tv extract --select-layer`: how answers are judged is the user's choice, by any metric."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Runner

from tvcli.cli.work import extract
from tvcli.engine.protocol import Engine
from tvcli.metrics import Judge, Metric
from tvcli.prompts.prompt import Example
from tvcli.vector import TaskVector


@pytest.mark.parametrize(("given", "used"), [([], Metric.PAPER), *((["--metric", one], one) for one in Metric)])
def test_layers_are_judged_by_the_metric(
    tv: Runner, pairs_file: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], used: Metric
) -> None:
    judges: list[Judge] = []

    def accuracy(
        engine: Engine, vector: TaskVector, examples: list[Example], progress: object, judge: Judge
    ) -> np.ndarray:
        judges.append(judge)
        return np.zeros(vector.n_layer)

    monkeypatch.setattr(extract, "layer_accuracy", accuracy)
    assert (
        tv("extract", "--examples", pairs_file, "--select-layer", *given, "-o", pairs_file.with_name("v.npy")).code == 0
    )
    assert judges == [Judge(used)]


def test_a_metric_without_anything_to_judge_is_refused(tv: Runner, pairs_file: Path) -> None:
    ran = tv("extract", "--examples", pairs_file, "--metric", "exact", "-o", pairs_file.with_name("v.npy"))
    assert (ran.code, ran.err) == (2, "tv: --metric says how --select-layer judges; add --select-layer\n")
