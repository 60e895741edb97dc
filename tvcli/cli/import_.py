"""``tv import``: vectors from other programs' formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tvcli.cli import completion, options
from tvcli.cli.output import out
from tvcli.engine.gguf import MAX_LAYERS


def import_(
    file: Annotated[Path, typer.Argument(autocompletion=completion.gguf_files, help="A control vector, GGUF.")],
    output: options.VectorOutput,
    layers: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_LAYERS, help="Layers of the model; by default up to the highest direction."),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Read llama.cpp's control vector: direction.l becomes the row of layer l.

    What tv export wrote comes back exactly. In files of other programs layer 0,
    and perhaps more, is missing; its row is zero.

    Examples:
        tv import capital.gguf -o capital.npy
        tv import capital.gguf -o - | tv show -
    """
    from tvcli.cli.inputs import check_output, write_vector
    from tvcli.engine.gguf.control_vector import load

    check_output(output)
    vector, missing = load(file, layers)
    if missing:
        out.note(f"{file} has no direction for {spans(missing)}: zero there, not fit to be patched")
    if vector.provenance.model is None:
        out.note(f"{file}: it is not recorded which model this vector was read in")
    out.note(f"wrote {write_vector(vector, output)}: {vector.n_layer} layers × {vector.n_embd}")


def spans(layers: list[int]) -> str:
    """``layers 0 to 4, 9``; `layers` is in order and not empty."""
    starts = [n for n in layers if n - 1 not in layers]
    ends = [n for n in layers if n + 1 not in layers]
    named = [str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True)]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(named)}"
