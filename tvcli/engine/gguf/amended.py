"""A GGUF file with one key more, for as long as llama.cpp reads it."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gguf.constants import GGUFValueType

from tvcli.engine.gguf.header import read_header
from tvcli.errors import UnavailableError, reason
from tvcli.files import byte_size

CHUNK = 1 << 24
COUNT = struct.Struct("<Q")
COUNT_AT = 16  # of the number of keys: after the magic, the version and the number of tensors


@contextmanager
def amended(path: Path, key: str, value: int, progress: Callable[[float], None] | None = None) -> Iterator[Path]:
    """A temporary copy of `path` that has the array of one int32 `value` under `key`; removed after the block.

    llama.cpp reads an mmproj whole and closes it (``clip_model_loader::load_tensors``), so nothing is kept: no copy
    grows old in a cache. The copy takes as much space as the file in the folder for temporary files.

    Raises:
        UnavailableError: there is no space, or no permission.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="tv-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _unwritten(path, error) from error
    with folder as name:
        copy = Path(name, path.name)
        try:
            _write(path, copy, _entry(key, value), progress)
        except OSError as error:
            raise _unwritten(path, error) from error
        yield copy


def _unwritten(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"mmproj {path} needs a repaired copy of {byte_size(path.stat().st_size)} in a temporary folder while "
        f"it is loaded, which cannot be written: {reason(error)}; name another folder in TMPDIR"
    )


def _write(path: Path, copy: Path, entry: bytes, progress: Callable[[float], None] | None) -> None:
    header = read_header(path)
    data = -(-header.tensors_end // header.alignment) * header.alignment
    with path.open("rb") as source, copy.open("wb") as target:
        keys, tensors = source.read(header.keys_end), source.read(header.tensors_end - header.keys_end)
        count = COUNT.unpack_from(keys, COUNT_AT)[0]
        target.write(keys[:COUNT_AT] + COUNT.pack(count + 1) + keys[COUNT_AT + COUNT.size :] + entry + tensors)
        target.write(bytes(-target.tell() % header.alignment))
        source.seek(data)
        size = path.stat().st_size
        while chunk := source.read(CHUNK):
            target.write(chunk)
            if progress is not None:
                progress(source.tell() / size)


def _entry(key: str, value: int) -> bytes:
    """A key as it lies in the file: its name, two types, the array's length, its element."""
    name = key.encode()
    return COUNT.pack(len(name)) + name + struct.pack("<IIQi", GGUFValueType.ARRAY, GGUFValueType.INT32, 1, value)
