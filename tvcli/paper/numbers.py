"""The paper's own numbers (`numbers.toml`)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tvcli.files import parse_toml

FILE = Path(__file__).with_name("numbers.toml")


@functools.cache
def paper_numbers() -> Mapping[str, Any]:
    """The numbers by table."""
    return parse_toml(FILE)


def averages(table: str) -> Mapping[str, Mapping[str, float]]:
    """A table's averages over the six tasks, by model and column."""
    found: Mapping[str, Mapping[str, float]] = paper_numbers()[table]["average"]
    return found
