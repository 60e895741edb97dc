"""``tv report``: one HTML page about a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ImageModelOptions


@command(model_options=ImageModelOptions, quiet=True, verbose=True)
def report(
    model_options: ImageModelOptions,
    output: Annotated[Path, options.about_output("--output", "-o", help="The HTML file to write, or - for stdout.")],
    task: options.Tasks = None,
    seeds: options.Seeds = "1,2,3",
    limit: options.Limit = None,
    one_layer: options.OneLayer = False,
    llm: Annotated[str | None, options.other_model(help="The language model that the VLM was made from.")] = None,
    results: Annotated[Path | None, options.about_output(help="Folder of saved answers to reuse and add to.")] = None,
) -> None:
    """Write one self-contained HTML page: tables, curves, lens, similarity, map, examples, cost.

    Examples:
        tv report --task country-capital --limit 5 --seeds 1 -o report.html
    """
    work.report.run(
        model_options, output, task, seeds=seeds, limit=limit, one_layer=one_layer, llm=llm, results=results
    )
