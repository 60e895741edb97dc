"""``tv apply``: apply a vector to images and text."""

from __future__ import annotations

from typing import Annotated

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ImageModelOptions, QueryOptions
from tvcli.cli.commands.strict import idle_without


@command(
    query_options=QueryOptions,
    model_options=ImageModelOptions,
    quiet=True,
    verbose=True,
    idle=[*idle_without(["queries"], "modality"), *idle_without(["image", "images_from", "queries"], "picture")],
)
def apply(
    vector: options.VectorFile,
    query_options: QueryOptions,
    model_options: ImageModelOptions,
    layer: Annotated[
        str | None, options.one_layer(help="The layer to overwrite, or 'all' for one answer per layer.")
    ] = None,
) -> None:
    """Answer queries with the task of a vector.

    Examples:
        tv apply capital.npy --image flags/*.png
        tv apply capital.npy --text Norway --text Chile --layer 3 --json
        tv apply capital.npy --image flag.png --layer all -n 2
        tv apply capital.npy --queries queries.txt -v
        tv extract -q --examples pairs.txt -o - | tv apply - --image flag.png
    """
    work.apply.run(vector, query_options, model_options, layer)
