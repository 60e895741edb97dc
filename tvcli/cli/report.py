"""``tv report``: one HTML page about a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.cli.planning import find_tasks, parse_seeds
from tvcli.errors import UsageError
from tvcli.output import out

if TYPE_CHECKING:
    from tvcli.loading import ModelChoice


@bundle(choice=options.model_choice)
def report(
    choice: ModelChoice,
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
    from tvcli.experiments.report import render, sections
    from tvcli.experiments.study import Study
    from tvcli.files import make_folder, replacing

    if not output.parent.is_dir():
        raise UsageError(f"the folder of {output} does not exist")
    tasks = tuple(find_tasks(task))
    folder = None if results is None else make_folder(results)
    with choice.open() as loaded:
        study = Study(loaded.engine, choice, llm or loaded.llm, tasks, parse_seeds(seeds), limit, folder, out.meter)
        page = render(study, sections(study))
    with replacing(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    out.note(f"wrote {output}" + ("" if plots.available() else f" without pictures; for them: {plots.INSTALL}"))
