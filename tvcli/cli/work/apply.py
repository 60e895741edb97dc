"""``tv apply``: apply a vector to images and text."""

from __future__ import annotations

from tvcli.cli.commands.options import ModelOptions, QueryOptions
from tvcli.cli.output import out
from tvcli.cli.work.answers import answer_all
from tvcli.cli.work.inputs import check_one_stdin, gather, read_vector
from tvcli.cli.work.layers import parse_layer
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.origin import check_origin, warn_of_other_pixels, warn_of_zeros
from tvcli.engine.protocol import Patch
from tvcli.method.layers import default_layer
from tvcli.prompts.prompt import zero_shot


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
        check_origin(loaded.engine, patching)
        if query_options.may_have_images:
            warn_of_other_pixels(loaded.engine.picture, patching)
        warn_of_zeros(patching, layers)
        answer_all(loaded.engine, queries, zero_shot, [Patch.of(patching, one) for one in layers], query_options)
