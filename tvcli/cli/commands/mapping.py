"""``tv map``: single-prompt vectors in two dimensions."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ImageModelOptions
from tvcli.cli.commands.strict import Idle, Values
from tvcli.kinds import Modality


def _by_text(values: Values) -> bool:
    return bool(values["source"] == Modality.TEXT)


@command(
    model_options=ImageModelOptions,
    quiet=True,
    verbose=True,
    idle=[Idle("picture", "with --source text", _by_text)],
)
def map_(
    model_options: ImageModelOptions,
    task: options.Tasks = None,
    source: Annotated[
        Literal["text", "image", "both"] | None,
        typer.Option(help="Modality of the examples; by default all that the model supports."),
    ] = None,
    layer: Annotated[int | None, options.one_layer(min=0, help="By default the catalog's layer for the model.")] = None,
    method: Annotated[Literal["tsne", "pca"] | None, typer.Option(help="tsne needs the extra plots.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Prompts per task and source.")] = 30,
    seed: options.Seed = 1,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Map task vectors of single prompts, and the context tokens before them, to show how they cluster.

    Examples:
        tv map --task country-capital --task food-color --limit 10
        tv map --limit 5 --source text --method pca --json
    """
    work.mapping.run(
        model_options, task, source=source, layer=layer, method=method, limit=limit, seed=seed, plot=plot, json=json
    )
