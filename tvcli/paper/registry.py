"""Where the paper's tables and figures enter themselves, each beside the function that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvcli.paper.study import Study, Table

Make = Callable[[Study], Table]


@dataclass(frozen=True)
class Item:
    """One of the paper's results."""

    title: str
    needs: str
    make: Make


REGISTERED: dict[str, Item] = {}


def item(name: str, title: str, needs: str) -> Callable[[Make], Make]:
    """Enter the function below under the result's number in the ICML 2025 version, as in ``table2``."""

    def enter(make: Make) -> Make:
        REGISTERED[name] = Item(title, needs, make)
        return make

    return enter
