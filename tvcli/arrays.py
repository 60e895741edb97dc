"""Arrays of NumPy's own file formats, from bytes of anyone: no pickles, and nothing is allocated on a file's word."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from tokenize import TokenError  # from NumPy's parser for headers of Python 2
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

NPY, NPZ = b"\x93NUMPY", b"PK\x03\x04"  # how the files begin
MOST_BYTES = 1 << 27  # of an array in an archive: a small archive can unpack to a huge size
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


def read_array(file: BinaryIO, size: int, what: str) -> np.ndarray:
    """The next ``.npy`` array of a file of `size` bytes, its declared shape checked before anything is allocated.

    Raises:
        ValueError: not an array, pickled objects, truncated; the message calls it `what`.
    """
    start = file.tell()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for headers from Python 2, which are read or refused like others
        try:
            version = npy.read_magic(file)
            reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = reader(file)
        except (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError) as error:
            raise ValueError(f"{what} is not a NumPy array file (.npy)") from error
        if dtype.hasobject:
            raise ValueError(f"{what} has pickled Python objects, which are never loaded; save a float32 array")
        count = math.prod(shape)
        if count < 0 or count * dtype.itemsize > size - file.tell():
            raise ValueError(f"{what} is truncated: {shape} {dtype} does not fit in the file")
        file.seek(start)
        try:
            return np.array(npy.read_array(file, allow_pickle=False))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{what} cannot be read ({error})") from error


def read_archive(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file by name. Raises ValueError for a damaged one, or for what `read_array` refuses."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename.removesuffix(".npy"): _member(archive, info) for info in archive.infolist()}
    except DAMAGED as error:
        raise ValueError(f"the NumPy archive (.npz) is damaged ({error})") from error
    return {name: read_array(io.BytesIO(raw), len(raw), f"its array {name!r}") for name, raw in members.items()}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError(f"{info.filename!r} unpacks to more than {MOST_BYTES >> 20} MiB")
    return raw
