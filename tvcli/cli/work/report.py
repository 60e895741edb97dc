"""``tv report``: one HTML page about a model."""

from __future__ import annotations

from pathlib import Path

from tvcli import plots
from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work.inputs import STDOUT, check_folder, check_output, place, task_files
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.planning import find_tasks, parse_seeds
from tvcli.cli.work.studies import open_study
from tvcli.errors import UsageError
from tvcli.files import make_folder, replacing
from tvcli.kinds import Picture
from tvcli.models.opening import ModelRequest
from tvcli.paper.report import render, sections


def run(
    model_options: ModelOptions,
    output: Path,
    task: list[str] | None,
    *,
    seeds: str,
    limit: int | None,
    one_layer: bool,
    llm: str | None,
    results: Path | None,
) -> None:
    request = model_request(model_options, Picture.PAPER)
    tasks, counted = tuple(find_tasks(task)), parse_seeds(seeds)
    check_folder("--results", results)
    check_output(str(output), *task_files(tasks), *request.own_files())
    if results is not None and output.suffix == ".jsonl" and output.parent.resolve() == results.resolve():
        raise UsageError(f"the output {output} would overwrite answers of --results {results}")
    if llm is not None:
        ModelRequest(llm).check()
    folder = None if results is None else make_folder(results)
    with open_study(request, tasks, seeds=counted, limit=limit, one_layer=one_layer, llm=llm, folder=folder) as study:
        page = render(study, sections(study))
    if str(output) == STDOUT:
        out.text(page)
    else:
        with replacing(output) as temporary:
            temporary.write_text(page, encoding="utf-8")
    plotless = "" if plots.available() else f" without plots; to draw them, run: {plots.INSTALL}"
    out.note(f"wrote {place(str(output))}{plotless}")
