"""``tv tasks``: what there is to evaluate on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tvcli.cli import completion, options
from tvcli.cli.output import out
from tvcli.errors import TvError

app = typer.Typer(help="List, show and check tasks.", no_args_is_help=True)


@app.command("list")
def list_tasks(json: options.Json = False) -> None:
    """List the shipped tasks.

    Examples:
        tv tasks list
        tv tasks list --json
    """
    from tvcli.inputs.tasks import load_task, task_folders

    tasks = [load_task(folder) for folder in task_folders()]
    if json:
        for task in tasks:
            out.record({"name": task.name, "group": task.group, "description": task.description})
        return
    rows = [[t.name, t.group, str(len(t.validation)), str(len(t.test)), t.description] for t in tasks]
    out.table("", ["task", "group", "validation", "test", "what"], rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(autocompletion=completion.tasks, help="A task or folder.")],
    json: options.Json = False,
) -> None:
    """Show a task's samples.

    Examples:
        tv tasks show country-capital
        tv tasks show my-task --json
    """
    from tvcli.inputs.tasks import find_task

    task = find_task(name)
    if not json:
        out.note(f"{task.name}: {task.description}\ninstruction: {task.instruction}\npictures: {task.images}")
    for split, samples in (("validation", task.validation), ("test", task.test)):
        for sample in samples:
            image = "" if sample.image is None else str(sample.image)
            if json:
                out.record({"split": split, "input": sample.input, "output": list(sample.outputs), "image": image})
            else:
                out.line(split, sample.input, " | ".join(sample.outputs), image)


@app.command()
def check(folder: Annotated[Path, typer.Argument(help="A task folder.")]) -> None:
    """Check a task folder of your own: its files, keys, splits, pictures and answers.

    Errors: an input or a picture that is there twice, or cannot be read.
    Warnings: too few validation samples for a prompt, answers that echo
    their input, one letter that would be right for a quarter of the test.

    Examples:
        tv tasks check my-task
    """
    from tvcli.evaluation.task_checks import errors, warnings
    from tvcli.inputs.tasks import load_task

    task = load_task(folder)
    for warning in warnings(task):
        out.warn(warning)
    found = errors(task)
    for problem in found:
        out.line(problem)
    if found:
        raise TvError(f"{len(found)} problems in {folder}")
    pictures = sum(sample.image is not None for sample in (*task.validation, *task.test))
    out.note(f"{task.name} is fine: {len(task.validation)} validation, {len(task.test)} test, {pictures} pictures")


@app.command()
def pull(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the task folders.")] = Path("paper-tasks"),
    annotations: Annotated[Path | None, typer.Option(help="The archive, if you have it already.")] = None,
    images: Annotated[Path | None, typer.Option(help="The archive, if you have it already.")] = None,
) -> None:
    """Fetch the paper's own annotations and pictures, and make task folders of them.

    Examples:
        tv tasks pull -o paper-tasks
    """
    from tvcli.errors import UsageError
    from tvcli.inputs.paper_data import convert, fetch, mark_as_papers

    if (annotations is None) != (images is None):
        raise UsageError("--annotations and --images go together")
    archives = (annotations, images) if annotations is not None and images is not None else fetch(out.meter)
    names = convert(*archives, output)
    if annotations is None:
        for name in names:
            mark_as_papers(output / name)
    else:
        out.note("whether the archives are the paper's is not known, so tables will call them other data")
    out.note(f"wrote {', '.join(names)} to {output}; use them as --task {output / names[0]}")
