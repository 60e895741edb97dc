"""``tv show``: what a vector file contains."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.commands.strict import idle_without


@command(
    model_options=ModelOptions,
    quiet=True,
    verbose=True,
    idle=idle_without(["decode"], *(field.name for field in fields(ModelOptions))),
)
def show(
    vector: options.VectorFile,
    model_options: ModelOptions,
    decode: Annotated[
        bool, typer.Option("--decode", help="Also print the tokens that it decodes to in the model.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Print what a vector file contains and where it came from.

    Examples:
        tv show capital.npy
        tv show capital.npy --decode
        tv show capital.npy --json
    """
    work.show.run(vector, model_options, decode=decode, json=json)
