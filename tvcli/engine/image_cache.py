"""Encoded images: the latest in memory, older ones in a file, so that an image is encoded once per model.

An evaluation shows the same hundred images again and again in the same order. A bound in memory alone would drop each
just before it is needed: LLaVA-1.5's take 9.4 MB each.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import IO, Generic, TypeVar

import numpy as np

from tvcli.errors import reason
from tvcli.files import user_cache

log = logging.getLogger(__name__)

MEMORY = 512 << 20  # bytes
SPARE = 1 << 30  # bytes of the disk that are left free
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class _Place:
    """Where the file has an array."""

    offset: int
    shape: tuple[int, ...]


class ImageCache(Generic[Key]):
    """Arrays float32 by key, each computed once until it is dropped; `computed` counts the computations.

    Beyond `memory` bytes the arrays that were not used for longest are written to a file without a name in the user's
    cache folder, not in /tmp, which may be memory. The system deletes it with the process, whatever ends that. Without
    space on the disk an array is computed again.
    """

    def __init__(self, memory: int | None = None) -> None:
        self.computed = 0
        self._memory = MEMORY if memory is None else memory
        self._arrays: OrderedDict[Key, np.ndarray] = OrderedDict()
        self._places: dict[Key, _Place] = {}
        self._file: IO[bytes] | None = None
        self._end = 0  # of the file
        self._usable = True  # the disk

    def get(self, key: Key, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of `key`, which must not be changed."""
        found = self._arrays.get(key)
        if found is None:
            found = self._read(key)
        if found is None:
            found = compute()
            self.computed += 1
        self._arrays[key] = found
        self._arrays.move_to_end(key)
        while sum(array.nbytes for array in self._arrays.values()) > self._memory and len(self._arrays) > 1:
            self._write(*self._arrays.popitem(last=False))
        return found

    def drop(self, wanted: Callable[[Key], bool]) -> None:
        """Forget the arrays of all keys for which `wanted` is true. The file is emptied with its last array."""
        for known in (self._arrays, self._places):
            for key in [key for key in known if wanted(key)]:
                del known[key]
        if not self._places:
            self._end = 0

    def close(self) -> None:
        """Forget everything; safe to call twice."""
        self.drop(lambda key: True)
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self, key: Key) -> np.ndarray | None:
        place = self._places.get(key)
        if place is None or self._file is None:
            return None
        array = np.empty(place.shape, np.float32)
        try:
            self._file.seek(place.offset)
            read = self._file.readinto(array.data.cast("B"))  # type: ignore[attr-defined]
        except OSError as error:
            self._give_up(reason(error))
            return None
        return array if read == array.nbytes else None

    def _write(self, key: Key, array: np.ndarray) -> None:
        if not self._usable or key in self._places:
            return
        try:
            file = self._opened()
            if shutil.disk_usage(user_cache()).free < array.nbytes + SPARE:
                self._give_up("the disk is full")
                return
            file.seek(self._end)
            file.write(np.ascontiguousarray(array, np.float32).data.cast("B"))
            file.flush()
        except OSError as error:
            self._give_up(reason(error))
            return
        self._places[key] = _Place(self._end, array.shape)
        self._end += array.nbytes

    def _opened(self) -> IO[bytes]:
        """Raises OSError."""
        if self._file is None:
            user_cache().mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=user_cache(), prefix="images-")  # noqa: SIM115 - until `close`
        return self._file

    def _give_up(self, why: str) -> None:
        """Write nothing more; what was written can still be read."""
        if self._usable:
            log.warning(
                "encoded images cannot be kept in %s: %s; images may be encoded more than once", user_cache(), why
            )
        self._usable = False
