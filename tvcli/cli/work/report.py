"""``tv report``: one HTML page about a model."""

from __future__ import annotations

from pathlib import Path

from tvcli import plots
from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.planning import find_tasks, parse_seeds
from tvcli.files import check_target, make_folder, replacing
from tvcli.models.opening import ModelRequest
from tvcli.paper.report import render, sections
from tvcli.paper.study import Study


def run(
    model_options: ModelOptions,
    output: Path,
    task: list[str] | None,
    *,
    seeds: str,
    limit: int | None,
    llm: str | None,
    results: Path | None,
) -> None:
    request = model_request(model_options)
    check_target(output)
    tasks, counted = tuple(find_tasks(task)), parse_seeds(seeds)
    if llm is not None:
        ModelRequest(llm).check()
    folder = None if results is None else make_folder(results)
    with request.open() as loaded:
        study = Study(
            engine=loaded.engine,
            request=request,
            llm=llm or loaded.llm,
            tasks=tasks,
            seeds=counted,
            limit=limit,
            folder=folder,
            meter=out.meter,
        )
        study.check_images()
        page = render(study, sections(study))
    with replacing(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    out.note(f"wrote {output}" + ("" if plots.available() else f" without plots; to draw them, run: {plots.INSTALL}"))
