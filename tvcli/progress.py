"""The interface of progress meters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

Advance = Callable[[int], None]
T = TypeVar("T")


class Meter(Protocol):
    """A context manager around some work; yields a function that counts its steps."""

    def __call__(self, total: int | None, what: str, *, in_bytes: bool = False) -> AbstractContextManager[Advance]:
        """`total` steps, if known, called `what`; `in_bytes` if a step is a byte."""


def counted(items: Iterable[T], advance: Advance) -> Iterator[T]:
    """Yield `items`; each counts as a step when it is done."""
    for item in items:
        yield item
        advance(1)


@contextmanager
def silent(total: int | None, what: str, *, in_bytes: bool = False) -> Iterator[Advance]:
    """A meter that shows nothing."""
    yield lambda steps: None
