"""Model files in Python packages, for machines that cannot reach a hub."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tvcli.errors import UnavailableError
from tvcli.files import make_folder, replacing, user_cache
from tvcli.models.catalog import ModelFile, Packages
from tvcli.progress import Meter, silent

BLOCK = 1 << 22  # bytes


def packaged_file(
    name: str, file: ModelFile, packages: Packages, meter: Meter = silent, *, verify: bool = False
) -> Path:
    """The model's file, joined from its parts if there are several, and with `verify` joined and hashed again.

    Raises:
        UnavailableError: a package is not installed or has other bytes; the message names the command to run.
    """
    parts = _parts(packages)
    if parts is None:
        raise UnavailableError(
            f"the model {name} is not installed; run: pip install {packages.install!r}, or give another `model`"
        )
    return parts[0] if len(parts) == 1 else _joined(name, file, parts, meter, verify=verify)


def is_installed(packages: Packages) -> bool:
    return _parts(packages) is not None


def _parts(packages: Packages) -> list[Path] | None:
    """The parts on this machine, if all packages are installed."""
    found = []
    for part in packages.parts:
        package, inner = part.split("/", 1)
        spec = importlib.util.find_spec(package)  # not imported: some of these packages load llama.cpp
        if spec is None or not spec.submodule_search_locations:
            return None
        found.append(Path(spec.submodule_search_locations[0]) / inner)
    return found


def _joined(name: str, file: ModelFile, parts: list[Path], meter: Meter, *, verify: bool) -> Path:
    """The file joined from its parts once, checked by its SHA-256 and kept in the user's cache folder."""
    import filelock

    target = user_cache() / file.file
    try:
        if not verify and _is_whole(target, file):
            return target
        make_folder(target.parent)
        with filelock.FileLock(f"{target}.lock"):  # other processes wait for the file
            if verify or not _is_whole(target, file):
                with replacing(target) as temporary, temporary.open("wb") as output:
                    _join(parts, file, output, meter)
    except (OSError, UnavailableError) as error:
        raise UnavailableError(f"model {name} cannot be assembled: {error}") from error
    return target


def _join(parts: Iterable[Path], file: ModelFile, output: BinaryIO, meter: Meter) -> None:
    """Raises UnavailableError if the result is not the file that the catalog describes."""
    digest = hashlib.sha256()
    with meter(file.size, f"assembling {file.file}", in_bytes=True) as advance:
        for block in _blocks(parts):
            digest.update(block)
            output.write(block)
            advance(len(block))
    if digest.hexdigest() != file.sha256:
        raise UnavailableError(
            f"the packages contain another file than {file.file} (SHA-256 {digest.hexdigest()[:12]}…)"
        )


def _blocks(parts: Iterable[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            read: Callable[[], bytes] = partial(file.read, BLOCK)
            yield from iter(read, b"")


def _is_whole(path: Path, file: ModelFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size
