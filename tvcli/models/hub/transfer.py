"""Fetch files into the cache.

A file is written to ``<etag>.incomplete``, hashed while it arrives, and renamed to the blob if its hash is
right. So a damaged file is never used, and an interrupted transfer continues where it stopped.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx2
from filelock import FileLock, Timeout
from huggingface_hub import constants, get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers

from tvcli.errors import UnavailableError
from tvcli.files import byte_size
from tvcli.models.hub import cache
from tvcli.models.hub.errors import hub_errors
from tvcli.models.hub.remote import Listing, RemoteFile, Source
from tvcli.models.hub.retries import TIMEOUT, with_retries
from tvcli.progress import Advance, Meter, silent

CHUNK = 1 << 20
SILENT_WAIT = 1.0  # seconds

log = logging.getLogger(__name__)


def fetch(found: Listing, names: Sequence[str], *, verify: bool = False, meter: Meter = silent) -> list[Path]:
    """The files in the cache, after fetching missing ones in this order; `verify` reads and hashes the others.

    Raises:
        UnavailableError: see `remote.list_files`; also a full disk, or a file that arrived damaged.
    """
    source = found.source
    wanted = [found.file(name) for name in names]
    with hub_errors(source.repository, source.revision):
        missing = [file for file in wanted if not _is_whole(source, file, verify=verify, meter=meter)]
        _check_space(source, missing)
        for file in missing:
            _download(found, file, meter)
        paths = [cache.place(found, file) for file in wanted]
        cache.remember(found)
    return paths


def _is_whole(source: Source, file: RemoteFile, *, verify: bool, meter: Meter) -> bool:
    blob = cache.blob(source, file)
    if not blob.is_file():
        return False
    if blob.stat().st_size == file.size and not (verify and _digest(blob, file, meter) != file.etag):
        return True
    log.warning("%s in the cache is damaged; fetching it again", file.name)
    blob.unlink()
    return False


def _digest(path: Path, file: RemoteFile, meter: Meter) -> str:
    hasher = file.hasher()
    with path.open("rb") as opened, meter(file.size, f"checking {file.name}", in_bytes=True) as advance:
        _feed(hasher, opened, advance)
    return str(hasher.hexdigest())


def _check_space(source: Source, files: Sequence[RemoteFile]) -> None:
    """Raises UnavailableError unless the disk has space for all missing files."""
    needed = sum(max(0, file.size - _size(cache.part(source, file))) for file in files)
    folder = cache.folder(source)
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise UnavailableError(
            f"{source.repository} needs {byte_size(needed)}, but the disk of {existing} has {byte_size(free)} free; "
            "free some space, or set HF_HOME to a folder on another disk"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _download(found: Listing, file: RemoteFile, meter: Meter) -> None:
    """Fetch the blob. Other processes that need it wait for it."""
    blob, part, lock = (f(found.source, file) for f in (cache.blob, cache.part, cache.lock))
    for path in (blob, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(lock, file.name):
        if blob.is_file():
            return
        if _size(part) > file.size:
            part.unlink()
        with meter(file.size, f"fetching {file.name}", in_bytes=True) as advance:
            digest = _receive(found, file, part, advance)
        if digest != file.etag:
            part.unlink()
            raise UnavailableError(
                f"{file.name} of {found.source.repository} arrived damaged (its hash is {digest[:12]}…, the hub says "
                f"{file.etag[:12]}…) and was deleted; try again"
            )
        part.replace(blob)


@contextmanager
def _locked(lock: Path, name: str) -> Iterator[None]:
    guard = FileLock(lock)
    try:
        guard.acquire(timeout=SILENT_WAIT)
    except Timeout:
        log.info("another process is fetching %s; waiting for it", name)
        guard.acquire()
    try:
        yield
    finally:
        guard.release()


def _receive(found: Listing, file: RemoteFile, part: Path, advance: Advance) -> str:
    """Append what is missing to `part`, with retries; returns the hash of the whole file."""
    hasher = file.hasher()
    with part.open("a+b") as opened:
        opened.seek(0)
        _feed(hasher, opened, advance)
        with_retries(lambda: _stream(found, file, opened, hasher, advance), opened.tell)
    return str(hasher.hexdigest())


def _stream(found: Listing, file: RemoteFile, opened: IO[bytes], hasher: Any, advance: Advance) -> None:
    """One request for the rest of the file. If the connection is lost, file and hash still agree."""
    start = opened.tell()
    if start == file.size:
        return
    source = found.source
    url = hf_hub_url(
        source.repository, file.name, repo_type=source.kind, revision=found.commit, endpoint=constants.ENDPOINT
    )
    headers = {**build_hf_headers(library_name="tv"), "Accept-Encoding": "identity", "Range": f"bytes={start}-"}
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
        hf_raise_for_status(response)
        skip = start if response.status_code == 200 else 0  # a server without range requests sends everything again
        for block in response.iter_raw():  # as it arrives: the content of a larger buffer would be lost
            new = block[skip:]
            skip -= len(block) - len(new)
            opened.write(new)
            opened.flush()  # a process that is killed loses nothing
            hasher.update(new)
            advance(len(new))
    if opened.tell() < file.size:
        raise httpx2.RemoteProtocolError("the connection ended early")


def _feed(hasher: Any, opened: IO[bytes], advance: Advance) -> None:
    while block := opened.read(CHUNK):
        hasher.update(block)
        advance(len(block))
