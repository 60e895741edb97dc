"""A model's name to its files: a path, a catalog name, or ``owner/repo[:QUANT]`` on the hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from tvcli.engine.gguf.parts import part_names
from tvcli.errors import UnavailableError, UsageError
from tvcli.files import check_readable, in_home
from tvcli.models import packaged
from tvcli.models.catalog import Entry, HubFile, Local, OnHub, Packaged, find, names
from tvcli.progress import Meter, silent

REPOSITORY = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?::(?P<quant>[\w.-]+))?")


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model on this machine, and the layer that the catalog suggests."""

    name: str
    text: Path  # the first part of a split model
    vision: Path | None = None
    layer: int | None = None
    llm: str | None = None


def resolve(wanted: str, mmproj: Path | None = None, meter: Meter = silent) -> ModelFiles:
    """The files of a model, fetched from the hub if they are not on this machine.

    Raises:
        UnavailableError: an unknown name, a missing file, a package that is not installed, an error of the hub.
    """
    entry = describe(wanted)
    files = present(entry) or pull(entry, meter=meter)
    return files if mmproj is None else replace(files, vision=mmproj)


def describe(wanted: str, quant: str | None = None) -> Entry:
    """The catalog's entry, or a new one for a path or a hub repository; `quant` takes precedence over the entry's file.

    Raises:
        UsageError: `quant` where there is nothing to choose, or it contradicts the name.
        UnavailableError: it is none of these.
    """
    path = in_home(wanted)
    entry = None if path.is_file() else find(wanted)
    if entry is not None:
        if quant is None or not isinstance(entry.files, OnHub):
            return _whole(entry, quant)
        return replace(entry, files=OnHub(entry.files.repository, revision=entry.files.revision, quant=quant))
    if path.suffix.lower() == ".gguf" or path.exists():
        return _whole(Entry(path.stem, "a file", "", Local(path)), quant)
    named = REPOSITORY.fullmatch(wanted)
    if named is None:
        known = ", ".join(names())
        raise UnavailableError(f"unknown model {wanted!r}; give a .gguf file, owner/repo or one of: {known}")
    if quant and named["quant"] and quant.upper() != named["quant"].upper():
        raise UsageError(f"{wanted} asks for {named['quant']}, and `quant` for {quant}; remove one of them")
    return Entry(wanted, "a repository", "", OnHub(named["repository"], quant=quant or named["quant"]))


def local_files(wanted: str) -> Local | None:
    """The files of a model that is given by path or in an entry of the user; `None` for all others."""
    try:
        files = describe(wanted).files
    except UnavailableError:
        return None
    return files if isinstance(files, Local) else None


def _whole(entry: Entry, quant: str | None) -> Entry:
    """The entry, if no quantization is to be chosen."""
    if quant is not None:
        raise UsageError(f"`quant` needs a repository on the hub; {entry.name} is not one")
    return entry


def present(entry: Entry) -> ModelFiles | None:
    """The files of a model on this machine, or None. Packaged ones are assembled if necessary."""
    return _cached(entry, entry.files) if isinstance(entry.files, OnHub) else _owned(entry, entry.files)


def is_here(entry: Entry) -> bool:
    """Whether a model can be used without fetching or installing anything."""
    if isinstance(entry.files, Packaged):
        return packaged.is_installed(entry.files.text)
    return _found(entry) is not None


def size(entry: Entry) -> int | None:
    """All files together in bytes, as on this machine, or else as in the catalog; None if unknown."""
    files = entry.files
    if isinstance(files, Packaged):
        vision = packaged.vision_file(files)
        return files.text.size and files.text.size + (vision.stat().st_size if vision else 0)
    if (here := _found(entry)) is not None:
        paths = [here.text.with_name(part) for part in part_names(here.text.name)]
        return sum(path.stat().st_size for path in (*paths, here.vision) if path is not None)
    known = [f.size for f in (files.text, files.vision) if isinstance(f, HubFile)]
    return sum(filter(None, known)) if known and None not in known else None


def _found(entry: Entry) -> ModelFiles | None:
    """Like `present`, but None for missing files."""
    try:
        return present(entry)
    except UnavailableError:
        return None


def pull(entry: Entry, *, verify: bool = False, meter: Meter = silent) -> ModelFiles:
    """Fetch a model as the hub has it now; `verify` also reads and hashes files that are already here.

    Raises:
        UnavailableError: see `resolve`.
    """
    if not isinstance(entry.files, OnHub):
        return _owned(entry, entry.files)
    from tvcli.models.hub.files import fetched_files  # loads the hub's client

    return _made(entry, *fetched_files(entry.files, verify=verify, meter=meter))


def _cached(entry: Entry, files: OnHub) -> ModelFiles | None:
    from tvcli.models.hub.files import cached_files  # loads the hub's client

    found = cached_files(files)
    return None if found is None else _made(entry, *found)


def _owned(entry: Entry, files: Packaged | Local) -> ModelFiles:
    if isinstance(files, Local):
        for path in filter(None, (files.text, files.vision)):
            check_readable(path, "model file")
        return _made(entry, files.text, files.vision)
    return _made(entry, packaged.text_file(entry.name, files.text), packaged.vision_file(files))


def _made(entry: Entry, text: Path, vision: Path | None) -> ModelFiles:
    return ModelFiles(entry.name, text, vision, entry.layer.suggested if entry.layer else None, entry.llm)
