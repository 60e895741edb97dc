"""Results of earlier checks of model files, so that a file is read whole once and not at every start.

A note records that a file passed, and its facts. Notes are in the user's cache folder, one per path. A note is valid
while the file, or each file of a model in parts, has the same size, time and inode, and the check has the same rules.
Where no note can be written, a file is read whole at every start.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tvcli.engine.gguf.parts import all_parts
from tvcli.engine.gguf.repair import NONE, Repair
from tvcli.errors import TvError
from tvcli.files import make_folder, replacing, user_cache

# the source files that decide whether a file passes
RULES = ("checks.py", "header.py", "parts.py", "repair.py", "../native/pinned.py")
SETTLED = 2.0  # seconds; a file written just now may change again without a new modification time
MODEL, MMPROJ, ADAPTER, WEIGHTS = "model", "mmproj", "adapter", "weights"

Key = dict[str, object]


@dataclass(frozen=True)
class Facts:
    """What identifies a GGUF file, its quantization (llama.cpp's name or an empty string), and an mmproj's repair."""

    digest: str
    quantization: str
    repair: Repair = NONE


def checked(path: Path, kind: str, progress: Callable[[float], None] | None = None) -> Facts:
    """The result of the kind's check in `checks`, from a valid note if there is one. Raises UnavailableError."""
    key = _key(path, kind)
    known = _read(path, key) if key else None
    if known is not None:
        return known
    from tvcli.engine.gguf import checks  # not at every start: it loads the gguf package

    check = {
        MODEL: checks.check_model,
        MMPROJ: checks.check_mmproj,
        ADAPTER: checks.check_adapter,
        WEIGHTS: checks.check_weights,
    }
    facts = check[kind](path, progress)
    if key and key == _key(path, kind):
        _write(path, key, facts)
    return facts


def _key(path: Path, kind: str) -> Key | None:
    """What identifies the files' content; `None` if that is uncertain: a file written just now."""
    try:
        found = [part.stat() for part in all_parts(path)]
    except (OSError, ValueError):
        return None
    if any(time.time() - status.st_mtime < SETTLED for status in found):
        return None
    files = [[status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino] for status in found]
    return {"kind": kind, "rules": _rules(), "files": files}


@functools.cache
def _rules() -> str:
    digest = hashlib.sha256()
    for name in RULES:
        digest.update(Path(__file__).parent.joinpath(name).read_bytes())
    return digest.hexdigest()[:16]


def _note(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    return user_cache() / "checked" / f"{name}.json"


def _read(path: Path, key: Key) -> Facts | None:
    try:
        note = json.loads(_note(path).read_text("utf-8"))
        facts = {**note["facts"], "repair": Repair(**note["facts"]["repair"])}
        return Facts(**facts) if note["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # no note, or not one of tv's
        return None


def _write(path: Path, key: Key, facts: Facts) -> None:
    """Write a note, and ignore failures: the file is then checked again the next time."""
    note = _note(path)
    with suppress(OSError, TvError):
        make_folder(note.parent)
        with replacing(note) as temporary:
            temporary.write_text(json.dumps({"key": key, "facts": asdict(facts)}), encoding="utf-8")
