"""Commands that refuse options that are empty, given twice or without effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand

from tvcli.errors import UsageError

MAY_BE_EMPTY = frozenset({"system"})  # empty by default
Values = Mapping[str, Any]  # of all options and arguments, by parameter


@dataclass(frozen=True)
class Idle:
    """An option that does nothing if `so`; `when` is the end of the message: "without --examples"."""

    option: str
    when: str
    so: Callable[[Values], bool]


def idle_without(needed: Iterable[str], *options: str) -> list[Idle]:
    """Options that do nothing unless one of the `needed` is given."""
    names = tuple(needed)
    words = f"without {' or '.join(map(_spelled, names))}"
    return [Idle(option, words, lambda values: not any(values[name] for name in names)) for option in options]


def idle_with(other: str, *options: str) -> list[Idle]:
    """Options that do nothing beside another."""
    return [Idle(option, f"with {_spelled(other)}", lambda values: bool(values[other])) for option in options]


class StrictCommand(TyperCommand):
    """Its function can have an attribute `idle`: the options that do nothing beside others."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Raises UsageError, in addition to what Typer does."""
        if ctx.resilient_parsing:  # completion
            return super().parse_args(ctx, args)
        raw, _, order = self.make_parser(ctx).parse_args(list(args))
        _refuse_empty(order, raw)
        _refuse_twice(order)
        rest = super().parse_args(ctx, args)
        given = {parameter.name for parameter in order if raw.get(parameter.name) is not None}
        for idle in getattr(self.callback, "idle", ()):
            if idle.option in given and idle.so(ctx.params):
                raise UsageError(f"{_spelled(idle.option)} does nothing {idle.when}")
        return rest


def _refuse_empty(order: Iterable[Any], raw: Mapping[str, Any]) -> None:
    for parameter in order:
        value = raw.get(parameter.name)
        if parameter.name not in MAY_BE_EMPTY and (value == "" or (isinstance(value, (list, tuple)) and "" in value)):
            raise UsageError(f"{_name(parameter)} is empty")


def _refuse_twice(order: Iterable[Any]) -> None:
    for parameter, times in Counter(order).items():
        if times > 1 and not parameter.multiple and not parameter.is_flag:
            raise UsageError(f"{_name(parameter)} is given {times} times; it takes one value")


def _name(parameter: Any) -> str:
    """The long name of the option, or the name of the argument in the help."""
    options = [name for name in parameter.opts if name.startswith("-")]
    return max(options, key=len) if options else str(parameter.name).upper()


def _spelled(option: str) -> str:
    return f"--{option.replace('_', '-')}"
