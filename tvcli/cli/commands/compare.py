"""``tv compare``: how similar vectors are."""

from __future__ import annotations

from typing import Annotated

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.strict import Idle


@command(quiet=True, idle=[Idle("layer", "with two vectors", lambda values: len(values["vectors"]) == 2)])
def compare(
    vectors: options.VectorFiles,
    layer: Annotated[int | None, options.one_layer(min=0, help="The layer of the matrix.")] = None,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Print cosine similarities layer by layer: a curve for two vectors, a matrix at one layer for more.

    Examples:
        tv compare capital.npy instruction.npy
        tv compare capital.npy instruction.npy currency.npy --layer 3 --json
    """
    work.compare.run(vectors, layer, plot, json=json)
