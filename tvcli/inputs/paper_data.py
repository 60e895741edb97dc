"""The paper's own annotations and images, fetched and converted to task folders."""

from __future__ import annotations

import json
import lzma
import re
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import filelock

from tvcli.data import data_folder
from tvcli.errors import UnavailableError, UsageError, reason
from tvcli.files import beside, make_folder, parse_json, parse_toml, replacing, stays_inside, user_data
from tvcli.inputs.lines import check_texts
from tvcli.inputs.tasks import load_task, written
from tvcli.kinds import Split
from tvcli.models.hub import transfer
from tvcli.models.hub.cache import cached
from tvcli.models.hub.remote import Source, list_files
from tvcli.progress import Meter, silent
from tvcli.text import decode

REPOSITORIES = ("g-luo/vlm-cross-modal-reps", "g-luo/task_vectors_are_cross_modal")  # since 2025, and before
ANNOTATIONS, IMAGES = "data/annotations.zip", "data/images.zip"
SPLITS = {"val": Split.VALIDATION, "test": Split.TEST}
UTF8 = 0x800  # the flag of a member's name (APPNOTE.TXT, appendix D)
MAX_MEMBER, MAX_ALL = 64 << 20, 4 << 30  # bytes unpacked; a small archive can unpack to a huge size


def fetch(meter: Meter = silent) -> tuple[Path, Path]:
    """The two archives, in the Hugging Face cache. Raises UnavailableError."""
    failure = None
    for repository in REPOSITORIES:
        source = Source(repository, kind="dataset")
        here = [cached(source, name) for name in (ANNOTATIONS, IMAGES)]
        if here[0] is not None and here[1] is not None:
            return here[0], here[1]
        try:
            annotations, images = transfer.fetch(list_files(source), [ANNOTATIONS, IMAGES], meter=meter)
            return annotations, images
        except UnavailableError as error:
            failure = failure or error
    raise UnavailableError(f"the paper's data cannot be fetched: {failure}") from failure


def own_folder() -> Path:
    """Where the paper's tasks are kept for this user."""
    return user_data() / "paper-tasks"


def pull(target: Path, meter: Meter = silent) -> list[str]:
    """Fetch the archives and write their task folders, marked as the paper's own data; returns the names.

    Raises UnavailableError; see also `convert`.
    """
    names = convert(*fetch(meter), target, meter)
    for name in names:
        mark_as_papers(target / name)
    return names


def replace_by_pull(folder: Path, meter: Meter = silent) -> None:
    """Make `folder` anew by `pull`: it has everything or is not changed, also when two processes do this at once.

    Raises UnavailableError; see also `convert`.
    """
    make_folder(folder.parent)
    where = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-")
    with filelock.FileLock(beside(folder, ".lock")), where as temporary:
        made = Path(temporary) / "made"
        pull(made, meter)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        made.rename(folder)


def convert(annotations: Path, images: Path, target: Path, meter: Meter = silent) -> list[str]:
    """Write a task folder for each ``NAME_val.json`` / ``NAME_test.json``; returns the names.

    Only images that a sample names are extracted, and only to paths inside `target`.

    Raises:
        UnavailableError: an archive that is missing or broken, a folder that cannot be written.
        UsageError: annotations in another format.
    """
    try:
        with zipfile.ZipFile(annotations) as archive, zipfile.ZipFile(images) as image_archive:
            tasks = _read_annotations(archive)
            if not tasks:
                raise UsageError(f"{annotations} contains no NAME_val.json or NAME_test.json")
            named = [record["image"] for records in tasks.values() for record in records if "image" in record]
            members = _members(image_archive, dict.fromkeys(map(PurePosixPath, named)))
            for name, records in tasks.items():
                _write_task(target, name, records)
            with meter(len(members), "images unpacked") as advance:
                for path, member in members.items():
                    _extract(image_archive, member, target / path)
                    advance(1)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        words = reason(error) if isinstance(error, OSError) else str(error)
        raise UnavailableError(f"the archives {annotations} and {images} cannot be converted: {words}") from error
    return list(tasks)


