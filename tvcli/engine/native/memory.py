"""C memory: arrays over it, addresses in it, and small buffers for results of functions."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import numpy as np


def address(array: np.ndarray) -> int:
    """The address of a contiguous array's elements; the array must outlive every use of it."""
    if not array.flags.c_contiguous:
        raise ValueError("the array is not contiguous")
    return int(array.ctypes.data)


def floats(pointer: int, count: int) -> np.ndarray:
    """A view of C memory, float32 (count,); valid as long as that memory is."""
    return _view(ctypes.c_float, pointer, count)


def integers(pointer: int, count: int) -> np.ndarray:
    """A view of C memory, int32 (count,); valid as long as that memory is."""
    return _view(ctypes.c_int32, pointer, count)


def buffer(size: int) -> Any:
    """A buffer for text: `value` is the text up to its NUL, `raw` all bytes."""
    return ctypes.create_string_buffer(size)


def pointers(addresses: Iterable[int | None]) -> Any:
    """A C array of addresses; NULL for `None`."""
    listed = list(addresses)
    return (ctypes.c_void_p * len(listed))(*listed)


def number(value: int = 0) -> Any:
    """An int32 that a function may write to; read it by `value`."""
    return ctypes.c_int32(value)


def size() -> Any:
    """A size_t that a function writes to; read it by `value`."""
    return ctypes.c_size_t()


def location(thing: Any) -> int:
    """The address of a structure or one of the above, which must outlive every use of it."""
    return ctypes.addressof(thing)


def _view(kind: Any, pointer: int, count: int) -> np.ndarray:
    return np.ctypeslib.as_array((kind * count).from_address(pointer))
