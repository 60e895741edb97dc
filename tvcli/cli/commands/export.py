"""``tv export``: vectors to other programs' formats."""

from __future__ import annotations

from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command


@command(quiet=True)
def export(
    vector: options.VectorFile,
    control_vector: Annotated[str, typer.Option(help="The GGUF file to write, or - for stdout.")],
) -> None:
    """Write a vector as llama.cpp's control vector, a GGUF file.

    A control vector is not a patch: llama.cpp adds direction.l to the output
    of layer l at every position; tv apply overwrites that output at one token,
    the delimiter. Use a difference of vectors, at one layer:

        llama-cli ... --control-vector-scaled difference.gguf:0.5
                      --control-vector-layer-range 11 11

    Layer 0 has no direction. Its row is stored as metadata, which llama.cpp
    ignores and tv import reads.

    Examples:
        tv export capital.npy --control-vector capital.gguf
        tv combine capital.npy currency.npy -w 1,-1 -o difference.npy
        tv export difference.npy --control-vector difference.gguf
    """
    work.export.run(vector, control_vector)
