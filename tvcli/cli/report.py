"""``tv report``: one HTML page about a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.cli.output import out
from tvcli.cli.planning import find_tasks, parse_seeds

if TYPE_CHECKING:
    from tvcli.models.opening import ModelRequest


@bundle(request=options.model_request)
def report(
    request: ModelRequest,
    output: Annotated[Path, options.about_output("--output", "-o", help="The HTML file to write.")],
    task: options.Tasks = None,
    seeds: options.Seeds = "1,2,3",
    limit: options.Limit = None,
    llm: Annotated[str | None, options.other_model(help="The language model that the VLM was made from.")] = None,
    results: Annotated[Path | None, options.about_output(help="Folder with answers to use and to add to.")] = None,
) -> None:
    """Write one self-contained HTML page: tables, curves, lens, similarity, map, examples, cost.

    Examples:
        tv report --task country-capital --limit 5 --seeds 1 -o report.html
    """
    from tvcli import plots
    from tvcli.files import check_target, make_folder, replacing
    from tvcli.models.opening import ModelRequest
    from tvcli.paper.report import render, sections
    from tvcli.paper.study import Study

    check_target(output)
    tasks, counted = tuple(find_tasks(task)), parse_seeds(seeds)
    if llm is not None:
        ModelRequest(llm).check()
    folder = None if results is None else make_folder(results)
    with request.open() as loaded:
        study = Study(loaded.engine, request, llm or loaded.llm, tasks, counted, limit, folder, out.meter)
        page = render(study, sections(study))
    with replacing(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    out.note(f"wrote {output}" + ("" if plots.available() else f" without pictures; for them: {plots.INSTALL}"))
