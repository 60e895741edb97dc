"""The files of a hub repository."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HFValidationError

from tvcli.errors import UnavailableError
from tvcli.files import stays_inside
from tvcli.models.hub.errors import host, hub_errors
from tvcli.models.hub.retries import TIMEOUT, with_retries

COMMIT = re.compile(r"[0-9a-f]{40}")
ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """A repository at a revision (branch, tag or commit)."""

    repository: str
    revision: str = "main"
    kind: str = "model"  # or "dataset"


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub describes it: its size in bytes, and its SHA-256, or its git hash if it is small."""

    name: str
    size: int
    etag: str

    def hasher(self) -> Any:
        """A hash object that gives the etag once it has seen the whole file."""
        if len(self.etag) == 64:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


@dataclass(frozen=True)
class Listing:
    """The files of a repository at the time of the request."""

    source: Source
    commit: str
    files: dict[str, RemoteFile]

    def file(self, name: str) -> RemoteFile:
        """Raises UnavailableError if there is no such file."""
        if name not in self.files:
            raise UnavailableError(f"{self.source.repository} has no file {name} at revision {self.source.revision}")
        return self.files[name]


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids requests to the hub."""
    return constants.HF_HUB_OFFLINE


def list_files(source: Source) -> Listing:
    """Get the list of a repository's files from the hub.

    Raises:
        UnavailableError: offline, no such repository or revision, no access, a hub that does not answer.
    """
    with hub_errors(source.repository, source.revision):
        info = with_retries(lambda: _request(source))
        try:
            files = [_remote_file(sibling) for sibling in info.siblings or []]
            if not COMMIT.fullmatch(info.sha):
                raise ValueError(info.sha)
        except (ValueError, TypeError, AttributeError) as error:
            raise _no_hub() from error
    return Listing(source, info.sha, {file.name: file for file in files if file is not None})


def _request(source: Source) -> Any:
    try:
        return HfApi(library_name="tv").repo_info(
            source.repository, revision=source.revision, repo_type=source.kind, files_metadata=True, timeout=TIMEOUT
        )
    except HFValidationError as error:
        raise UnavailableError(f"{source.repository!r} is not a valid repository name") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # not JSON, or not from a hub
        if isinstance(error, UnicodeError):  # a header that cannot be sent
            raise
        raise _no_hub() from error


def _no_hub() -> UnavailableError:
    return UnavailableError(f"{host()} does not answer like a Hugging Face hub; check HF_ENDPOINT and your proxy")


def _remote_file(sibling: Any) -> RemoteFile | None:
    """A file of the hub's answer; None if it has no hash, or a name or hash that points outside the cache folder."""
    name, etag = sibling.rfilename, sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    whole = isinstance(sibling.size, int) and etag and ETAG.fullmatch(etag)
    if not whole or not stays_inside(PurePosixPath(name)):
        return None
    return RemoteFile(name, sibling.size, etag)
