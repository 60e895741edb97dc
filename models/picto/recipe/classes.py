"""The things that picto knows by name: `classes.tsv`."""

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
    lines = (HERE / "classes.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [Class(group, name, tuple(drawings.split())) for group, name, drawings in rows]
