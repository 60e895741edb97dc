"""``tv tasks``: list, show, check and fetch tasks."""

from __future__ import annotations

from pathlib import Path

from tvcli.cli.output import out
from tvcli.errors import TvError
from tvcli.evaluation.task_checks import errors, warnings
from tvcli.inputs.tasks import find_task, load_task, task_folders


def list_all(*, json: bool) -> None:
    tasks = [load_task(folder) for folder in task_folders()]
    if json:
        for task in tasks:
            out.record({"name": task.name, "group": task.group, "description": task.description})
        return
    rows = [[t.name, t.group, str(len(t.validation)), str(len(t.test)), t.description] for t in tasks]
    out.table("", ["task", "group", "validation", "test", "description"], rows)


def show(name: str, *, json: bool) -> None:
    task = find_task(name)
    if not json:
        out.note(f"{task.name}: {task.description}\ninstruction: {task.instruction}\nimages: {task.images}")
    for split, samples in (("validation", task.validation), ("test", task.test)):
        for sample in samples:
            image = "" if sample.image is None else str(sample.image)
            asked = {"question": sample.question, "instruction": sample.instruction, "against": list(sample.against)}
            more = {key: value for key, value in asked.items() if value}
            if json:
                outputs = list(sample.outputs)
                out.record({"split": split, "input": sample.input, "output": outputs, "image": image, **more})
            else:
                shown = [value if isinstance(value, str) else " | ".join(value) for value in more.values()]
                out.line(split, sample.input, " | ".join(sample.outputs), image, *shown)


def check(folder: Path) -> None:
    task = load_task(folder)
    for warning in warnings(task):
        out.warn(warning)
    found = errors(task)
    for problem in found:
        out.line(problem)
    if found:
        raise TvError(f"{len(found)} problems in {folder}")
    images = sum(sample.image is not None for sample in (*task.validation, *task.test))
    out.note(
        f"{task.name} has no errors: {len(task.validation)} validation samples, {len(task.test)} test samples, "
        f"{images} images"
    )
