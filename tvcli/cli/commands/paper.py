"""``tv paper``: the paper's tables and figures, for any model."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ImageModelOptions
from tvcli.cli.commands.strict import Idle, Values

OF_ITEMS = (
    *("data", "task", "seeds", "limit", "one_layer", "llm", "judge", "output", "plan"),
    *(field.name for field in fields(ImageModelOptions)),
)


def _lists(values: Values) -> bool:
    return not values["items"]


@command(
    model_options=ImageModelOptions,
    quiet=True,
    verbose=True,
    idle=[Idle(option, "without the name of a table or figure", _lists) for option in OF_ITEMS],
)
def paper(
    model_options: ImageModelOptions,
    items: Annotated[
        list[str] | None, typer.Argument(help="table2, figure6 ..., or all; without a name, list them.")
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help="tv: the shipped tasks; paper: the paper's own data, fetched the first time; "
            "or a folder that `tv tasks pull` wrote."
        ),
    ] = "tv",
    task: options.Tasks = None,
    seeds: options.Seeds = "1,2,3",
    limit: options.Limit = None,
    one_layer: options.OneLayer = False,
    llm: Annotated[
        str | None, options.other_model(help="The language model that the VLM was made from (table 3).")
    ] = None,
    judge: options.Judge = None,
    output: Annotated[
        Path | None, options.about_output("--output", "-o", help="Folder to save all answers in and to resume from.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Make nothing: say what there is to do, and how long it takes here.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Make the paper's tables and figures for a model.

    Without --data and --task, the data are tv's own, and the paper's numbers in
    the tables were measured on other data. With --data paper, answers are saved
    in a folder of their own even without -o. Tables 4 and 5 need tasks that
    `tv tasks import` makes of VQAv2, OK-VQA and A-OKVQA (--task, also beside
    --data); after-table4 and after-table5 are tv's own, without them. --judge is
    for table5 and after-table5; `tv eval --help` says what it reads.

    Examples:
        tv paper
        tv paper table2 --limit 5 --seeds 1 -o results
        tv paper table2 table12 --limit 5 --seeds 1 --plan
    """
    work.paper.run(
        model_options,
        items or [],
        data,
        task,
        seeds=seeds,
        limit=limit,
        one_layer=one_layer,
        llm=llm,
        judge=judge,
        output=output,
        planned=plan,
        json=json,
    )
