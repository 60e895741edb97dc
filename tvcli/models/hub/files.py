"""The files of a model in a repository of the hub: those in the cache, or fetched to it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from tvcli.errors import UnavailableError
from tvcli.models.catalog import OnHub
from tvcli.models.hub import cache
from tvcli.models.hub.remote import Listing, Source, is_offline, list_files
from tvcli.models.hub.transfer import fetch as fetched
from tvcli.models.repository import Chosen, choose
from tvcli.progress import Meter, silent

log = logging.getLogger(__name__)
T = TypeVar("T")
Files = tuple[Path, Path | None]  # text (the first part of a split model) and vision


def cached_files(files: OnHub) -> Files | None:
    """The files in the cache, if all are there."""
    try:
        chosen = _chosen(files, cache.cached_names(_source(files)))
    except UnavailableError:  # no suitable file in the cache
        return None
    paths = {name: path for name in chosen.in_order if (path := cache.cached(_source(files), name)) is not None}
    return _paths(chosen, paths) if len(paths) == len(chosen.in_order) else None


def fetched_files(files: OnHub, *, verify: bool = False, meter: Meter = silent) -> Files:
    """The files as the hub has them now; `verify` also reads and hashes files already in the cache.

    Raises:
        UnavailableError: see `remote.list_files` and `transfer.fetch`; also files that differ from the catalog's.
    """
    here = cached_files(files)
    listing = _listing_or(here, _source(files))
    if not isinstance(listing, Listing):
        return listing
    _check_known(files, listing)
    chosen = _chosen(files, listing.files)
    paths = fetched(listing, chosen.in_order, verify=verify, meter=meter)
    return _paths(chosen, dict(zip(chosen.in_order, paths, strict=True)))


def named_files(
    source: str,
    names: Iterable[str],
    optional: Iterable[str] = (),
    *,
    fetch: bool,
    verify: bool = False,
    meter: Meter = silent,
) -> list[Path] | None:
    """Files of ``owner/repo`` or ``owner/repo@revision`` by name, and those of the `optional` ones that it has.

    `None` if some are not in the cache, unless they may be fetched. Raises what `fetched_files` does.
    """
    repository, _, revision = source.partition("@")
    where = Source(repository, revision or "main")
    here = [cache.cached(where, name) for name in names]
    more = [path for name in optional if (path := cache.cached(where, name)) is not None]
    found = None if None in here else [*filter(None, here), *more]
    listing = _listing_or(found, where) if fetch else found
    if not isinstance(listing, Listing):
        return listing
    wanted = [*names, *(name for name in optional if name in listing.files)]
    return fetched(listing, wanted, verify=verify, meter=meter)


def _listing_or(here: T | None, source: Source) -> Listing | T:
    """What the hub has, or what is `here` if the hub cannot or must not be asked. Raises UnavailableError."""
    if here is not None and is_offline():
        return here
    try:
        return list_files(source)
    except UnavailableError as error:
        if here is None:
            raise
        log.warning("%s; using the files on this machine", error)
        return here


def _source(files: OnHub) -> Source:
    return Source(files.repository, files.revision)


def _chosen(files: OnHub, available: Iterable[str]) -> Chosen:
    """The files that the catalog names, or the best available ones."""
    if files.text is not None:
        return Chosen((files.text.file,), files.vision.file if files.vision else None)
    return choose(available, files.repository, files.quant)


def _check_known(files: OnHub, listing: Listing) -> None:
    """Raises UnavailableError if a file's hash differs from the catalog's."""
    for known in (files.text, files.vision):
        now = listing.files.get(known.file) if known and known.sha256 else None
        if known is not None and now is not None and now.etag != known.sha256:
            raise UnavailableError(
                f"{known.file} of {files.repository} is not the file that the catalog describes (SHA-256 "
                f"{known.sha256[:12]}…, now {now.etag[:12]}…); give {files.repository} as the model to use it anyway"
            )


def _paths(chosen: Chosen, paths: Mapping[str, Path]) -> Files:
    return paths[chosen.parts[0]], paths[chosen.vision] if chosen.vision else None
