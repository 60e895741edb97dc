"""``tv combine``: weighted sums of vectors."""

from __future__ import annotations

from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command


@command(quiet=True)
def combine(
    vectors: options.VectorFiles,
    output: options.VectorOutput,
    weights: Annotated[
        str | None,
        typer.Option("--weights", "-w", help="Comma-separated weights, one per vector; by default the mean."),
    ] = None,
) -> None:
    """Compute a weighted sum of vectors; by default their mean, the paper's ensemble.

    Weights may be negative: -w 1,-1 is a difference.

    Examples:
        tv combine capital.npy instruction.npy -o ensemble.npy
        tv combine capital.npy currency.npy -w 1,-1 -o difference.npy
    """
    work.combine.run(vectors, output, weights)
