"""Numbers in words: the header and cells of a row, and the legend."""

from __future__ import annotations

from known_answers import NO_CONTEXT, PATCH, PROMPT, WORDS

from tvcli.evaluation.bootstrap import Interval
from tvcli.evaluation.cells import (
    accuracy,
    column_legend,
    constant,
    difference,
    legend,
    method_cells,
    method_header,
    short_matches,
)
from tvcli.evaluation.results import AVERAGE, MAJORITY, Difference, Row, Score, TransferResult
from tvcli.evaluation.setup import Transfer
from tvcli.kinds import Method, Modality, Source


def test_a_difference_that_could_be_nothing_says_so() -> None:
    assert difference(Difference(0.04, Interval(-0.03, 0.11))) == "+0.04 [-0.03, +0.11] includes 0"
    assert difference(Difference(-0.1, Interval(-0.2, -0.01))) == "-0.10 [-0.20, -0.01]"
    assert accuracy(Score(0.18, Interval(0.12, 0.25), std=0.02)) == "0.18 ±0.02 [0.12, 0.25]"


def test_a_table_has_its_columns_in_one_order() -> None:
    assert method_header((NO_CONTEXT, PATCH)) == [
        "n",
        "majority",
        "no context",
        "patch",
        "patch - majority",
    ]
    assert method_header((PROMPT,)) == ["n", "majority", "prompt"]


def test_a_line_has_a_cell_for_each_column() -> None:
    score = Score(0.5, Interval(0.25, 0.75))
    gain = Difference(0.25, Interval(0.125, 0.5))
    scores = {
        MAJORITY: score,
        NO_CONTEXT: score,
        PROMPT: score,
        PATCH: Score(0.5, Interval(0.25, 0.75), against=0.1),
    }
    row = Row(7, scores, {(PATCH, PROMPT): gain}, {}, "y")
    assert method_cells(row, tuple(Method)) == [
        "7",
        "0.50 y",
        "0.50 [0.25, 0.75]",
        "0.50 [0.25, 0.75]",
        "0.50 [0.25, 0.75] (0.10)",
        "+0.25 [+0.12, +0.50]",
        "",
    ]
    for methods in (
        tuple(Method),
        (PROMPT,),
        (PATCH,),
        (NO_CONTEXT, PATCH),
        (PROMPT, PATCH),
    ):
        assert len(method_header(methods)) == len(method_cells(row, methods))
    assert constant(Row(7, scores, {}, {})) == "0.50"
    assert constant(Row(7, {}, {}, {}, "y")) == ""


def test_short_matches_are_told_by_method() -> None:
    def found(rows: dict[str, Row]) -> TransferResult:
        return TransferResult(WORDS, 2, (), rows)

    def score(short: float | None) -> Score:
        return Score(0.5, Interval(0, 1), short=short)

    row = Row(
        1,
        {NO_CONTEXT: score(None), PROMPT: score(0.25), PATCH: score(0.125), MAJORITY: score(0.5)},
        {},
        {},
    )
    said = "correct by a match of fewer than three letters: prompt 0.25, patch 0.12"
    assert short_matches(found({AVERAGE: row})) == said
    assert short_matches(found({AVERAGE: row}), (NO_CONTEXT,)) == ""
    assert short_matches(found({})) == ""


def test_the_legend_tells_of_short_matches_where_there_are_some() -> None:
    def found(short: float) -> TransferResult:
        score = Score(0.5, Interval(0.4, 0.6), short=short)
        return TransferResult(WORDS, 2, (), {AVERAGE: Row(1, {Method.PATCH: score}, {}, {})})

    assert legend(found(0.0)) == column_legend(Source.TEXT)
    short = "correct by a match of fewer than three letters: patch 0.25"
    assert legend(found(0.25)) == f"{column_legend(Source.TEXT)}. {short}"
    assert legend(found(0.25), (Method.PROMPT,)) == column_legend(Source.TEXT)


def test_the_legend_says_what_the_spread_is_over() -> None:
    for source in Source:
        words = "over wordings." if source == Source.INSTRUCTION else "over seeds."
        found = TransferResult(Transfer(source, Modality.TEXT), 2, (), {})
        assert f"±: standard deviation {words} [ ]:" in legend(found)
