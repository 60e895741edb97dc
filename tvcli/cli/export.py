"""``tv export``: vectors to other programs' formats."""

from __future__ import annotations

from typing import Annotated

import typer

from tvcli.cli import options
from tvcli.cli.output import out


def export(
    vector: options.VectorFile,
    control_vector: Annotated[str, typer.Option(help="The GGUF file to write, or - for stdout.")],
    quiet: options.Quiet = False,
) -> None:
    """Write a vector as llama.cpp's control vector, a GGUF file.

    A control vector is not a patch: llama.cpp adds direction.l to the output
    of layer l at every position, tv apply overwrites that output at one token,
    the delimiter. What suits it is a difference of vectors, at one layer:

        llama-cli ... --control-vector-scaled difference.gguf:0.5
                      --control-vector-layer-range 11 11

    Layer 0 has no direction. Its row goes along as metadata, which llama.cpp
    ignores and tv import reads.

    Examples:
        tv export capital.npy --control-vector capital.gguf
        tv combine capital.npy currency.npy -w 1,-1 -o difference.npy
        tv export difference.npy --control-vector difference.gguf
    """
    from pathlib import Path

    from tvcli.cli.inputs import STDOUT, check_output, read_vector
    from tvcli.engine.gguf.control_vector import save, to_bytes

    check_output(control_vector)
    loaded = read_vector(vector)
    if control_vector == STDOUT:
        out.binary(to_bytes(loaded))
    else:
        save(loaded, Path(control_vector))
    place = "standard output" if control_vector == STDOUT else control_vector
    out.note(f"wrote {place}: direction.1 to direction.{loaded.n_layer - 1}, and layer 0 as metadata")
    out.note("llama.cpp adds them at every position, where a patch overwrites the delimiter alone")
