"""Options that belong together, declared once and handed to commands as one value."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, get_type_hints

Maker = Callable[..., Any]


def bundle(**makers: Maker) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace an argument of a command by the options that make it.

    >>> @bundle(choice=model_choice)          # model_choice(model: Model = None, threads: Threads = None)
    ... def show(vector: str, request: ModelRequest) -> None: ...

    The command then has a vector, --model and --threads, and gets what `model_choice` makes of the two.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in _parameters(command, leave_out=set(makers)) if p.name not in makers]
        given = {name: _parameters(maker) for name, maker in makers.items()}

        @functools.wraps(command)
        def run(**values: Any) -> None:
            made = {
                name: makers[name](**{p.name: values.pop(p.name) for p in parameters})
                for name, parameters in given.items()
            }
            command(**values, **made)

        # Typer reads these two
        everything = [*own, *(p for parameters in given.values() for p in parameters)]
        run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in everything}
        return run

    return decorate


def _parameters(function: Callable[..., Any], leave_out: set[str] | None = None) -> list[inspect.Parameter]:
    """Keyword parameters with their annotations evaluated; those of what is left out need not be importable."""
    wanted = {k: v for k, v in function.__annotations__.items() if k not in (leave_out or set()) and k != "return"}
    holder = types.SimpleNamespace(__annotations__=wanted)
    hints = get_type_hints(holder, globalns=function.__globals__, include_extras=True)
    return [
        p.replace(annotation=hints.get(p.name, p.annotation), kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(function).parameters.values()
    ]
