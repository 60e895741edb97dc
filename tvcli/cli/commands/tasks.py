"""``tv tasks``: list, show, check, fetch and import tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import completion, options, vqa
from tvcli.cli.commands.strict import StrictCommand

app = typer.Typer(help="List, show and check tasks.", no_args_is_help=True)
app.add_typer(vqa.app, name="import")


@app.command("list", cls=StrictCommand)
def list_tasks(json: options.Json = False) -> None:
    """List the shipped tasks.

    Examples:
        tv tasks list
        tv tasks list --json
    """
    work.tasks.list_all(json=json)


@app.command(cls=StrictCommand)
def show(
    name: Annotated[str, typer.Argument(autocompletion=completion.tasks, help="A task or folder.")],
    json: options.Json = False,
) -> None:
    """Show a task's samples.

    Examples:
        tv tasks show country-capital
        tv tasks show my-task --json
    """
    work.tasks.show(name, json=json)


@app.command(cls=StrictCommand)
def check(folder: Annotated[Path, typer.Argument(help="A task folder.")]) -> None:
    """Check a task folder of your own: its files, keys, splits, images and answers.

    Errors: an input or image that occurs twice, an image that cannot be read.
    Warnings: too few validation samples for a prompt, answers that echo
    their input, one letter that would be right for a quarter of the test split.

    Examples:
        tv tasks check my-task
    """
    work.tasks.check(folder)


@app.command(cls=StrictCommand)
def pull(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the task folders.")] = Path("paper-tasks"),
    annotations: Annotated[
        Path | None, typer.Option(help="The archive of annotations, if you already have it.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The archive of images, if you already have it.")] = None,
) -> None:
    """Fetch the paper's own annotations and images, and make task folders from them.

    Examples:
        tv tasks pull -o paper-tasks
    """
    work.paper_data.run(output, annotations, images)
