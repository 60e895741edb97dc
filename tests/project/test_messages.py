"""Messages of the library name parameters as a Python caller does, and the command line writes them as its options."""

import ast
import re
from collections.abc import Iterator

import pytest
import typer
from modules import MODULES

from tvcli.cli import app
from tvcli.cli.output import PARAMETER, PARAMETERS

OPTION = r"(?<![\w-])--[a-z]"
ARGUMENTS = {"tvcli.paper.cost", "tvcli.engine.native.places"}  # of processes that they start or tell of: tv and pip
LIBRARY = sorted(name for name in MODULES if not name.startswith("tvcli.cli."))


def texts(module: str) -> Iterator[str]:
    """All texts of a module but its docstrings."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("module", sorted(set(LIBRARY) - ARGUMENTS))
def test_no_message_of_the_library_names_an_option(module: str) -> None:
    assert not [text for text in texts(module) if re.search(OPTION, text)]


def test_every_parameter_in_a_message_is_an_option_of_some_command() -> None:
    named = {word for module in LIBRARY for text in texts(module) for word in PARAMETER.findall(text)}
    assert named == set(PARAMETERS)
    command = typer.main.get_command(app)
    options: set[str] = set()
    waiting = [command]
    while waiting:
        one = waiting.pop()
        waiting += getattr(one, "commands", {}).values()
        options |= {option for parameter in one.params for option in parameter.opts}
    assert {f"--{name.replace('_', '-')}" for name in named} <= options
