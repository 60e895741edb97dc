"""``tv show``: what a vector file holds."""

from __future__ import annotations

from tvcli.cli import options
from tvcli.output import out


def show(vector: options.VectorFile, json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Print what a vector file holds and where it came from.

    Example: tv show capital.npy
    """
    from tvcli.cli.inputs import read_vector
    from tvcli.experiments.describe import describe_lines, describe_record

    loaded = read_vector(vector)
    if json:
        out.record(describe_record(loaded))
        return
    for name, value in describe_lines(loaded):
        out.line(f"{name:<12}{value}")
