"""``tv show``: what a vector file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.cli.output import out

if TYPE_CHECKING:
    from tvcli.models.opening import ModelRequest
    from tvcli.vector import TaskVector


@bundle(request=options.model_request)
def show(
    vector: options.VectorFile,
    request: ModelRequest,
    decode: Annotated[bool, typer.Option("--decode", help="Also the tokens it decodes to, in the model.")] = False,
    json: options.Json = False,
) -> None:
    """Print what a vector file holds and where it came from.

    Examples:
        tv show capital.npy
        tv show capital.npy --decode
        tv show capital.npy --json
    """
    from tvcli.cli.describe import describe_lines, describe_record
    from tvcli.cli.inputs import read_vector

    loaded = read_vector(vector)
    tokens = top_tokens(loaded, request) if decode else None
    if json:
        out.record({**describe_record(loaded), **({} if tokens is None else {"decodes_to": tokens})})
        return
    lines = describe_lines(loaded) + ([] if tokens is None else [("decodes to", ", ".join(map(repr, tokens)))])
    for name, value in lines:
        out.line(f"{name:<12}{value}")


def top_tokens(vector: TaskVector, request: ModelRequest) -> list[str]:
    """The five likeliest tokens at the vector's layer (paper, table 6)."""
    from tvcli.method import lens
    from tvcli.method.layers import default_layer

    with request.open() as loaded:
        vector.check_fits(loaded.engine.model)
        layer, why = default_layer(vector, loaded.layer)
        out.note(f"decoding layer {layer} ({why})")
        [tokens] = lens.top_tokens(loaded.engine, vector.rows[layer : layer + 1], 5)
    return [token.text for token in tokens]
