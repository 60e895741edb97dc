"""Renders a chat template in a separate process, since a template is a program from a model file.

Jinja's sandbox denies access to files and to Python's internals, but does not limit time and memory
(https://jinja.palletsprojects.com/sandbox/). This process limits both.
Run as ``python -I jinja_process.py``: standard input is the JSON of a template and of several sets of variables,
standard output that of an outcome for each.

What templates may use besides Jinja is what transformers gives them (``utils/chat_template_utils.py``): ``break`` and
``continue``, the tag ``generation``, ``raise_exception``, ``strftime_now`` and a ``tojson`` without escapes.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2.environment import Environment

SECONDS = 10
MEMORY = 1 << 30  # bytes of address space
LONGEST = 1 << 20  # characters
# Fixed, so that a prompt is the same every day; the date that Llama's templates name where there is no clock.
TODAY = datetime.datetime(2024, 7, 26)

Outcome = tuple[str, str]  # the text, or the reason why there is none


class TemplateError(Exception):
    """The reason why a template cannot be rendered at all."""


@cache
def rendered(template: str, variables: str) -> tuple[Outcome, ...]:
    """What a template makes of each of the `variables`, a JSON list of objects. Raises TemplateError."""
    command = [sys.executable, "-I", __file__]
    request = json.dumps([template, json.loads(variables)]).encode()
    try:
        ran = subprocess.run(command, input=request, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise TemplateError(f"it takes longer than {SECONDS} s") from error
    if ran.returncode != 0:
        words = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        raise TemplateError(words[-1] if words else "it needs too much time or memory")
    return tuple((text, reason) for text, reason in json.loads(ran.stdout))


def _environment() -> Environment:
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks the assistant's text for training; here only its content counts."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation]
    )
    environment.globals.update(raise_exception=_refuse, strftime_now=TODAY.strftime)
    environment.filters["tojson"] = _json
    return environment


def _outcome(environment: Environment, template: str, variables: dict[str, Any]) -> Outcome:
    try:
        text = environment.from_string(template).render(**variables)
    except MemoryError:
        return "", "it needs too much memory"
    except Exception as error:  # anything that a hostile template can raise
        return "", str(error).replace("\n", " ") or type(error).__name__
    if len(text) > LONGEST:
        return "", f"it renders to {len(text)} characters; the limit is {LONGEST}"
    return text, ""


def _json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


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
    environment = _environment()
    _bound()
    json.dump([_outcome(environment, template, each) for each in variables], sys.stdout)


if __name__ == "__main__":
    _main()
