"""``tv combine``: weighted sums of vectors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from tvcli.cli import options
from tvcli.errors import UsageError
from tvcli.output import out


def combine(
    vectors: Annotated[list[str], typer.Argument(help="Vector files, one of them may be - for stdin.")],
    output: Annotated[str, typer.Option("--output", "-o", help="The vector file to write, or - for stdout.")],
    weights: Annotated[str | None, typer.Option("--weights", "-w", help="One a vector, between commas.")] = None,
    quiet: options.Quiet = False,
) -> None:
    """Add vectors up; by default their mean, which is the paper's ensemble.

    Example: tv combine examples.npy instruction.npy -o ensemble.npy
    """
    from tvcli.cli.inputs import check_one_stdin, read_vector
    from tvcli.vector import combine as combined
    from tvcli.vector import save, to_bytes

    check_one_stdin(*vectors)
    factors = parse_weights(weights, len(vectors))
    total = combined([read_vector(source) for source in vectors], factors)
    if output == "-":
        out.binary(to_bytes(total))
    else:
        save(total, Path(output))
    terms = " + ".join(f"{factor:g} × {source}" for factor, source in zip(factors, vectors, strict=True))
    out.note(f"wrote {'standard output' if output == '-' else output} = {terms}")


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
