"""The paper's results by their numbers in the ICML 2025 version, and tv's own experiments in their manner."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tvcli.errors import UsageError
from tvcli.paper import cost_table, evolution, figures, from_llm, questions, tables  # noqa: F401 - each registers its items
from tvcli.paper.registry import REGISTERED, Item

OF_LLM = ("table3", "figure5")  # these also use the model's own language model
OF_JUDGE = ("table5", "after-table5")  # in these a command may judge the answers
OF_QUESTIONS = ("table4", "table5", "figure7")  # these use the tasks that ``tv tasks import`` makes; no others do
ALIASES = {"table11": "table3"}  # the rows of single tasks are a table of their own in the paper
NAME = re.compile(r"(after-)?(table|figure)([0-9]+)")


def _place(name: str) -> tuple[bool, int, bool]:
    """Tables before figures, each by number; what comes after a result of the paper stands behind it."""
    parts = NAME.fullmatch(name)
    if parts is None:
        raise ValueError(f"an item cannot be called {name!r}")
    after, kind, number = parts.groups()
    return kind == "figure", int(number), after is not None


ITEMS: dict[str, Item] = {name: REGISTERED[name] for name in sorted(REGISTERED, key=_place)}


def find_items(names: Sequence[str]) -> list[str]:
    """Names of tables and figures; ``all`` is every one.

    Raises:
        UsageError: an unknown name.
    """
    if list(names) == ["all"]:
        return list(ITEMS)
    names = [ALIASES.get(name, name) for name in names]
    for name in names:
        if name not in ITEMS:
            raise UsageError(f"unknown item {name!r}; the items are {', '.join(ITEMS)}, or all")
    return list(names)
