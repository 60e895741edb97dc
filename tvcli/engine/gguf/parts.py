"""A model in several GGUF files: their names show which belong together (llama.cpp: llama_split_path)."""

from __future__ import annotations

import re
from pathlib import Path

PART = re.compile(r"-(\d{5})-of-(\d{5})$")  # of a file name without its suffix


def part_names(name: str) -> tuple[str, ...]:
    """The names of all parts of the file that this is the first part of: usually only itself."""
    found = PART.search(name.removesuffix(".gguf"))
    if found is None:
        return (name,)
    head, total = name[: found.start()], int(found[2])
    return tuple(f"{head}-{number:05d}-of-{total:05d}.gguf" for number in range(1, total + 1))


def all_parts(path: Path) -> list[Path]:
    """All files of the model whose first file is `path`."""
    return [path.with_name(name) for name in part_names(path.name)]
