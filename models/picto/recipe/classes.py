"""The things that picto can name: `classes.tsv`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Class:
    """One name, and which drawings show it."""

    group: str  # flag, animal, food, plant or object
    name: str
    drawings: tuple[str, ...]  # code points of emoji in hexadecimal, or the one ISO 3166-1 code of a flag


def read_classes() -> list[Class]:
    return [Class(group, name, tuple(drawings.split())) for group, name, drawings in rows("classes.tsv")]


def read_icons(file: str) -> dict[str, list[str]]:
    """The icons of each class, by name of the class."""
    return {name: icons.split() for name, icons in rows(file)}


def rows(file: str) -> list[list[str]]:
    lines = (HERE / file).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]
