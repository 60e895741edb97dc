"""What the shell suggests when Tab is pressed.

Each press starts a process, so nothing here may import NumPy, llama.cpp or the hub. Names that a shell would have
to quote are left to its own completion of files, which takes over where there is nothing to offer.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from tvcli.data import data_folder

PLAIN = frozenset("/._-+=@%,~")  # what needs no quotes in a shell's word, apart from letters and digits


def models(incomplete: str) -> list[str]:
    """Catalog names and GGUF files."""
    from tvcli.models.catalog import FAKE, names  # here, as --help loads this module too

    return [*_starting(incomplete, [*names(), FAKE]), *gguf_files(incomplete)]


def tasks(incomplete: str) -> list[str]:
    """Shipped tasks; if no name matches, folders."""
    shipped = sorted(path.parent.name for path in data_folder("tasks").glob("*/task.toml"))
    return _starting(incomplete, shipped) or _files(incomplete, "/")


def vectors(incomplete: str) -> list[str]:
    return _files(incomplete, ".npy")


def gguf_files(incomplete: str) -> list[str]:
    return _files(incomplete, ".gguf")


def layers(ctx: typer.Context, incomplete: str) -> list[str]:
    """The layers of the vector on the command line; without one, the layer that the catalog suggests."""
    from tvcli.models.catalog import find, wanted_model

    given = [*ctx.args, ctx.params.get("vector") or ""]
    count = next((n for word in given if (n := layers_of(Path(word))) is not None), None)
    if count is not None:
        every = ["all"] if ctx.info_name == "apply" else []
        return _starting(incomplete, [*every, *map(str, range(count))])
    entry = find(wanted_model(ctx.params.get("model")))
    return _starting(incomplete, [str(entry.layer.suggested)] if entry and entry.layer else [])


def layers_of(path: Path) -> int | None:
    """L of an array file (L, D), from its header alone (NEP 1, version 1.0); `None` for anything else."""
    try:
        with path.open("rb") as file:
            if file.read(8) != b"\x93NUMPY\x01\x00":
                return None
            (size,) = struct.unpack("<H", file.read(2))
            count, _ = ast.literal_eval(file.read(size).decode("latin-1"))["shape"]
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, RecursionError, struct.error):
        return None
    return count if isinstance(count, int) else None


def _files(incomplete: str, ending: str) -> list[str]:
    """Files with that ending, and folders on the way to some."""
    found = list(_entries(incomplete, ending))
    while len(found) == 1 and found[0].endswith("/"):  # the shell would put a space after it, so look inside
        inside = list(_entries(found[0], ending))
        if not inside:
            break
        found = inside
    return found if all(c.isalnum() or c in PLAIN for name in found for c in name) else []


def _entries(incomplete: str, ending: str) -> Iterator[str]:
    folder, slash, start = incomplete.rpartition("/")
    try:
        paths = sorted(Path(folder + slash).expanduser().iterdir())
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no such user's home
        return
    for path in paths:
        if path.name.startswith(start) and (start or not path.name.startswith(".")):
            if path.is_dir():
                yield f"{folder}{slash}{path.name}/"
            elif path.name.endswith(ending):
                yield f"{folder}{slash}{path.name}"


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