def mark_as_papers(folder: Path) -> None:
    """Record the digest of a task made from the fetched archives: while it matches, the data are the paper's.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    digest = load_task(folder).digest
    try:
        with (folder / "task.toml").open("a", encoding="utf-8") as file:
            file.write(f"paper = {json.dumps(digest)}\n")
    except OSError as error:
        raise UnavailableError(f"{folder / 'task.toml'} cannot be written: {reason(error)}") from error


def _read_annotations(archive: zipfile.ZipFile) -> dict[str, list[dict[str, Any]]]:
    tasks: dict[str, list[dict[str, Any]]] = {}
    found = {
        m.group(1, 2): name
        for name in archive.namelist()
        if (m := re.search(r"([\w-]+)_(val|test)\.json$", name)) and not _is_hidden(name)
    }
    for task, split in sorted(found, key=lambda key: (key[0], key[1] != "val")):
        name = found[task, split]
        try:
            data = parse_json(decode(_unpacked(archive, name), name))
        except ValueError as error:
            raise UsageError(f"{name}: not JSON ({error})") from error
        samples = data.get("data") if isinstance(data, dict) else data
        if not isinstance(samples, list):
            raise UsageError(f"{name}: expected a JSON list of samples, also under a key data")
        tasks.setdefault(task, []).extend(_converted(samples, SPLITS[split], name))
    return tasks


def _is_hidden(member: str) -> bool:
    """Files that macOS adds to an archive: ``__MACOSX/…/._NAME`` has the attributes of ``…/NAME``."""
    return any(part == "__MACOSX" or part.startswith(".") for part in PurePosixPath(member).parts)


def _converted(samples: Iterable[Any], split: Split, where: str) -> Iterator[dict[str, Any]]:
    for number, sample in enumerate(samples, 1):
        output = None
        if isinstance(sample, dict):
            check_texts(sample, f"{where}, item {number}")
            output = sample.get("output")
        if not isinstance(output, str) or not output.strip():
            raise UsageError(f"{where}, item {number}: the output is missing")
        record = {"input": sample.get("input") or "", "output": [output], "split": split}
        image = sample.get("image")
        if isinstance(image, str) and image:
            _check_inside(PurePosixPath(image), f"{where}, item {number}")
            record["image"] = image
        yield record


def _check_inside(path: PurePosixPath, where: str) -> None:
    if not (stays_inside(path) and str(path).isprintable()):
        raise UsageError(f"{where}: the image path {str(path)!r} points outside the folder")


def _write_task(target: Path, name: str, records: list[dict[str, Any]]) -> None:
    folder = target / name
    folder.mkdir(parents=True, exist_ok=True)
    toml = {"description": f"{name}, the paper's own data", "instruction": f"{name}:", "group": "original"}
    shipped = data_folder("tasks") / name / "task.toml"
    if shipped.is_file():
        settings = parse_toml(shipped)
        toml |= {key: settings[key] for key in ("instruction", "words") if key in settings}
    lines = [{**r, **({"image": f"../{r['image']}"} if "image" in r else {})} for r in records]
    for file, text in written(toml, lines).items():
        with replacing(folder / file) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _members(images: zipfile.ZipFile, paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
    """The archive's name of each image, in any Unicode form; ``tv tasks check`` reports missing ones."""
    shown = [info for info in images.infolist() if not _is_hidden(info.filename)]
    names = {PurePosixPath(_composed(_name(info))): info.filename for info in shown}
    names |= {PurePosixPath(info.filename): info.filename for info in shown}  # the same form, if both are there
    found: dict[PurePosixPath, str] = {}
    for path in paths:
        candidates = (path, PurePosixPath("data") / path, PurePosixPath(*path.parts[1:]))
        forms = [form for one in candidates for form in (one, PurePosixPath(_composed(str(one))))]
        member = next((names[form] for form in forms if form in names), None)
        if member is not None:
            found[path] = member
    for member in found.values():
        _check_size(images, member)
    if sum(images.getinfo(member).file_size for member in found.values()) > MAX_ALL:
        raise UsageError(f"the images are too large: they unpack to more than {MAX_ALL >> 30} GiB")
    return found


def _name(info: zipfile.ZipInfo) -> str:
    """The member's name. macOS writes UTF-8 without the flag that says so, and zipfile then reads it as CP437."""
    if info.flag_bits & UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _check_size(archive: zipfile.ZipFile, member: str) -> None:
    if archive.getinfo(member).file_size > MAX_MEMBER:
        raise UsageError(f"{member} is too large: it unpacks to more than {MAX_MEMBER >> 20} MiB")


def _unpacked(archive: zipfile.ZipFile, member: str) -> bytes:
    """The member's bytes: never more than the archive declares (zipfile checks), and that is bounded."""
    _check_size(archive, member)
    try:
        return archive.read(member)
    except (zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:  # torn, encrypted, an unknown method
        raise zipfile.BadZipFile(f"{member}: {error}") from error


def _extract(images: zipfile.ZipFile, member: str, destination: Path) -> None:
    if destination.exists():
        return
    data = _unpacked(images, member)
    destination.parent.mkdir(parents=True, exist_ok=True)
    with replacing(destination) as temporary:
        temporary.write_bytes(data)
