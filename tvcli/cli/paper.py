"""``tv paper``: the paper's tables and figures, for any model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.cli.output import out
from tvcli.cli.planning import find_tasks, parse_seeds
from tvcli.errors import NotApplicableError

if TYPE_CHECKING:
    from tvcli.models.opening import ModelRequest
    from tvcli.paper.study import Table


@bundle(request=options.model_request)
def paper(
    request: ModelRequest,
    items: Annotated[list[str] | None, typer.Argument(help="table2, figure6 ..., or all; nothing lists them.")] = None,
    task: options.Tasks = None,
    seeds: options.Seeds = "1,2,3",
    limit: options.Limit = None,
    llm: Annotated[
        str | None, options.other_model(help="The language model that the VLM was made from (table 3).")
    ] = None,
    output: Annotated[
        Path | None, options.about_output("--output", "-o", help="Folder to keep all answers in, and to resume from.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Make the paper's tables and figures for a model.

    Without --task the data are tv's own, and the paper's numbers beside them
    were measured on other data; the folders of `tv tasks pull` are the paper's.

    Examples:
        tv paper
        tv paper table2 --limit 5 --seeds 1 -o results
    """
    from tvcli import plots
    from tvcli.files import make_folder
    from tvcli.paper.items import ITEMS, find_items
    from tvcli.paper.study import Study

    if not items:
        out.table("", ["name", "what", "needs"], [[name, item.title, item.needs] for name, item in ITEMS.items()])
        return
    wanted = find_items(items)
    tasks, chosen = tuple(find_tasks(task)), parse_seeds(seeds)
    folder = None if output is None else make_folder(output)
    with request.open() as loaded:
        study = Study(loaded.engine, request, llm or loaded.llm, tasks, chosen, limit, folder, out.meter)
        for name in wanted:
            try:
                made = ITEMS[name].make(study)
            except NotApplicableError as error:
                if items != ["all"]:
                    raise
                out.warn(f"{name} is left out: {error}")
                continue
            show_report(name, ITEMS[name].title, made, json=json)
            if folder is not None and made.draw is not None and plots.available():
                made.draw(folder / f"{name}.png")
                out.note(f"drew {folder / name}.png")


def show_report(name: str, title: str, report: Table, *, json: bool) -> None:
    """A table, or one JSON object."""
    if json:
        rows = [dict(zip(report.header, row, strict=True)) for row in report.rows]
        out.record({"name": name, "title": title, "note": report.note, "legend": report.legend, "rows": rows})
    else:
        out.table(f"{name}: {title}; {report.note}", report.header, report.rows)
        if report.legend:
            out.note(report.legend)
