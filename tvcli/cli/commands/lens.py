"""``tv lens``: what residuals decode to, layer by layer."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tvcli.cli import work
from tvcli.cli.commands import completion, options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ImageModelOptions
from tvcli.cli.commands.strict import Idle, Values, idle_with, idle_without
from tvcli.kinds import Modality


def _by_text(values: Values) -> bool:
    return values["task"] is not None and values["source"] == Modality.TEXT


@command(
    model_options=ImageModelOptions,
    quiet=True,
    verbose=True,
    idle=[
        *idle_without(["task"], "source", "view", "sets"),
        *idle_with("task", "top"),
        *idle_without(["image", "task"], "picture"),
        Idle("picture", "with --source text", _by_text),
    ],
)
def lens(
    model_options: ImageModelOptions,
    vector: Annotated[
        str | None,
        typer.Option("--vector", autocompletion=completion.vectors, help="Decode a vector file's rows; - for stdin."),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", "-t", help="Decode the residuals of a text query.")] = None,
    image: Annotated[
        str | None, typer.Option("--image", "-i", help="Decode the residuals of an image query; - for stdin.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", "-T", autocompletion=completion.tasks, help="Average over a task: input, task and answer."
        ),
    ] = None,
    source: Annotated[
        Literal["text", "image", "both", "instruction"],
        typer.Option(help="Prompts of --task: text or image examples, both, or the instruction in all its wordings."),
    ] = "text",
    view: Annotated[
        Literal["paper", "words"],
        typer.Option(
            help="What --task looks for: the paper's token 'auf', one word for the task and the label;"
            " or the example's word, all words for the task and the label, in every spelling."
        ),
    ] = "paper",
    sets: Annotated[int, typer.Option(min=1, help="Sets of examples to average over.")] = 100,
    top: Annotated[int, typer.Option(min=1, help="Tokens per layer.")] = 5,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Decode the residual at the delimiter at every layer, with the model's own norm and head.

    Examples:
        tv lens --text Greece
        tv lens --image flag.png --top 3
        tv lens --vector capital.npy --json
        tv lens --task country-capital --source both
        tv lens --task country-capital --view words --sets 30
    """
    work.lens.run(
        model_options, vector, text, image, task, source=source, view=view, sets=sets, top=top, plot=plot, json=json
    )
