"""TOML and JSON as frozen dataclasses, checked by the types of their fields: how tv reads both formats.

Text is converted to a path or an enum's member, a list to a tuple, an integer to a float, and nothing else: no bool to
an int, no 3.0 to 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from inspect import signature
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

T = TypeVar("T")
MOST = 200  # characters of a value that a message quotes


class SchemaError(ValueError):
    """Invalid data; the message is a sentence that names the key."""


def build(kind: Callable[..., T], table: object, where: str = "", /, *, lenient: bool = False, **preset: Any) -> T:
    """The dataclass or TypedDict from the table called `where`; `preset` are fields that the table must not have.

    Raises:
        SchemaError: a key that is missing, wrong or, unless `lenient`, unknown.
    """
    if not isinstance(table, dict):
        raise SchemaError(f"{where or 'the data'} must be a table, not {shown(table)}")
    fields, inside = _fields(kind), f" in the table {where}" if where else ""
    values = dict(preset)
    for key, value in table.items():
        if key in fields and key not in preset:
            try:
                values[key] = _value(value, fields[key], f"{where}.{key}" if where else key, lenient)
            except SchemaError:  # from a nested table
                raise
            except (TypeError, ValueError, OverflowError) as error:
                raise SchemaError(f"the key {key}{inside} cannot be {shown(value)}") from error
        elif not lenient:
            raise SchemaError(f"unknown key {key if key.isprintable() else shown(key)}{inside}")
    for key in _required(kind):
        if key not in values:
            raise SchemaError(f"the key {key} is missing{inside}")
    return kind(**values)


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, ...]]:
    """The permitted types of each field."""
    return {name: _kinds(hint) for name, hint in get_type_hints(kind).items()}


@cache
def _required(kind: Any) -> list[str]:
    if is_typeddict(kind):
        return sorted(kind.__required_keys__)
    return [name for name, parameter in signature(kind).parameters.items() if parameter.default is parameter.empty]


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def _value(value: object, kinds: tuple[Any, ...], where: str, lenient: bool) -> object:
    """The value as one of `kinds`. Raises TypeError, ValueError or OverflowError if it is none of them."""
    if type(value) in kinds or Any in kinds:
        return value
    for kind in kinds:
        origin, inner = get_origin(kind), get_args(kind)
        if is_dataclass(kind) or is_typeddict(kind):
            return build(kind, value, where, lenient=lenient)
        if origin in (tuple, Sequence) and isinstance(value, list):
            return tuple(_value(item, _kinds(inner[0]), where, lenient) for item in value)
        if origin is Mapping and isinstance(value, dict):
            return {key: _value(item, _kinds(inner[1]), where, lenient) for key, item in value.items()}
        source = int if kind is float else str
        if type(value) is source and issubclass(origin or kind, float | Path | Enum):
            return kind(value)
    raise TypeError


def shown(value: object) -> str:
    """The value as Python code, shortened if it is long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested deeply, or a number of too many digits
        return f"this {type(value).__name__}"
    return text if len(text) <= MOST else f"{text[:MOST]}…"
