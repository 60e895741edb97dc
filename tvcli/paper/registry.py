"""The registry of the paper's tables and figures; a decorator registers the function that makes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvcli.paper.study import Study, Table

Make = Callable[[Study], Table]


@dataclass(frozen=True)
class Item:
    """One of the paper's results; `differs` says what is not as in the paper, apart from models and data."""

    title: str
    needs: str
    make: Make
    differs: str = ""


REGISTERED: dict[str, Item] = {}


def item(name: str, title: str, needs: str, *, differs: str = "") -> Callable[[Make], Make]:
    """Register the decorated function by the result's number in the ICML 2025 version, such as ``table2``.

    ``after-table4`` is an experiment of tv's own in the manner of table 4, with other data or another question.
    """

    def register(make: Make) -> Make:
        REGISTERED[name] = Item(title, needs, make, differs)
        return make

    return register
