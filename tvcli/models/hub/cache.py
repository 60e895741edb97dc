"""The hub's cache: blobs by etag, snapshots by commit with links to blobs, refs from revisions to commits.

The layout is huggingface_hub's ("Understand caching" in its documentation), so that its tools find the files too.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from huggingface_hub import constants

from tvcli.files import replacing
from tvcli.models.hub.remote import Listing, RemoteFile, Source


def cached(source: Source, name: str) -> Path | None:
    """A file of the repository, if it is in the cache."""
    path = snapshot(source) / name
    return path if _commit(source) and path.is_file() else None


def cached_names(source: Source) -> list[str]:
    """The names of all files of the repository that are in the cache."""
    root = snapshot(source)
    return [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()] if _commit(source) else []


def folder(source: Source) -> Path:
    """The repository's folder."""
    return Path(constants.HF_HUB_CACHE) / "--".join([f"{source.kind}s", *source.repository.split("/")])


def blob(source: Source, file: RemoteFile) -> Path:
    return folder(source) / "blobs" / file.etag


def part(source: Source, file: RemoteFile) -> Path:
    """The part of a blob that was received so far."""
    return folder(source) / "blobs" / f"{file.etag}.incomplete"


def lock(source: Source, file: RemoteFile) -> Path:
    """The lock file, which huggingface_hub uses too."""
    return folder(source).parent / ".locks" / folder(source).name / f"{file.etag}.lock"


def snapshot(source: Source) -> Path:
    return folder(source) / "snapshots" / _commit(source)


def _commit(source: Source) -> str:
    """The commit that the revision had when its files were fetched; a commit is returned as it is. Empty if unknown."""
    try:
        return (folder(source) / "refs" / source.revision).read_text("utf-8").strip()
    except (OSError, ValueError):
        return source.revision if (folder(source) / "snapshots" / source.revision).is_dir() else ""


def place(found: Listing, file: RemoteFile) -> Path:
    """Link the blob into the snapshot, or copy it if symbolic links are not supported."""
    path, target = folder(found.source) / "snapshots" / found.commit / file.name, blob(found.source, file)
    if path.is_symlink() and not path.samefile(target):
        path.unlink()
    if not path.is_file() or path.stat().st_size != file.size:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            try:
                temporary.symlink_to(os.path.relpath(target, path.parent))
            except OSError:
                shutil.copyfile(target, temporary)
    return path


def remember(found: Listing) -> None:
    """Record the commit of the revision, so that the files are found without the hub."""
    if found.source.revision != found.commit:
        path = folder(found.source) / "refs" / found.source.revision
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(found.commit, encoding="utf-8")
