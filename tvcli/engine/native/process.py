"""Whether the process belongs to tv.

A library does not change the process of its caller. The ``tv`` command owns its process: there a crash in native code,
an abort of llama.cpp and a second Ctrl-C end it with an error message and an exit code. The command line imports only
this module to claim the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Owner:
    """Functions that get the last error message before the process ends, and llama.cpp's log (dropped by default)."""

    error: Callable[[str], None]
    log: Callable[[str], None] | None = None


_owners: list[Owner] = []


def own(owner: Owner) -> None:
    """Permit llama.cpp, once loaded, to handle signals and end the process."""
    _owners[:] = [owner]


def owner() -> Owner | None:
    """The owner of the process; `None` if tv is used as a library."""
    return _owners[0] if _owners else None
