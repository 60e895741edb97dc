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
    file: Annotated[
        Path,
        typer.Argument(autocompletion=completion.gguf_files, help="A control vector in GGUF format, or - for stdin."),
    ],
    output: options.VectorOutput,
    layers: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_LAYERS, help="Layers of the model; by default, up to the highest direction."),
    ] = None,
) -> None:
    """Read llama.cpp's control vector: direction.l becomes the row of layer l.

    A file from tv export is restored exactly. Files of other programs lack
    layer 0 and perhaps more layers; missing rows are zero.

    Examples:
        tv import capital.gguf -o capital.npy
        tv import capital.gguf -o - | tv show -
    """
    work.import_.run(file, output, layers)
