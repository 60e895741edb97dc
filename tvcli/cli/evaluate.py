"""``tv eval``: no context, prompt and patch on tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.cli.planning import Planned, planned
from tvcli.errors import UsageError
from tvcli.output import out

if TYPE_CHECKING:
    from tvcli.experiments.run import Files
    from tvcli.experiments.setup import Setup
    from tvcli.loading import ModelChoice


def kept(
    samples: Annotated[Path | None, options.about_output(help="Write every answer here, as JSON Lines.")] = None,
    resume: Annotated[bool, options.about_output("--resume", help="Go on with a --samples file.")] = False,
    vectors: Annotated[Path | None, options.about_output(help="Folder to keep the vectors in.")] = None,
) -> Files:
    """What to leave on disk."""
    from tvcli.experiments.run import Files

    if resume and samples is None:
        raise UsageError("--resume needs the --samples file to go on with")
    return Files(samples, resume, vectors)


@bundle(plan=planned, files=kept, choice=options.model_choice)
def evaluate(
    plan: Planned,
    files: Files,
    choice: ModelChoice,
    source_model: Annotated[str | None, options.other_model(help="Read the vectors in this model instead.")] = None,
    plot: options.Plot = None,
    json: Annotated[bool, options.about_output("--json", help="One JSON object.")] = False,
    csv: Annotated[bool, options.about_output("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Measure no context, prompt and patch on tasks, the layer chosen on validation.

    Examples:
        tv eval --task country-capital --limit 10 --seeds 1
        tv eval --limit 5 --samples answers.jsonl --resume --csv
        tv eval --task country-capital --limit 5 --source ensemble -l 3 --json
    """
    from tvcli.cli import pictures
    from tvcli.experiments.run import run
    from tvcli.loading import ModelChoice

    pictures.check(plot)
    other = None if source_model is None else ModelChoice(source_model, None, choice.settings)
    with choice.open() as loaded:
        setup = plan(loaded.engine)
        if plot is not None and setup.layer is not None:
            raise UsageError("--plot draws the accuracy over layers, which --layer skips")
        note_skipped(setup)
        result = run(loaded.engine, setup, source_model=other, files=files, meter=out.meter)
    show_result(result, json=json, csv=csv)
    series = {f"{pair['source']} → {pair['query']}": pair["validation"] for pair in result["pairs"]}
    pictures.curves(plot, series, x="layer", y="validation accuracy", title="patched at one layer at a time")


def note_skipped(setup: Setup) -> None:
    """Count the samples that have no picture where pictures are asked for."""
    if any("image" in pair for pair in setup.pairs):
        for task in setup.tasks:
            missing = sum(not sample.has("image") for sample in (*task.validation, *task.test))
            if missing:
                out.warn(f"task {task.name}: {missing} samples have no image and are skipped")


def show_result(result: dict[str, Any], *, json: bool, csv: bool) -> None:
    """A table a pair, or one JSON object, or comma-separated values."""
    if json:
        out.record(result)
        return
    for number, pair in enumerate(result["pairs"]):
        header, rows = table_of(pair)
        title = f"{pair['source']} → {pair['query']}, patched at layer {pair['layer']}"
        if csv:
            known = [["source", "query", "layer"], [pair["source"], pair["query"], str(pair["layer"])]]
            out.comma_separated([*known[0], *header] if number == 0 else None, [[*known[1], *row] for row in rows])
        else:
            out.table(title, header, rows)


def table_of(pair: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: accuracy with its spread over seeds; when overriding, how often the prompt won instead."""

    def cell(score: dict[str, Any]) -> str:
        spread = f" ±{score['std']:.2f}" if score["std"] else ""
        against = f" ({score['against']:.2f})" if "against" in score else ""
        return f"{score['mean']:.2f}{spread}{against}"

    methods = list(pair["tasks"]["average"])
    rows = [[name, *(cell(row[method]) for method in methods)] for name, row in pair["tasks"].items()]
    return ["task", *methods], rows
