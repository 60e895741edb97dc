"""C declarations to ctypes: each function and structure of `abi.h` is written once, as C.

Only the C types that `abi.h` needs are supported. A pointer to text is `bytes` or `None`, any other pointer an address.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

_TYPES: dict[str, Any] = {
    "void": None,
    "bool": ctypes.c_bool,
    "int": ctypes.c_int,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "size_t": ctypes.c_size_t,
    "float": ctypes.c_float,
}
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DEFINE = re.compile(r"^#define (\w+) (\d+)$", re.MULTILINE)
_CONDITION = re.compile(r"^#ifdef (\w+)\n(.*?)^#endif\n", re.MULTILINE | re.DOTALL)
_STRUCT = re.compile(r"struct (\w+) \{(.*)\}", re.DOTALL)
_CALLBACK = re.compile(r"typedef (.+?)\(\*(\w+)\)\((.*)\)", re.DOTALL)
_ALIAS = re.compile(r"typedef (.+?)(\w+)")
_FUNCTION = re.compile(r"(.+?)(\w+)\((.*)\)", re.DOTALL)
_VARIABLE = re.compile(r"(.+?)(\w+)(?:\[(\w+)(?: / sizeof\((\w+)\))?\])?")


@dataclass(frozen=True)
class Prototype:
    """A function's result type and argument types."""

    result: Any
    arguments: tuple[Any, ...]


@dataclass
class Declarations:
    """What a header declares: types by name (including structures and callbacks), and functions."""

    types: dict[str, Any] = field(default_factory=lambda: dict(_TYPES))
    functions: dict[str, Prototype] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)


def declarations(header: str, defines: Collection[str] = ()) -> Declarations:
    """Read a header; the lines under ``#ifdef NAME`` are left out unless `defines` has the name.

    Raises:
        ValueError: a declaration that cannot be understood.
    """
    text = _CONDITION.sub(lambda found: found[2] if found[1] in defines else "", _COMMENT.sub("", header))
    found = Declarations(constants={name: int(value) for name, value in _DEFINE.findall(text)})
    for statement in _statements(_DEFINE.sub("", text)):
        _declare(found, statement)
    return found


def _statements(text: str) -> Iterator[str]:
    """Statements end at a semicolon outside braces."""
    for found in re.finditer(r"[^;{}]*(?:\{[^}]*\})?\s*;", text):
        yield " ".join(found[0].rstrip("; \n").split())


def _declare(found: Declarations, statement: str) -> None:
    if struct := _STRUCT.fullmatch(statement):
        fields = [_field(found, member) for member in struct[2].split(";") if member.strip()]
        found.types[struct[1]] = type(struct[1], (ctypes.Structure,), {"_fields_": fields})
    elif callback := _CALLBACK.fullmatch(statement):
        found.types[callback[2]] = ctypes.CFUNCTYPE(_type(found, callback[1]), *_arguments(found, callback[3]))
    elif alias := _ALIAS.fullmatch(statement):
        if alias[1].split()[-1] != alias[2]:  # else it only permits leaving out the word struct
            found.types[alias[2]] = _type(found, alias[1])
    elif function := _FUNCTION.fullmatch(statement):
        found.functions[function[2]] = Prototype(_type(found, function[1]), _arguments(found, function[3]))
    else:
        raise ValueError(f"this declaration is not understood: {statement}")


def _field(found: Declarations, member: str) -> tuple[str, Any]:
    variable = _VARIABLE.fullmatch(member.strip())
    if variable is None:
        raise ValueError(f"this member is not understood: {member}")
    kind, name, length, unit = _type(found, variable[1]), variable[2], variable[3], variable[4]
    if length is None:
        return name, kind
    return name, kind * (found.constants[length] // (1 if unit is None else ctypes.sizeof(_type(found, unit))))


def _arguments(found: Declarations, text: str) -> tuple[Any, ...]:
    if text.strip() == "void":
        return ()
    return tuple(_field(found, argument)[1] for argument in text.split(","))


def _type(found: Declarations, text: str) -> Any:
    words = [word for word in text.replace("*", " * ").split() if word not in ("const", "struct")]
    if "*" in words:
        return ctypes.c_char_p if words == ["char", "*"] else ctypes.c_void_p
    if words[0] == "enum":
        return ctypes.c_int
    if len(words) != 1 or words[0] not in found.types:
        raise ValueError(f"this type is not declared: {text}")
    return found.types[words[0]]
