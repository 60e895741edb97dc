"""When an answer counts as correct."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tvcli.tasks import Task

PAPER, EXACT = "paper", "exact"
EXACT_TOKENS = 12  # long enough for every label of the paper's tasks


def correct(prediction: str, labels: Sequence[str]) -> bool:
    """The paper's metric: stripped, both non-empty, and one starts with the other; any accepted label counts.

    One new token is judged, so "Kath" is right for Kathmandu.
    """
    predicted = prediction.strip()
    stripped = [label.strip() for label in labels]
    return any(
        bool(predicted and label) and (predicted.startswith(label) or label.startswith(predicted)) for label in stripped
    )


def exact(prediction: str, labels: Sequence[str]) -> bool:
    """A strict metric: the answer begins with a whole label, as words, whatever its case."""
    predicted = prediction.strip().casefold()
    return any(re.match(rf"{re.escape(label.strip().casefold())}(?!\w)", predicted) for label in labels)


def judge(task: Task, labels: Sequence[str], answer: str, metric: str) -> bool:
    """Whether an answer counts, by the metric, or by the task's pattern where it has one instead of labels."""
    if task.pattern:
        return re.match(task.pattern, answer.strip()) is not None
    return exact(answer, labels) if metric == EXACT else correct(answer, labels)
