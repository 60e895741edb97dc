"""Renders a chat template in a process of its own, since a template is a program that comes with a model file.

Jinja's sandbox keeps it from files and from Python's insides, but not from looping for ever or filling the
memory (https://jinja.palletsprojects.com/sandbox/): time and memory are this process's, and are bounded.
Run as ``python -I template.py``: standard input is the JSON of template and variables, standard output the text.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from functools import cache
from typing import Any

SECONDS = 10
MEMORY = 1 << 30  # bytes of address space
LONGEST = 1 << 20  # characters


class TemplateError(Exception):
    """Why a template gives no text."""


@cache
def rendered(template: str, variables: str) -> str:
    """The text that a template makes of `variables`, a JSON object. Raises TemplateError."""
    command = [sys.executable, "-I", __file__]
    request = json.dumps([template, json.loads(variables)]).encode()
    try:
        ran = subprocess.run(command, input=request, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise TemplateError(f"it is not done after {SECONDS} s") from error
    if ran.returncode != 0:
        words = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        raise TemplateError(words[-1] if words else "it needs too much time or memory")
    return ran.stdout.decode("utf-8", "surrogatepass")


def _render(template: str, variables: dict[str, Any]) -> str:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    text = environment.from_string(template).render(**variables)
    if len(text) > LONGEST:
        raise ValueError(f"it makes a text of {len(text)} characters")
    return text


def _refuse(message: str) -> None:
    raise ValueError(message)


def _bound() -> None:
    """Limits that the operating system knows; elsewhere the parent's clock has to do."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _main() -> None:
    template, variables = json.loads(sys.stdin.buffer.read())
    _bound()
    try:
        text = _render(template, variables)
    except MemoryError:
        sys.exit("it needs too much memory")
    except Exception as error:  # whatever a hostile program can raise
        sys.exit(str(error).replace("\n", " ") or type(error).__name__)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogatepass"))


if __name__ == "__main__":
    _main()
