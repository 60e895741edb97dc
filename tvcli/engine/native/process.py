"""Whether the process belongs to tv.

A library leaves the process of its caller alone. The ``tv`` command owns its process: there a crash in native code,
an abort of llama.cpp and a second Ctrl-C end it with a sentence and an exit code. This module is all that the
command line must import to say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Owner:
    """Who is told before the process ends, and where llama.cpp's log goes (nowhere by default)."""

    error: Callable[[str], None]
    log: Callable[[str], None] | None = None


_owners: list[Owner] = []


def own(owner: Owner) -> None:
    """From here on llama.cpp, when it is loaded, may take over signals and end the process."""
    _owners[:] = [owner]


def owner() -> Owner | None:
    """Who owns the process; `None` where tv is used as a library."""
    return _owners[0] if _owners else None
