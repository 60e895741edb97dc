"""Results as the JSON that commands print."""

from __future__ import annotations

from tvcli.evaluation.bootstrap import Interval
from tvcli.evaluation.results import Difference, Row, Score, TransferResult
from tvcli.evaluation.run import Result


def result_record(of: Result) -> dict[str, object]:
    return {
        "model": str(of.model),
        "source_model": None if of.source_model is None else str(of.source_model),
        "data": of.data,
        "picture": of.picture,
        "pairs": [transfer_record(one) for one in of.transfers],
    }


def transfer_record(of: TransferResult) -> dict[str, object]:
    return {
        "source": of.transfer.source,
        "query": of.transfer.query,
        "layer": of.layer,
        "validation": [round(accuracy, 4) for accuracy in of.validation],
        "tasks": {name: row_record(row) for name, row in of.rows.items()},
    }


def row_record(of: Row) -> dict[str, object]:
    return {
        "n": of.n,
        **({"constant": of.constant} if of.constant else {}),
        **{method: score_record(score) for method, score in of.scores.items()},
        **{f"{a} - {b}": difference_record(difference) for (a, b), difference in of.differences.items()},
    }


def score_record(of: Score) -> dict[str, object]:
    known = {"std": of.std, "short": of.short, "against": of.against}
    rounded = {name: round(value, 4) for name, value in known.items() if value is not None}
    return {"mean": round(of.mean, 4), "interval": _bounds(of.interval), **rounded}


def difference_record(of: Difference) -> dict[str, object]:
    return {"mean": round(of.mean, 4), "interval": _bounds(of.interval)}


def _bounds(of: Interval) -> list[float]:
    return [round(of.low, 4), round(of.high, 4)]
