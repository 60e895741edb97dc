"""The files of a model in a repository of the hub: those in the cache, or fetched into it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from tvcli.errors import UnavailableError
from tvcli.models.catalog import OnHub
from tvcli.models.hub import cache
from tvcli.models.hub.remote import Listing, Source, is_offline, list_files
from tvcli.models.hub.transfer import fetch
from tvcli.models.repository import Chosen, choose
from tvcli.progress import Meter, silent

log = logging.getLogger(__name__)
Files = tuple[Path, Path | None]  # text, of a split model the first part, and vision


def cached_files(files: OnHub) -> Files | None:
    """Those that are on this machine, if all are."""
    try:
        chosen = _chosen(files, cache.cached_names(_source(files)))
    except UnavailableError:  # nothing that fits is here
        return None
    paths = {name: path for name in chosen.in_order if (path := cache.cached(_source(files), name)) is not None}
    return _paths(chosen, paths) if len(paths) == len(chosen.in_order) else None


def fetched_files(files: OnHub, *, verify: bool = False, meter: Meter = silent) -> Files:
    """As the hub has them now; `verify` reads and hashes what was here before.

    Raises:
        UnavailableError: see `remote.list_files` and `transfer.fetch`; also files that the catalog does not know.
    """
    here = cached_files(files)
    if here is not None and is_offline():
        return here
    try:
        listing = list_files(_source(files))
    except UnavailableError as error:
        if here is None:
            raise
        log.warning("%s; what is here is used as it is", error)
        return here
    _check_known(files, listing)
    chosen = _chosen(files, listing.files)
    paths = fetch(listing, chosen.in_order, verify=verify, meter=meter)
    return _paths(chosen, dict(zip(chosen.in_order, paths, strict=True)))


def _source(files: OnHub) -> Source:
    return Source(files.repository, files.revision)


def _chosen(files: OnHub, available: Iterable[str]) -> Chosen:
    """The files that the catalog names, or the best of those that are available."""
    if files.text is not None:
        return Chosen((files.text.file,), files.vision.file if files.vision else None)
    return choose(available, files.repository, files.quant)


def _check_known(files: OnHub, listing: Listing) -> None:
    """The hub's files are those that the catalog knows by their hash."""
    for known in (files.text, files.vision):
        now = listing.files.get(known.file) if known and known.sha256 else None
        if known is not None and now is not None and now.etag != known.sha256:
            raise UnavailableError(
                f"{known.file} of {files.repository} is not the file that the catalog knows (SHA-256 "
                f"{known.sha256[:12]}…, now {now.etag[:12]}…); give {files.repository} as the model to take it as it is"
            )


def _paths(chosen: Chosen, paths: Mapping[str, Path]) -> Files:
    return paths[chosen.parts[0]], paths[chosen.vision] if chosen.vision else None
