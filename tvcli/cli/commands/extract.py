"""``tv extract``: examples or an instruction to a vector file."""

from __future__ import annotations

from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ImageModelOptions
from tvcli.cli.commands.strict import idle_without
from tvcli.kinds import Modality
from tvcli.metrics import Metric


@command(
    model_options=ImageModelOptions,
    quiet=True,
    verbose=True,
    idle=idle_without(["examples"], "modality", "shots", "prompts", "seed", "picture"),
)
def extract(
    model_options: ImageModelOptions,
    output: options.VectorOutput,
    examples: Annotated[
        str | None, typer.Option("--examples", "-e", help="File of pairs: input<TAB>output, @path<TAB>output, JSON.")
    ] = None,
    instruction: Annotated[str | None, typer.Option(help="The task in one sentence.")] = None,
    modality: options.RecordModality = Modality.TEXT,
    shots: Annotated[int, typer.Option(min=2, help="Examples per prompt; the last one is left unanswered.")] = 5,
    prompts: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Prompts to average over; by default one per example.")
    ] = None,
    seed: options.Seed = 1,
    select_layer: Annotated[
        bool, typer.Option("--select-layer", help="Choose the layer with the best accuracy on the examples.")
    ] = False,
    metric: Annotated[Metric | None, typer.Option(help="The metric of --select-layer; by default paper.")] = None,
) -> None:
    """Read a task vector from examples or from an instruction.

    With both, it writes two files: NAME.examples.npy and NAME.instruction.npy.

    Examples:
        tv extract --examples pairs.txt -o capital.npy
        tv extract --examples pairs.txt --select-layer -o capital.npy
        tv extract --instruction "The capital city:" -o instruction.npy
        tv extract --examples - -o - < pairs.txt | tv show -
    """
    work.extract.run(
        model_options,
        output,
        examples,
        instruction,
        modality=modality,
        shots=shots,
        prompts=prompts,
        seed=seed,
        select_layer=select_layer,
        metric=metric,
    )
