"""``tv combine``: weighted sums of vectors."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from tvcli.cli import options
from tvcli.cli.output import out
from tvcli.errors import UsageError


def combine(
    vectors: options.VectorFiles,
    output: options.VectorOutput,
    weights: Annotated[
        str | None, typer.Option("--weights", "-w", help="Numbers between commas, one a vector; by default their mean.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Add vectors up; by default their mean, which is the paper's ensemble.

    Weights may be negative: -w 1,-1 is a difference.

    Examples:
        tv combine capital.npy instruction.npy -o ensemble.npy
        tv combine capital.npy currency.npy -w 1,-1 -o difference.npy
    """
    from tvcli.cli.inputs import check_one_stdin, check_output, read_vector, write_vector
    from tvcli.vector import combine as combined

    check_output(output)
    check_one_stdin(*vectors)
    factors = parse_weights(weights, len(vectors))
    total = combined([read_vector(source) for source in vectors], factors)
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
        raise UsageError(f"--weights must be numbers between commas, not {text!r}") from error
    if len(weights) != count or not all(map(math.isfinite, weights)):
        raise UsageError(f"{count} vectors need {count} finite weights, not {text!r}")
    return weights
