"""The paper's results by their numbers in the ICML 2025 version."""

from __future__ import annotations

from collections.abc import Sequence

from tvcli.errors import UsageError
from tvcli.paper import evolution, figures, tables  # noqa: F401 - each registers its items
from tvcli.paper.registry import REGISTERED, Item

OF_LLM = ("table3", "figure5")  # these also use the model's own language model


def _place(name: str) -> tuple[bool, int]:
    """Tables before figures, each by number."""
    return name.startswith("figure"), int(name.removeprefix("table").removeprefix("figure"))


ITEMS: dict[str, Item] = {name: REGISTERED[name] for name in sorted(REGISTERED, key=_place)}


def find_items(names: Sequence[str]) -> list[str]:
    """Names of tables and figures; ``all`` is every one.

    Raises:
        UsageError: an unknown name.
    """
    if list(names) == ["all"]:
        return list(ITEMS)
    for name in names:
        if name not in ITEMS:
            raise UsageError(f"unknown item {name!r}; the items are {', '.join(ITEMS)}, or all")
    return list(names)
