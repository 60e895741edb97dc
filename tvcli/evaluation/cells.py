"""Numbers as table cells, the same in every command, and the legend that explains them."""

from __future__ import annotations

from collections.abc import Sequence

from tvcli.evaluation.results import AVERAGE, DIFFERENCES, MAJORITY, Difference, Row, Score, TransferResult
from tvcli.kinds import Method, Source


def accuracy(score: Score) -> str:
    """``0.18 ±0.02 [0.12, 0.25]``."""
    spread = "" if score.std is None else f" ±{score.std:.2f}"
    return f"{score.mean:.2f}{spread} [{score.interval.low:.2f}, {score.interval.high:.2f}]"


def difference(of: Difference) -> str:
    """``+0.04 [-0.03, +0.11] includes 0``."""
    mark = " includes 0" if of.interval.holds_zero else ""
    return f"{of.mean:+.2f} [{of.interval.low:+.2f}, {of.interval.high:+.2f}]{mark}"


def constant(row: Row) -> str:
    """The accuracy of the constant answer, and the answer: ``0.51 sweet``."""
    score = row.scores.get(MAJORITY)
    return "" if score is None else f"{score.mean:.2f} {row.constant}".strip()


def method_header(methods: Sequence[Method] = tuple(Method)) -> list[str]:
    """The column names of `method_cells`."""
    return ["n", MAJORITY, *methods, *(f"{a} - {b}" for a, b in _differences(methods))]


def method_cells(row: Row, methods: Sequence[Method] = tuple(Method)) -> list[str]:
    """The cells of one row: number of queries, accuracy of the constant answer, methods, and differences."""
    differences = [difference(row.differences[of]) if of in row.differences else "" for of in _differences(methods)]
    return [str(row.n), constant(row), *(_cell(row, method) for method in methods), *differences]


def _differences(methods: Sequence[Method]) -> list[tuple[str, str]]:
    shown = (*methods, MAJORITY)
    return [(a, b) for a, b in DIFFERENCES if a in shown and b in shown]


def _cell(row: Row, method: Method) -> str:
    score = row.scores[method]
    return accuracy(score) if score.against is None else f"{accuracy(score)} ({score.against:.2f})"


def legend(found: TransferResult, methods: Sequence[Method] = tuple(Method)) -> str:
    """An explanation of the cells, and how much of the average accuracy comes from short matches."""
    return ". ".join(filter(None, (column_legend(found.transfer.source), short_matches(found, methods))))


def column_legend(source: Source) -> str:
    """An explanation of the cells of an evaluation of vectors from `source`."""
    variants = "wordings" if source == Source.INSTRUCTION else "seeds"
    return (
        "n: test queries. majority: the constant answer that is best on the validation labels. "
        f"±: standard deviation over {variants}. "
        "[ ]: 95 % interval by bootstrap over queries, paired for differences; "
        "a difference whose interval includes 0 is marked"
    )


def short_matches(found: TransferResult, methods: Sequence[Method] = tuple(Method)) -> str:
    """How much of the average accuracy comes from matches of fewer than three letters."""
    scores = found.average.scores if AVERAGE in found.rows else {}
    shares = [f"{method} {scores[method].short:.2f}" for method in methods if method in scores and scores[method].short]
    return f"correct by a match of fewer than three letters: {', '.join(shares)}" if shares else ""
