"""``tv apply``: apply a vector to images and text."""

from __future__ import annotations

from tvcli.cli.commands.options import ModelOptions, QueryOptions
from tvcli.cli.output import out
from tvcli.cli.work.answers import answer_all
from tvcli.cli.work.inputs import check_one_stdin, gather, read_vector
from tvcli.cli.work.layers import parse_layer
from tvcli.cli.work.opening import model_request
from tvcli.engine.protocol import Engine, Patch, tail
from tvcli.method.layers import default_layer
from tvcli.prompts.prompt import Prompt, zero_shot
from tvcli.vector import TaskVector


def run(vector: str, query_options: QueryOptions, model_options: ModelOptions, layer: str | None) -> None:
    request = model_request(model_options)
    check_one_stdin(vector, *query_options.sources)
    patching = read_vector(vector)
    queries = gather(query_options)
    layers = parse_layer(layer, patching.n_layer) if layer is not None else []
    with request.open() as loaded:
        patching.check_fits(loaded.engine.model)
        if not layers:
            best, why = default_layer(patching, loaded.layer)
            out.note(f"patching layer {best} ({why})")
            layers = [best]
        check_origin(loaded.engine, patching, zero_shot("x"))
        answer_all(loaded.engine, queries, zero_shot, [Patch.of(patching, one) for one in layers], query_options)


def check_origin(engine: Engine, vector: TaskVector, prompt: Prompt) -> None:
    """Print where the vector came from, and warn if it was read at another token than the one that is patched."""
    origin, delimiter = vector.provenance, tail(engine, prompt, 1)[-1]
    if origin.model is not None:
        out.detail(f"vector: {origin.source}, {origin.prompts} prompts, read with {origin.model}")
        if origin.model.digest != engine.model.digest:
            out.note(f"the vector was read with {origin.model} and is used with {engine.model}")
    if origin.delimiter and origin.delimiter != delimiter.text:
        out.warn(f"the vector was read at the token {origin.delimiter!r}, the query ends in {delimiter.text!r}")
