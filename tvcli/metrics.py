"""When an answer is correct. To add a metric, add a word and its rule here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvcli.kinds import Kind
from tvcli.text import clean

SHORT = 3  # letters; a shorter match is weak evidence
LONG = 48  # new tokens of an answer that a pattern judges, such as a riddle


class Metric(Kind):
    """By name, as `--metric` takes it."""

    PAPER = "paper"
    EXACT = "exact"


@dataclass(frozen=True)
class Rule:
    """How an answer is compared with a label, both as `text.clean` makes them, and how many new tokens that takes."""

    matches: Callable[[str, str], bool]
    max_tokens: int


def starts(prediction: str, label: str) -> bool:
    """The paper's rule: both non-empty, and one starts with the other. One new token is judged: "Kath" is Kathmandu."""
    return bool(prediction and label) and (prediction.startswith(label) or label.startswith(prediction))


def whole(prediction: str, label: str) -> bool:
    """The answer begins with the whole label, as words, whatever its case.

    Combining marks belong to the word: Python's ``\\w`` has no vowel signs of Indic scripts.
    """
    text, start = prediction.casefold(), label.casefold()
    after = text[len(start) : len(start) + 1]
    goes_on = re.match(r"\w", after) or (after and unicodedata.category(after)[0] == "M")
    in_number = re.match(r"\d[.,]\d", text[len(start) - 1 :])  # 3 is not the whole of 3.5
    return bool(start) and text.startswith(start) and not goes_on and not in_number


RULES = {
    Metric.PAPER: Rule(starts, 1),
    Metric.EXACT: Rule(whole, 12),  # long enough for every label of the paper's tasks
}


@dataclass(frozen=True)
class Judge:
    """A metric, with `ignore_case` as in the paper's figure 6."""

    metric: Metric = Metric.PAPER
    ignore_case: bool = False

    def __post_init__(self) -> None:
        Metric(self.metric)  # raises for an unknown metric

    def correct(self, answer: str, labels: Sequence[str]) -> bool:
        """Whether the answer matches any label."""
        matches = RULES[self.metric].matches
        return any(matches(self._plain(answer), self._plain(label)) for label in labels)

    def short(self, answer: str, labels: Sequence[str]) -> bool:
        """Whether the answer is correct only because it is the first one or two letters of a label."""
        given, known = self._plain(answer), [self._plain(label) for label in labels]
        return len(given) < SHORT and given not in known and self.correct(answer, labels)

    def follows(self, answer: str, labels: Sequence[str], pattern: str) -> bool:
        """Whether an answer is correct: by the task's `pattern` if it has one, else by the metric."""
        return re.match(pattern, clean(answer)) is not None if pattern else self.correct(answer, labels)

    def max_tokens(self, pattern: str) -> int:
        """New tokens that an answer needs to be judged."""
        return LONG if pattern else RULES[self.metric].max_tokens

    def _plain(self, text: str) -> str:
        return clean(text).casefold() if self.ignore_case else clean(text)


PAPERS_METRIC = Judge()
