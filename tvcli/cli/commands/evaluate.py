"""``tv eval``: no context, prompt and patch on tasks."""

from __future__ import annotations

from typing import Annotated

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import EvaluationOptions, FileOptions, ModelOptions


@command(
    evaluation_options=EvaluationOptions, file_options=FileOptions, model_options=ModelOptions, quiet=True, verbose=True
)
def evaluate(
    evaluation_options: EvaluationOptions,
    file_options: FileOptions,
    model_options: ModelOptions,
    source_model: Annotated[str | None, options.other_model(help="Read the vectors with this model instead.")] = None,
    plot: options.Plot = None,
    json: Annotated[bool, options.about_output("--json", help="One JSON object.")] = False,
    csv: Annotated[bool, options.about_output("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Measure no context, prompt and patch on tasks; the layer is chosen on validation.

    Without --task, the paper's six tasks on tv's own data. The majority column
    is the accuracy of a constant answer; intervals are 95 %, by bootstrap over
    queries.

    Examples:
        tv eval --task country-capital --limit 10 --seeds 1
        tv eval --limit 5 --samples answers.jsonl --resume --csv
        tv eval --task country-capital --limit 5 --source ensemble -l 3 --json
    """
    work.evaluate.run(evaluation_options, file_options, model_options, source_model, plot, json=json, csv=csv)
