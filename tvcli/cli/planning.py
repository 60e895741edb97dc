"""Options of an evaluation to its setup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tvcli.cli import options
from tvcli.cli.output import out
from tvcli.errors import UsageError
from tvcli.metrics import Judge, Metric

if TYPE_CHECKING:
    from tvcli.engine.protocol import Engine
    from tvcli.evaluation.setup import Setup
    from tvcli.inputs.tasks import Task

Planned = Callable[["Engine"], "Setup"]


def planned(
    task: options.Tasks = None,
    source: Annotated[
        Literal["text", "image", "instruction", "ensemble"] | None,
        typer.Option(help="What the vectors are read from; by default text."),
    ] = None,
    query: Annotated[
        Literal["text", "image"] | None, typer.Option(help="Queries; by default image where the model sees.")
    ] = None,
    pairs: Annotated[
        Literal["one", "all"], typer.Option(help="all: text and image examples × text and image.")
    ] = "one",
    method: Annotated[
        list[str] | None, typer.Option(help="'no context', prompt or patch; may be repeated, by default all.")
    ] = None,
    seeds: options.Seeds = "1,2,3",
    shots: Annotated[int, typer.Option(min=2, help="Examples in a prompt.")] = 5,
    prompts: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Prompts in a vector; by default one a validation sample."),
    ] = None,
    metric: Annotated[Metric, typer.Option(help="One new token, or the whole label.")] = Metric.PAPER,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", help="Compare without regard to letter case, as in the paper's figure 6.")
    ] = False,
    layer: Annotated[int | None, options.one_layer(min=0, help="Skip validation and patch here.")] = None,
    wording: Annotated[
        str, typer.Option(help="Another wording of the instruction: question, typo, paraphrase ...")
    ] = "",
    override: Annotated[
        bool, typer.Option("--override", help="The prompt asks the task that this one is against.")
    ] = False,
    chat: Annotated[bool, typer.Option("--chat", help="The model's chat template instead of Q and A.")] = False,
    limit: options.Limit = None,
) -> Planned:
    """What to evaluate, apart from what depends on the model: the queries it can see, and its chat template."""
    from tvcli.evaluation.setup import ALL_TRANSFERS, Setup

    if pairs == "all" and (source or query):
        raise UsageError("--pairs all is every pair of text and image; leave out --source and --query")
    tasks = find_tasks(task)
    fixed = Setup(
        tuple(tasks),
        methods=parse_methods(method),
        seeds=parse_seeds(seeds),
        shots=shots,
        prompts=prompts,
        judge=Judge(metric, ignore_case),
        layer=layer,
        limit=limit,
        wording=wording,
        against=_against(tasks) if override else {},
    )

    def plan(engine: Engine) -> Setup:
        one = (source or "text", query or ("image" if engine.has_vision else "text"))
        return replace(
            fixed, pairs=ALL_TRANSFERS if pairs == "all" else (one,), template=_chat(engine) if chat else fixed.template
        )

    return plan


def find_tasks(names: list[str] | None) -> list[Task]:
    """Tasks by name or folder; by default the paper's six."""
    from tvcli.inputs.tasks import find_task, task_folders

    return [find_task(name) for name in names or map(str, task_folders("paper"))]


def _chat(engine: Engine) -> Any:
    from tvcli.prompts.chat import CHATML, Chat

    if not engine.chat_template:
        out.note(f"{engine.model.name} brings no chat template; using ChatML, llama.cpp's default")
    return Chat(engine.chat_template or CHATML)


def _against(tasks: list[Task]) -> dict[str, Task]:
    from tvcli.inputs.tasks import find_task

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
    from tvcli.evaluation.setup import METHODS

    unknown = set(given or ()) - set(METHODS)
    if unknown:
        raise UsageError(f"--method must be one of {', '.join(METHODS)}, not {min(unknown)!r}")
    return tuple(one for one in METHODS if not given or one in given)
