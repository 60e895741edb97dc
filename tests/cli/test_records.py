"""An evaluation, its scores and its rows as JSON."""

from __future__ import annotations

from known_answers import PATCH, PROMPT, WORDS, Layered, setup_of

from tvcli.cli.work.records import difference_record, result_record, row_record, score_record, transfer_record
from tvcli.evaluation.bootstrap import Interval
from tvcli.evaluation.results import Difference, Row, Score, TransferResult
from tvcli.evaluation.run import Result, run
from tvcli.kinds import Picture


def test_an_evaluation_as_json() -> None:
    made = run(Layered(), setup_of())
    name = "fake (fake, 6 layers × 16)"
    found, transfer = result_record(made), transfer_record(made.transfers[0])
    assert list(found) == ["model", "source_model", "data", "picture", "pairs"]
    assert found == {"model": name, "source_model": None, "data": "other data", "picture": None, "pairs": [transfer]}
    assert transfer["validation"] == [0.0, 1.0, 0.0, 0.0, 0.5, 0.0]
    other = result_record(Result(made.model, made.model, "d", Picture.PAPER, ()))
    assert other == {"model": name, "source_model": name, "data": "d", "picture": "paper", "pairs": []}


def test_scores_and_differences_are_rounded_to_four_digits() -> None:
    third = Interval(1 / 3, 2 / 3)
    assert score_record(Score(1 / 3, third)) == {"mean": 0.3333, "interval": [0.3333, 0.6667]}
    full = score_record(Score(1 / 3, third, std=2 / 3, short=1 / 6, against=5 / 6))
    assert full == {"mean": 0.3333, "interval": [0.3333, 0.6667], "std": 0.6667, "short": 0.1667, "against": 0.8333}
    assert score_record(Score(0.0, third, std=0.0))["std"] == 0.0
    assert difference_record(Difference(-1 / 3, third)) == {"mean": -0.3333, "interval": [0.3333, 0.6667]}
    assert transfer_record(TransferResult(WORDS, None, (1 / 3,), {})) == {
        "source": "text",
        "query": "text",
        "layer": None,
        "validation": [0.3333],
        "tasks": {},
    }


def test_a_row_is_written_with_its_constant_where_it_has_one() -> None:
    score, gain = Score(0.5, Interval(0, 1)), Difference(0.25, Interval(0, 1))
    row = Row(3, {PATCH: score}, {(PATCH, PROMPT): gain}, {}, "y")
    written = {"patch": score_record(score), "patch - prompt": difference_record(gain)}
    assert row_record(row) == {"n": 3, "constant": "y", **written}
    assert "constant" not in row_record(Row(3, {}, {}, {}))
