"""``tv paper``: the paper's tables and figures, for any model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tvcli import plots
from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work.inputs import check_folder, task_files
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.planning import find_tasks, parse_seeds
from tvcli.cli.work.studies import open_study
from tvcli.errors import NotApplicableError, UsageError
from tvcli.files import check_not_input, make_folder
from tvcli.paper.items import ITEMS, OF_LLM, find_items
from tvcli.paper.study import Table


def run(
    model_options: ModelOptions,
    items: Sequence[str],
    task: list[str] | None,
    *,
    seeds: str,
    limit: int | None,
    llm: str | None,
    output: Path | None,
    json: bool,
) -> None:
    request = model_request(model_options)
    if not items and json:
        for name, item in ITEMS.items():
            out.record({"name": name, "title": item.title, "needs": item.needs})
        return
    if not items:
        out.table("", ["name", "title", "needs"], [[name, item.title, item.needs] for name, item in ITEMS.items()])
        return
    wanted = find_items(items)
    if llm is not None and not set(wanted) & set(OF_LLM):
        raise UsageError(f"--llm does nothing for {', '.join(wanted)}; it is for {' and '.join(OF_LLM)}")
    tasks, counted = tuple(find_tasks(task)), parse_seeds(seeds)
    check_folder("--output", output)
    folder = None if output is None else make_folder(output)
    if folder is not None:
        for name in wanted:
            check_not_input(folder / f"{name}.png", task_files(tasks))
    with open_study(request, tasks, seeds=counted, limit=limit, llm=llm, folder=folder) as study:
        for name in wanted:
            try:
                made = ITEMS[name].make(study)
            except NotApplicableError as error:
                if list(items) != ["all"]:
                    raise
                out.warn(f"skipped {name}: {error}")
                continue
            show_table(name, ITEMS[name].title, made, json=json)
            if folder is not None and made.draw is not None and plots.available():
                made.draw(folder / f"{name}.png")
                out.note(f"drew {folder / name}.png")


def show_table(name: str, title: str, made: Table, *, json: bool) -> None:
    """A table, or one JSON object."""
    if json:
        rows = [dict(zip(made.header, row, strict=True)) for row in made.rows]
        out.record({"name": name, "title": title, "note": made.note, "legend": made.legend, "rows": rows})
    else:
        out.table(f"{name}: {title}; {made.note}", made.header, made.rows)
        if made.legend:
            out.note(made.legend)
