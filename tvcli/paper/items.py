"""The paper's results by their numbers in the ICML 2025 version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvcli.errors import UsageError
from tvcli.paper import figures, tables
from tvcli.paper.study import Study, Table


@dataclass(frozen=True)
class Item:
    """One of the paper's results."""

    title: str
    needs: str
    make: Callable[[Study], Table]


ITEMS: dict[str, Item] = {
    "table2": Item("no context, prompt and patch on image queries", "six tasks, three seeds", tables.table2),
    "table3": Item("vectors from the language model, patched into the VLM", "the VLM's language model", tables.table3),
    "table4": Item("visual questions as instruction vectors", "question sets", tables.table4),
    "table5": Item("overriding the prompt's task, against a system prompt", "pairs of tasks", tables.table5),
    "table6": Item("tokens that vectors decode to", "six tasks", figures.table6),
    "table7": Item("cost of a prompt with 30 examples against a patch", "one query", tables.table7),
    "table9": Item(
        "noisy instructions: typos, paraphrases, distractors", "wordings of each instruction", tables.table9
    ),
    "table10": Item("the chat template instead of Q and A", "six tasks, three seeds", tables.table10),
    "table12": Item("all pairs of modalities", "a model that sees", tables.table12),
    "figure2": Item("map of task vectors and context tokens", "six tasks", figures.figure2),
    "figure4": Item("examples of the three methods", "six tasks", figures.figure4),
    "figure5": Item("similarity of text and image, LLM and VLM vectors", "six tasks", figures.figure5),
    "figure6": Item(
        "5 to 30 examples, with and without the instruction vector", "six tasks, three seeds", tables.figure6
    ),
    "figure8": Item("evolution of the delimiter: input, task, answer", "six tasks", figures.figure8),
}


def find_items(names: Sequence[str]) -> list[str]:
    """Names of tables and figures; ``all`` is every one.

    Raises:
        UsageError: an unknown name.
    """
    if list(names) == ["all"]:
        return list(ITEMS)
    for name in names:
        if name not in ITEMS:
            raise UsageError(f"the paper's results here are {', '.join(ITEMS)}, or all; not {name!r}")
    return list(names)
