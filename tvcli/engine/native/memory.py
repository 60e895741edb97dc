"""NumPy arrays over C memory, and the other way round."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


def address(array: np.ndarray) -> int:
    """Where a contiguous array's elements lie; the array must outlive every use of the address."""
    if not array.flags.c_contiguous:
        raise ValueError("the array is not contiguous")
    return int(array.ctypes.data)


def floats(pointer: int, count: int) -> np.ndarray:
    """A view of C memory, float32 (count,); valid as long as that memory is."""
    return _view(ctypes.c_float, pointer, count)


def integers(pointer: int, count: int) -> np.ndarray:
    """A view of C memory, int32 (count,); valid as long as that memory is."""
    return _view(ctypes.c_int32, pointer, count)


def _view(kind: Any, pointer: int, count: int) -> np.ndarray:
    return np.ctypeslib.as_array((kind * count).from_address(pointer))
