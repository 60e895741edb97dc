"""Numbers as the cells of a table, the same in every command, and the legend that says what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from tvcli.evaluation.results import AVERAGE, DIFFERENCES, MAJORITY, Difference, Row, Score, TransferResult

LEGEND = (
    "n: test queries. majority: the constant answer that is best on the validation labels. "
    "±: standard deviation over seeds. [ ]: 95 % interval by bootstrap over queries, paired for differences; "
    "a difference whose interval includes 0 says so"
)


def accuracy(score: Score) -> str:
    """``0.18 ±0.02 [0.12, 0.25]``."""
    spread = "" if score.std is None else f" ±{score.std:.2f}"
    return f"{score.mean:.2f}{spread} [{score.interval.low:.2f}, {score.interval.high:.2f}]"


def difference(of: Difference) -> str:
    """``+0.04 [-0.03, +0.11] includes 0``."""
    said = " includes 0" if of.interval.holds_zero else ""
    return f"{of.mean:+.2f} [{of.interval.low:+.2f}, {of.interval.high:+.2f}]{said}"


def constant(row: Row) -> str:
    """What the majority's answer reaches, and what it is: ``0.51 sweet``."""
    score = row.scores.get(MAJORITY)
    return "" if score is None else f"{score.mean:.2f} {row.constant}".strip()


def method_header(methods: Sequence[str]) -> list[str]:
    """Names of the columns of `method_cells`."""
    shown = (*methods, MAJORITY)
    return ["n", MAJORITY, *methods, *(f"{a} - {b}" for a, b in DIFFERENCES if a in shown and b in shown)]


def method_cells(row: Row, methods: Sequence[str]) -> list[str]:
    """One line: how many queries, what a constant reaches, the methods, and the differences that matter."""
    shown = (*methods, MAJORITY)
    pairs = [pair for pair in DIFFERENCES if pair[0] in shown and pair[1] in shown]
    differences = [difference(row.differences[pair]) if pair in row.differences else "" for pair in pairs]
    return [str(row.n), constant(row), *(_cell(row, method) for method in methods), *differences]


def _cell(row: Row, method: str) -> str:
    score = row.scores[method]
    return accuracy(score) if score.against is None else f"{accuracy(score)} ({score.against:.2f})"


def short_matches(pair: TransferResult, methods: Sequence[str]) -> str:
    """How much of the average accuracy rests on a match of fewer than three letters."""
    scores = pair.average.scores if AVERAGE in pair.rows else {}
    shares = [f"{method} {scores[method].short:.2f}" for method in methods if method in scores and scores[method].short]
    return f"right by a match of fewer than three letters: {', '.join(shares)}" if shares else ""
