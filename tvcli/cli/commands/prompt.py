"""``tv prompt``: the same queries without a patch, to compare with."""

from __future__ import annotations

from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ImageModelOptions, QueryOptions
from tvcli.cli.commands.strict import idle_without


@command(
    query_options=QueryOptions,
    model_options=ImageModelOptions,
    quiet=True,
    verbose=True,
    idle=[
        *idle_without(["examples"], "shots", "seed"),
        *idle_without(["examples", "queries"], "modality"),
        *idle_without(["image", "images_from", "queries", "examples"], "picture"),
    ],
)
def prompt(
    query_options: QueryOptions,
    model_options: ImageModelOptions,
    examples: Annotated[
        str | None, typer.Option("--examples", "-e", help="File of pairs to put before the query.")
    ] = None,
    shots: Annotated[int, typer.Option(min=1, help="Number of examples to use.")] = 5,
    seed: options.Seed = 1,
    system: Annotated[str, typer.Option(help="Text to put before everything else.")] = "",
    chat: options.Chat = False,
) -> None:
    """Answer queries without a vector: alone, or after examples or a system text.

    Examples:
        tv prompt --image flag.png
        tv prompt --examples pairs.txt --shots 3 --image flags/*.png
        tv prompt --system "Answer in one word." --queries queries.txt
        tv prompt --chat -v --image flag.png
    """
    work.prompt.run(query_options, model_options, examples, shots=shots, seed=seed, system=system, chat=chat)
