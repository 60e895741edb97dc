"""How far work has come, for whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Meter(Protocol):
    """Opened around some work; gives the function that is told of each step."""

    def __call__(self, total: int | None, what: str, *, in_bytes: bool = False) -> AbstractContextManager[Advance]:
        """`total` steps, if that is known, called `what`; `in_bytes` where a step is a byte."""


@contextmanager
def silent(total: int | None, what: str, *, in_bytes: bool = False) -> Iterator[Advance]:
    """A meter that shows nothing."""
    yield lambda steps: None
