"""Renders a chat template in a separate process, since a template is a program from a model file.

Jinja's sandbox denies access to files and to Python's internals, but does not limit time and memory
(https://jinja.palletsprojects.com/sandbox/). This process limits both.
Run as ``python -I jinja_process.py``: standard input is the JSON of template and variables, standard output the text.
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
    """The reason why a template cannot be rendered."""


@cache
def rendered(template: str, variables: str) -> str:
    """The text that a template makes of `variables`, a JSON object. Raises TemplateError."""
    command = [sys.executable, "-I", __file__]
    request = json.dumps([template, json.loads(variables)]).encode()
    try:
        ran = subprocess.run(command, input=request, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise TemplateError(f"it takes longer than {SECONDS} s") from error
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
        raise ValueError(f"it renders to {len(text)} characters; the limit is {LONGEST}")
    return text


def _refuse(message: str) -> None:
    raise ValueError(message)


def _bound() -> None:
    """Limit time and memory, if the operating system supports it; elsewhere only the parent's timeout applies."""
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
    except Exception as error:  # anything that a hostile template can raise
        sys.exit(str(error).replace("\n", " ") or type(error).__name__)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogatepass"))


if __name__ == "__main__":
    _main()
