"""``tv import``: vectors from other programs' formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import completion, options
from tvcli.cli.commands.bundle import command
from tvcli.engine.gguf import MAX_LAYERS


@command(quiet=True)
def import_(
    file: Annotated[Path, typer.Argument(autocompletion=completion.gguf_files, help="A control vector, GGUF.")],
    output: options.VectorOutput,
    layers: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_LAYERS, help="Layers of the model; by default up to the highest direction."),
    ] = None,
) -> None:
    """Read llama.cpp's control vector: direction.l becomes the row of layer l.

    What tv export wrote comes back exactly. In files of other programs layer 0,
    and perhaps more, is missing; its row is zero.

    Examples:
        tv import capital.gguf -o capital.npy
        tv import capital.gguf -o - | tv show -
    """
    work.import_.run(file, output, layers)
