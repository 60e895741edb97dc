"""``tv combine``: weighted sums of vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tvcli import vector
from tvcli.cli.output import out
from tvcli.cli.work.inputs import check_one_stdin, check_output, read_vector, write_vector
from tvcli.errors import UsageError


def run(vectors: Sequence[str], output: str, weights: str | None) -> None:
    check_output(output)  # which may be one of the vectors: they are read before
    check_one_stdin(*vectors)
    factors = parse_weights(weights, len(vectors))
    total = vector.combine([read_vector(source) for source in vectors], factors)
    place = write_vector(total, output)
    terms = " + ".join(f"{factor:g} × {source}" for factor, source in zip(factors, vectors, strict=True))
    out.note(f"wrote {place} = {terms}")


def parse_weights(text: str | None, count: int) -> list[float]:
    """``0.5,0.5`` to numbers, one for each of `count` vectors; equal shares by default."""
    if text is None:
        return [1.0 / count] * count
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--weights must be comma-separated numbers, not {text!r}") from error
    if len(weights) != count or not all(map(math.isfinite, weights)):
        raise UsageError(f"{count} vectors need {count} finite weights, not {text!r}")
    return weights
