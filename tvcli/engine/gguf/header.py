"""A bounded reader of GGUF headers: what a file claims is checked against its size before it is used.

The `gguf` package's reader trusts counts and lengths, and llama.cpp reserves memory for them; here nothing is
allocated beyond the size of the file. The layout is that of llama.cpp's gguf.cpp (gguf_init_from_reader).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from gguf.constants import GGML_QUANT_SIZES, GGUF_DEFAULT_ALIGNMENT, GGMLQuantizationType, GGUFValueType

from tvcli.engine.native import pinned

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_KEYS, MAX_TENSORS, MAX_ELEMENTS = 1 << 16, 1 << 18, 1 << 24  # of an array; far above what models have
MAX_KIND = 255  # of a tensor; ggml has 43
KEPT_ELEMENTS = 1024  # of an array of numbers; the rest is skipped

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_SCALARS = {
    GGUFValueType.UINT8: struct.Struct("<B"),
    GGUFValueType.INT8: struct.Struct("<b"),
    GGUFValueType.UINT16: struct.Struct("<H"),
    GGUFValueType.INT16: struct.Struct("<h"),
    GGUFValueType.UINT32: _U32,
    GGUFValueType.INT32: struct.Struct("<i"),
    GGUFValueType.FLOAT32: struct.Struct("<f"),
    GGUFValueType.BOOL: struct.Struct("<?"),
    GGUFValueType.UINT64: _U64,
    GGUFValueType.INT64: struct.Struct("<q"),
    GGUFValueType.FLOAT64: struct.Struct("<d"),
}


class HeaderError(ValueError):
    """An error in a header; the message continues a sentence that begins with the file's name."""


