"""``tv eval``: no context, prompt and patch on tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.errors import UsageError
from tvcli.output import out

if TYPE_CHECKING:
    from tvcli.engine.protocol import Engine
    from tvcli.experiments.setup import Setup
    from tvcli.loading import ModelChoice
    from tvcli.tasks import Task


@bundle(choice=options.model_choice)
def evaluate(
    choice: ModelChoice,
    task: options.Tasks = None,
    source: Annotated[
        Literal["text", "image", "instruction", "ensemble"], typer.Option(help="What the vectors are read from.")
    ] = "text",
    query: Annotated[
        Literal["text", "image"] | None, typer.Option(help="Queries; by default image where the model sees.")
    ] = None,
    pairs: Annotated[
        Literal["one", "all"], typer.Option(help="all: text and image examples × text and image.")
    ] = "one",
    method: Annotated[
        list[str] | None, typer.Option(help="'no context', prompt or patch; may be repeated, by default all.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Random choices of examples, between commas.")] = "1,2,3",
    shots: Annotated[int, typer.Option(min=2, help="Examples in a prompt.")] = 5,
    prompts: Annotated[
        int | None, typer.Option(min=1, help="Prompts averaged in a vector; by default one a validation sample.")
    ] = None,
    metric: Annotated[Literal["paper", "exact"], typer.Option(help="One new token, or the whole label.")] = "paper",
    layer: Annotated[int | None, typer.Option("--layer", "-l", min=0, help="Skip validation and patch here.")] = None,
    wording: Annotated[
        str, typer.Option(help="Another wording of the instruction: question, typo, paraphrase ...")
    ] = "",
    override: Annotated[
        bool, typer.Option("--override", help="The prompt asks the task that this one is against.")
    ] = False,
    chat: Annotated[bool, typer.Option("--chat", help="The model's chat template instead of Q and A.")] = False,
    limit: options.Limit = None,
    source_model: Annotated[str | None, typer.Option(help="Read the vectors in this model instead.")] = None,
    samples: Annotated[Path | None, typer.Option(help="Write every answer here, as JSON Lines.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a --samples file.")] = False,
    vectors: Annotated[Path | None, typer.Option(help="Folder to keep the vectors in.")] = None,
    plot: options.Plot = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
) -> None:
    """Measure no context, prompt and patch on tasks, the layer chosen on validation.

    Example: tv eval --task country-capital --samples answers.jsonl
    """
    from tvcli.cli import pictures
    from tvcli.experiments.run import Files, run
    from tvcli.loading import ModelChoice
    from tvcli.tasks import find_task, task_folders

    pictures.check(plot)
    if plot is not None and layer is not None:
        raise UsageError("--plot draws the accuracy over layers, which --layer skips")
    if resume and samples is None:
        raise UsageError("--resume needs the --samples file to go on with")
    chosen = [find_task(name) for name in task or map(str, task_folders("paper"))]
    other = None if source_model is None else ModelChoice(source_model, None, choice.settings)
    with choice.open() as loaded:
        setup = make_setup(
            loaded.engine,
            chosen,
            pairs=(source, query, pairs == "all"),
            override=override,
            chat=chat,
            methods=parse_methods(method),
            seeds=parse_seeds(seeds),
            shots=shots,
            prompts=prompts,
            metric=metric,
            layer=layer,
            limit=limit,
            wording=wording,
        )
        note_skipped(setup)
        result = run(loaded.engine, setup, source_model=other, files=Files(samples, resume, vectors), meter=out.meter)
    show_result(result, json=json, csv=csv)
    series = {f"{pair['source']} → {pair['query']}": pair["validation"] for pair in result["pairs"]}
    pictures.curves(plot, series, x="layer", y="validation accuracy", title="patched at one layer at a time")


def make_setup(
    engine: Engine, tasks: list[Task], *, pairs: tuple[str, str | None, bool], override: bool, chat: bool, **rest: Any
) -> Setup:
    """Fill in what depends on the model: the queries it can see, and its chat template."""
    from tvcli.chat import CHATML, Chat
    from tvcli.experiments.setup import ALL_PAIRS, Setup
    from tvcli.prompts import PAPER

    source, query, all_pairs = pairs
    one = (source, query or ("image" if engine.has_vision else "text"))
    if chat and not engine.chat_template:
        out.note(f"{engine.model.name} brings no chat template; using ChatML, llama.cpp's default")
    return Setup(
        tasks=tuple(tasks),
        pairs=ALL_PAIRS if all_pairs else (one,),
        form=Chat(engine.chat_template or CHATML) if chat else PAPER,
        against=_against(tasks) if override else {},
        **rest,
    )


def _against(tasks: list[Task]) -> dict[str, Task]:
    from tvcli.tasks import find_task

    for task in tasks:
        if not task.against:
            raise UsageError(f"task {task.name} names no task that it overrides (key against in its task.toml)")
    return {task.name: find_task(task.against) for task in tasks}


def parse_seeds(text: str) -> tuple[int, ...]:
    """``1,2,3`` to numbers."""
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--seeds must be numbers between commas, not {text!r}") from error
    return tuple(dict.fromkeys(seeds))


def parse_methods(given: list[str] | None) -> tuple[str, ...]:
    """The methods in the paper's order."""
    from tvcli.experiments.setup import METHODS

    unknown = set(given or ()) - set(METHODS)
    if unknown:
        raise UsageError(f"--method must be one of {', '.join(METHODS)}, not {min(unknown)!r}")
    return tuple(one for one in METHODS if not given or one in given)


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
