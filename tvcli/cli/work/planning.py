"""Options of an evaluation to its setup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from tvcli.cli.commands.options import EvaluationOptions
from tvcli.cli.output import out
from tvcli.errors import UsageError
from tvcli.evaluation.judging import arguments
from tvcli.evaluation.setup import ALL_TRANSFERS, Setup, Transfer
from tvcli.inputs.tasks import Task, find_task, task_folders
from tvcli.kinds import Method, Modality, Source
from tvcli.metrics import Judge
from tvcli.models.opening import Model
from tvcli.prompts.chat import Chat, chat_of


def planned(evaluation_options: EvaluationOptions, tasks: list[Task]) -> Callable[[Model], Setup]:
    """What to evaluate, apart from what depends on the model: the modality of the queries, and the chat template."""
    if evaluation_options.pairs == "all" and (evaluation_options.source or evaluation_options.query):
        raise UsageError("--pairs all evaluates every combination of text and image; remove --source and --query")
    fixed = Setup(
        tuple(tasks),
        methods=parse_methods(evaluation_options.method),
        seeds=parse_seeds(evaluation_options.seeds),
        shots=evaluation_options.shots,
        prompts=evaluation_options.prompts,
        judge=Judge(evaluation_options.metric, evaluation_options.ignore_case),
        layer=evaluation_options.layer,
        command=judge_command(evaluation_options.judge),
        limit=evaluation_options.limit,
        wording=evaluation_options.wording,
        against=_against(tasks) if evaluation_options.override else {},
    )

    def plan(model: Model) -> Setup:
        default_query = Modality.IMAGE if model.engine.has_vision else Modality.TEXT
        one = Transfer(evaluation_options.source or Source.TEXT, evaluation_options.query or default_query)
        transfers = ALL_TRANSFERS if evaluation_options.pairs == "all" else (one,)
        template = chat_template(model) if evaluation_options.chat else fixed.template
        return replace(fixed, transfers=transfers, template=template)

    return plan


def find_tasks(names: list[str] | None) -> list[Task]:
    """Tasks by name or folder; by default the paper's six."""
    return [find_task(name) for name in names or map(str, task_folders("paper"))]


def chat_template(model: Model) -> Chat:
    """The chat template for a model; a note says which, if it is not its own."""
    chat, which = chat_of(model.engine.chat_template, model.template)
    if model.engine.chat_template is None:
        out.note(f"chat template of {model.engine.model.name}: {which}")
    return chat


def _against(tasks: list[Task]) -> dict[str, Task]:
    competing = [task for task in tasks if not task.has_own_instructions]
    for task in competing:
        if not task.against:
            raise UsageError(
                f"task {task.name} does not name the task that it overrides (key against in its task.toml)"
            )
    return {task.name: find_task(task.against) for task in competing}


def judge_command(given: str | None) -> str:
    """The command that judges answers, checked before a model is loaded; empty for none."""
    if given is not None:
        arguments(given)
    return given or ""


def parse_seeds(text: str) -> tuple[int, ...]:
    """``1,2,3`` to numbers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"-?[0-9]{1,18}", part) for part in parts):  # int() would also take 1_0
        raise UsageError(f"--seeds must be comma-separated integers, not {text!r}")
    return tuple(dict.fromkeys(map(int, parts)))


def parse_methods(given: list[str] | None) -> tuple[Method, ...]:
    """The methods in the paper's order."""
    unknown = set(given or ()) - set(Method)
    if unknown:
        raise UsageError(f"--method must be one of {', '.join(Method)}, not {min(unknown)!r}")
    return tuple(one for one in Method if not given or one in given)
