"""``tv eval``: no context, prompt and patch on tasks."""

from __future__ import annotations

from typing import Annotated

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import EvaluationOptions, FileOptions, ImageModelOptions
from tvcli.cli.commands.strict import Idle, Values, idle_with
from tvcli.kinds import Method, Modality, Source


def _methods(values: Values) -> set[str]:
    return set(values["method"] or Method)


def _no_patch(values: Values) -> bool:
    return Method.PATCH not in _methods(values)


def _no_vectors(values: Values) -> bool:
    return _no_patch(values) and values["vectors"] is None


def _query_alone(values: Values) -> bool:
    return _methods(values) == {Method.NO_CONTEXT} and values["vectors"] is None


def _by_instruction(values: Values) -> bool:
    return bool(values["source"] == Source.INSTRUCTION)


def _says_nothing(values: Values) -> bool:
    return values["source"] not in (Source.INSTRUCTION, Source.ENSEMBLE)


def _no_images(values: Values) -> bool:
    texts = values["query"] == Modality.TEXT and values["source"] != Source.IMAGE
    return bool(texts and values["pairs"] != "all")


IDLE = [
    Idle("picture", "where neither examples nor queries are images", _no_images),
    *(Idle(option, "with --source instruction", _by_instruction) for option in ("seeds", "shots", "prompts")),
    *(
        Idle(option, "where only 'no context' is measured", _query_alone)
        for option in ("source", "seeds", "shots", "wording")
    ),
    *(Idle(option, "without the method patch, or --vectors", _no_vectors) for option in ("prompts", "source_model")),
    *idle_with("judge", "metric", "ignore_case"),
    Idle("layer", "without the method patch", _no_patch),
    Idle("wording", "without --source instruction or ensemble", _says_nothing),
    *idle_with("json", "csv"),
]


@command(
    evaluation_options=EvaluationOptions,
    file_options=FileOptions,
    model_options=ImageModelOptions,
    quiet=True,
    verbose=True,
    idle=IDLE,
)
def evaluate(
    evaluation_options: EvaluationOptions,
    file_options: FileOptions,
    model_options: ImageModelOptions,
    source_model: Annotated[str | None, options.other_model(help="Read the vectors with this model instead.")] = None,
    plot: options.Plot = None,
    json: Annotated[bool, options.about_output("--json", help="One JSON object.")] = False,
    csv: Annotated[bool, options.about_output("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Measure no context, prompt and patch on tasks; the layer is chosen on validation.

    Without --task, the paper's six tasks on tv's own data. The majority column
    is the accuracy of a constant answer; intervals are 95 %, by bootstrap over
    queries.

    --judge starts the command once, without a shell. A line that it reads has
    id, answer, follow (what is asked for), labels, and with --override also
    overridden; it answers with {"id": 0, "correct": true, "against": false}.
    Without --layer, it also judges the answers at every layer on validation.

    Examples:
        tv eval --task country-capital --limit 10 --seeds 1
        tv eval --limit 5 --samples answers.jsonl --resume --csv
        tv eval --task country-capital --limit 5 --source ensemble -l 3 --json
    """
    work.evaluate.run(evaluation_options, file_options, model_options, source_model, plot, json=json, csv=csv)
