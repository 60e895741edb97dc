"""``tv show``: what a vector file contains."""

from __future__ import annotations

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work.describe import describe_lines, describe_record
from tvcli.cli.work.inputs import read_vector
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.origin import warn_of_other_models
from tvcli.method import lens
from tvcli.method.layers import default_layer
from tvcli.models.opening import ModelRequest
from tvcli.vector import TaskVector


def run(vector: str, model_options: ModelOptions, *, decode: bool, json: bool) -> None:
    request = model_request(model_options)
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
    with request.open() as loaded:
        vector.check_fits(loaded.engine.model)
        warn_of_other_models(loaded.engine.model, vector)
        layer, why = default_layer(vector, loaded.layer)
        out.note(f"decoding layer {layer} ({why})")
        [tokens] = lens.top_tokens(loaded.engine, vector.rows[layer : layer + 1], 5)
    return [token.text for token in tokens]
