"""When an answer counts as correct."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvcli.tasks import Task

SHORT = 3  # letters; a match of fewer says little of what was meant


@dataclass(frozen=True)
class Metric:
    """How an answer is compared with a label, both stripped, and how many new tokens it needs."""

    matches: Callable[[str, str], bool]
    max_tokens: int


def starts(prediction: str, label: str) -> bool:
    """The paper's: both non-empty, and one starts with the other. One new token is judged: "Kath" is Kathmandu."""
    return bool(prediction and label) and (prediction.startswith(label) or label.startswith(prediction))


def whole(prediction: str, label: str) -> bool:
    """The answer begins with the whole label, as words, whatever its case."""
    return re.match(rf"{re.escape(label.casefold())}(?!\w)", prediction.casefold()) is not None


PAPER, EXACT = "paper", "exact"
METRICS = {PAPER: Metric(starts, 1), EXACT: Metric(whole, 12)}  # 12: long enough for every label of the paper's tasks


@dataclass(frozen=True)
class Judge:
    """A metric by name; `ignore_case` as in the paper's figure 6."""

    metric: str = PAPER
    ignore_case: bool = False

    def correct(self, answer: str, labels: Sequence[str]) -> bool:
        """Whether any accepted label counts."""
        matches = METRICS[self.metric].matches
        return any(matches(self._plain(answer), self._plain(label)) for label in labels)

    def short(self, answer: str, labels: Sequence[str]) -> bool:
        """Whether the answer counts only because its first one or two letters are also a label's."""
        given, known = self._plain(answer), [self._plain(label) for label in labels]
        return len(given) < SHORT and given not in known and self.correct(answer, labels)

    def follows(self, task: Task, labels: Sequence[str], answer: str) -> bool:
        """Whether an answer counts, by the metric, or by the task's pattern where it has one instead of labels."""
        if task.pattern:
            return re.match(task.pattern, answer.strip()) is not None
        return self.correct(answer, labels)

    def max_tokens(self, task: Task) -> int:
        return METRICS[EXACT if task.pattern else self.metric].max_tokens

    def _plain(self, text: str) -> str:
        return text.strip().casefold() if self.ignore_case else text.strip()
