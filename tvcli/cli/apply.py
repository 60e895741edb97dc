"""``tv apply``: a vector replayed on images and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tvcli.cli import options
from tvcli.output import out

if TYPE_CHECKING:
    from tvcli.engine.protocol import Engine
    from tvcli.prompts import Prompt
    from tvcli.vector import TaskVector


def apply(
    vector: options.VectorFile,
    image: options.Images = None,
    text: options.Texts = None,
    queries: options.Queries = None,
    modality: options.Modality = "text",
    layer: Annotated[
        str | None, typer.Option("--layer", "-l", help="The layer to overwrite, or 'all' for one answer each.")
    ] = None,
    max_tokens: options.MaxTokens = 16,
    multiline: options.Multiline = False,
    json: options.Json = False,
    model: options.Model = None,
    mmproj: options.Mmproj = None,
    context: options.Context = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Answer queries with the task that a vector holds.

    Example: tv apply capital.npy --image flags/*.png
    """
    from tvcli.cli.answers import answer_all
    from tvcli.cli.inputs import check_one_stdin, gather, read_vector
    from tvcli.engine.protocol import Decoding, Patch, Settings
    from tvcli.experiments.layers import default_layer, parse_layer
    from tvcli.loading import open_model
    from tvcli.prompts import query

    check_one_stdin(vector, queries, *(image or ()))
    loaded_vector = read_vector(vector)
    asked, total = gather(image, text, queries, modality)
    chosen = parse_layer(layer, loaded_vector.n_layer) if layer is not None else None
    with open_model(model, mmproj, Settings(context, threads, gpu_layers)) as loaded:
        loaded_vector.check_fits(loaded.engine.model)
        if chosen is None:
            default, why = default_layer(loaded_vector, loaded.layer)
            out.note(f"patching layer {default} ({why})")
            chosen = [default]
        check_origin(loaded.engine, loaded_vector, query("x"))
        patches = [Patch.of(loaded_vector, one) for one in chosen]
        answer_all(loaded.engine, asked, total, query, patches, Decoding(max_tokens, not multiline), json=json)


def check_origin(engine: Engine, vector: TaskVector, prompt: Prompt) -> None:
    """Say where the vector came from, and warn if it was read at another token than it is written to."""
    origin, delimiter = vector.provenance, engine.tail(prompt, 1)[-1]
    if origin.model is not None:
        out.detail(f"vector: {origin.source}, {origin.prompts} prompts, read in {origin.model}")
        if origin.model.digest != engine.model.digest:
            out.note(f"the vector was read in {origin.model} and is used in {engine.model}")
    if origin.delimiter and origin.delimiter != delimiter.text:
        out.warn(f"the vector was read at the token {origin.delimiter!r}, the query ends in {delimiter.text!r}")
