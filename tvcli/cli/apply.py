"""``tv apply``: a vector replayed on images and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.cli.output import out

if TYPE_CHECKING:
    from tvcli.engine.protocol import Engine
    from tvcli.models.opening import ModelRequest
    from tvcli.prompts.prompt import Prompt
    from tvcli.vector import TaskVector


@bundle(asked=options.asking, request=options.model_request)
def apply(
    vector: options.VectorFile,
    asked: options.Asking,
    request: ModelRequest,
    layer: Annotated[
        str | None, options.one_layer(help="The layer to overwrite, or 'all' for one answer each.")
    ] = None,
) -> None:
    """Answer queries with the task that a vector holds.

    Examples:
        tv apply capital.npy --image flags/*.png
        tv apply capital.npy --text Norway --text Chile --layer 3 --json
        tv apply capital.npy --image flag.png --layer all -n 2
        tv apply capital.npy --queries queries.txt -v
        tv extract -q --examples pairs.txt -o - | tv apply - --image flag.png
    """
    from tvcli.cli.answers import answer_all
    from tvcli.cli.inputs import check_one_stdin, gather, read_vector
    from tvcli.engine.protocol import Patch
    from tvcli.method.layers import default_layer, parse_layer
    from tvcli.prompts.prompt import zero_shot

    check_one_stdin(vector, *asked.sources)
    patching = read_vector(vector)
    queries = gather(asked)
    layers = parse_layer(layer, patching.n_layer) if layer is not None else []
    with request.open() as loaded:
        patching.check_fits(loaded.engine.model)
        if not layers:
            chosen, why = default_layer(patching, loaded.layer)
            out.note(f"patching layer {chosen} ({why})")
            layers = [chosen]
        check_origin(loaded.engine, patching, zero_shot("x"))
        answer_all(loaded.engine, queries, zero_shot, [Patch.of(patching, one) for one in layers], asked)


def check_origin(engine: Engine, vector: TaskVector, prompt: Prompt) -> None:
    """Say where the vector came from, and warn if it was read at another token than it is written to."""
    from tvcli.engine.protocol import tail

    origin, delimiter = vector.provenance, tail(engine, prompt, 1)[-1]
    if origin.model is not None:
        out.detail(f"vector: {origin.source}, {origin.prompts} prompts, read in {origin.model}")
        if origin.model.digest != engine.model.digest:
            out.note(f"the vector was read in {origin.model} and is used in {engine.model}")
    if origin.delimiter and origin.delimiter != delimiter.text:
        out.warn(f"the vector was read at the token {origin.delimiter!r}, the query ends in {delimiter.text!r}")
