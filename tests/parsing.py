"""A line of the command line, parsed and not run."""

from __future__ import annotations

import shlex
from typing import Any

import typer

from tvcli.cli import app, spread


def parse(line: str) -> list[str]:
    """The words after the command's name. Raises a typer exception unless the command takes them."""
    command: Any = typer.main.get_command(app)
    words = spread(shlex.split(line)[1:])
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(line, list(words))
    return words