@dataclass(frozen=True)
class Value:
    """A key's value.

    An array has its elements' type as `kind`, its `length`, and as `data` its first numbers, or the
    position of its texts in the file.
    """

    kind: GGUFValueType
    data: Any
    length: int | None = None  # of an array

    @property
    def type_name(self) -> str:
        name = self.kind.name.lower()
        return name if self.length is None else f"array of {name}"


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape, in ggml's order, its ggml type, and the offset of its data after the header."""

    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def n_bytes(self) -> int | None:
        """The size of its data; `None` for a type that the gguf package does not know."""
        try:
            block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(self.kind)]
        except ValueError:
            return None
        row = self.shape[0] if self.shape else 1
        if row % block:
            raise HeaderError(f"has a tensor with rows of {row} numbers, whose type needs a multiple of {block}")
        return int(prod(self.shape) // block * block_bytes)


@dataclass(frozen=True)
class Header:
    """The keys and tensors of a GGUF file, and where each list ends in it, in bytes."""

    keys: Mapping[str, Value]
    tensors: Mapping[str, Tensor]
    keys_end: int = 0
    tensors_end: int = 0  # the data begin at the next multiple of `alignment`
    alignment: int = int(GGUF_DEFAULT_ALIGNMENT)

    def get(self, key: str) -> Any:
        """A key's value, or `None`."""
        value = self.keys.get(key)
        return None if value is None else value.data

    def text(self, key: str) -> str:
        """A key's value if it is text, else an empty string."""
        value = self.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        """A key's value if it is an integer, else `None`."""
        value = self.get(key)
        return value if type(value) is int else None


def read_header(path: Path) -> Header:
    """Read and check everything before the tensors' data, and that the data are there.

    Raises:
        HeaderError: not a GGUF file, or a header that contradicts itself or the file's size.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
        if not start:
            raise HeaderError("is empty (0 bytes)")
        if start != MAGIC:
            raise HeaderError("is not a GGUF file; tv runs models in llama.cpp's GGUF format")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).header()


class _Reader:
    """Reads a file in order, never past its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._size = len(data)
        self._at = len(MAGIC)

    def header(self) -> Header:
        version = self._unpack(_U32)
        if version and version & 0xFFFF == 0:
            raise HeaderError("was written for big-endian machines, which llama.cpp cannot read here")
        if version not in VERSIONS:
            raise HeaderError(f"has GGUF version {version}; llama.cpp reads {VERSIONS[0]} and {VERSIONS[1]}")
        n_tensors = self._count("tensors", MAX_TENSORS, 24)
        n_keys = self._count("keys", MAX_KEYS, 13)
        keys = self._keys(n_keys)
        keys_end, alignment = self._at, _alignment(keys)
        return Header(keys, self._tensors(n_tensors, alignment), keys_end, self._at, alignment)

    # -- pieces -------------------------------------------------------------------------------------------

    def _skip(self, size: int) -> int:
        """Skip `size` bytes; returns where they start."""
        start = self._at
        if size > self._size - start:
            raise HeaderError("is truncated in its header")
        self._at += size
        return start

    def _unpack(self, layout: struct.Struct) -> Any:
        return layout.unpack_from(self._data, self._skip(layout.size))[0]

    def _count(self, what: str, most: int, bytes_each: int) -> int:
        """The number of items that follow, for which the file must have space."""
        count = int(self._unpack(_U64))
        if count > most:
            raise HeaderError(f"claims to contain {count} {what}; the limit is {most}")
        if count * bytes_each > self._size - self._at:
            raise HeaderError(f"is truncated in its header: {count} {what} do not fit")
        return count

    def _string(self) -> str:
        length = self._unpack(_U64)
        if length > self._size - self._at:
            raise HeaderError(f"is truncated in its header: a text of {length} bytes does not fit")
        start = self._skip(length)
        return self._data[start : start + length].decode("utf-8", "replace")

    # -- keys ---------------------------------------------------------------------------------------------

    def _keys(self, count: int) -> dict[str, Value]:
        keys: dict[str, Value] = {}
        for _ in range(count):
            key = self._string()
            if not key or key in keys:
                raise HeaderError(f"has the key {key!r} twice" if key else "has a key without a name")
            keys[key] = self._value(key)
        return keys

    def _value(self, key: str) -> Value:
        kind = self._kind(key)
        if kind == GGUFValueType.ARRAY:
            return self._array(key, self._kind(key))
        return Value(kind, self._string() if kind == GGUFValueType.STRING else self._unpack(_SCALARS[kind]))

    def _kind(self, key: str) -> GGUFValueType:
        number = self._unpack(_U32)
        try:
            return GGUFValueType(number)
        except ValueError:
            raise HeaderError(f"gives the key {key!r} the unknown type {number}") from None

    def _array(self, key: str, kind: GGUFValueType) -> Value:
        if kind == GGUFValueType.ARRAY:
            raise HeaderError(f"has an array of arrays as its key {key!r}, which llama.cpp does not read")
        if kind == GGUFValueType.STRING:
            length = self._count(f"texts under {key!r}", MAX_ELEMENTS, _U64.size)
            start = self._at
            self._strings(length)
            return Value(kind, range(start, self._at), length)
        layout = _SCALARS[kind]
        length = self._count(f"numbers under {key!r}", MAX_ELEMENTS, layout.size)
        start = self._skip(length * layout.size)
        kept = self._data[start : start + layout.size * min(length, KEPT_ELEMENTS)]
        return Value(kind, tuple(number for (number,) in layout.iter_unpack(kept)), length)

    def _strings(self, length: int) -> None:
        """Skip an array of texts. The slowest loop: vocabularies have 262,144 texts."""
        data, at, size = self._data, self._at, _U64.unpack_from
        try:
            for _ in range(length):
                at += 8 + size(data, at)[0]
        except (struct.error, OverflowError):  # past the end
            at = self._size + 1
        self._skip(at - self._at)

    # -- tensors ------------------------------------------------------------------------------------------

    def _tensors(self, count: int, alignment: int) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        expected: int | None = 0  # where the next tensor's data start; unknown after a type that gguf does not know
        end = 0
        for _ in range(count):
            name = self._string()
            if len(name.encode()) >= pinned.MAX_TENSOR_NAME:  # its final NUL included
                raise HeaderError(f"has a tensor whose name is too long: {name[:20]!r}…")
            if name in tensors:
                raise HeaderError(f"has the tensor {name!r} twice")
            tensor = Tensor(self._shape(name), self._tensor_kind(name), self._unpack(_U64))
            if expected is not None and tensor.offset != expected:
                raise HeaderError(f"has the tensor {name!r} at offset {tensor.offset}, not at {expected}")
            size = tensor.n_bytes
            end = max(end, tensor.offset + (size or 0))
            expected = None if size is None else _padded(tensor.offset + size, alignment)
            tensors[name] = tensor
        if end > self._size - _padded(self._at, alignment):
            raise HeaderError("is truncated: the data of its tensors reach beyond the end of the file")
        return tensors

    def _shape(self, name: str) -> tuple[int, ...]:
        n_dims = self._unpack(_U32)
        if n_dims > pinned.MAX_DIMS:
            raise HeaderError(f"has the tensor {name!r} of {n_dims} dimensions; the limit is {pinned.MAX_DIMS}")
        shape = tuple(int(self._unpack(_U64)) for _ in range(n_dims))
        if 0 in shape or prod(shape) >= 1 << 63:
            raise HeaderError(f"has the tensor {name!r} of an impossible shape: {shape}")
        return shape

    def _tensor_kind(self, name: str) -> int:
        kind = int(self._unpack(_U32))
        if kind > MAX_KIND:
            raise HeaderError(f"gives the tensor {name!r} the unknown type {kind}")
        return kind


def _alignment(keys: Mapping[str, Value]) -> int:
    value = keys.get("general.alignment")
    if value is None:
        return int(GGUF_DEFAULT_ALIGNMENT)
    alignment = value.data
    if (value.kind, value.length) != (GGUFValueType.UINT32, None) or int(alignment).bit_count() != 1:
        raise HeaderError(f"has the alignment {alignment!r}, which is not a power of two")
    return int(alignment)


def _padded(size: int, alignment: int) -> int:
    return (size + alignment - 1) & -alignment
