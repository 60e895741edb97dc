"""``tv eval``: no context, prompt and patch on tasks."""

from __future__ import annotations

from typing import Annotated

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import EvaluationOptions, FileOptions, ModelOptions


@command(wanted=EvaluationOptions, kept=FileOptions, chosen=ModelOptions, quiet=True, verbose=True)
def evaluate(
    wanted: EvaluationOptions,
    kept: FileOptions,
    chosen: ModelOptions,
    source_model: Annotated[str | None, options.other_model(help="Read the vectors in this model instead.")] = None,
    plot: options.Plot = None,
    json: Annotated[bool, options.about_output("--json", help="One JSON object.")] = False,
    csv: Annotated[bool, options.about_output("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Measure no context, prompt and patch on tasks, the layer chosen on validation.

    Without --task: the paper's six tasks on tv's own data. A majority column says
    what a constant answer reaches; intervals are 95 %, by bootstrap over queries.

    Examples:
        tv eval --task country-capital --limit 10 --seeds 1
        tv eval --limit 5 --samples answers.jsonl --resume --csv
        tv eval --task country-capital --limit 5 --source ensemble -l 3 --json
    """
    work.evaluate.run(wanted, kept, chosen, source_model, plot, json=json, csv=csv)
