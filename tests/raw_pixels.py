"""What mtmd gives the image encoder: the values of its graph's input, whatever was resized, padded or cut before."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tvcli.engine.native.library import load

INPUT = b"inp_raw"  # tools/mtmd/clip.cpp: build_inp_raw


@contextmanager
def watched() -> Iterator[list[np.ndarray]]:
    """Engines that are loaded in this block add every image or tile that they encode, float32 (3, height, width).

    One that is encoded twice in a row is added once: two nodes of a graph may read the same input.
    """
    library = load()
    found: list[np.ndarray] = []

    class Node(ctypes.Structure):  # ggml/include/ggml.h: struct ggml_tensor, up to its inputs
        _fields_ = [
            ("head", library.ggml_tensor),
            ("op", ctypes.c_int),
            ("op_params", ctypes.c_int32 * 16),
            ("flags", ctypes.c_int32),
            ("inputs", ctypes.c_void_p * 10),
        ]

    def read(tensor: int) -> np.ndarray:
        width, height, channels, _ = library.ggml_tensor.from_address(tensor).ne
        values = np.empty((channels, height, width), np.float32)
        library.ggml_backend_tensor_get(tensor, values.ctypes.data, 0, values.nbytes)
        return values

    def on_node(tensor: int, ask: bool) -> None:
        for one in filter(None, Node.from_address(tensor).inputs):
            if ask and library.ggml_get_name(one) == INPUT:
                values = read(one)
                if not found or not np.array_equal(found[-1], values):
                    found.append(values)

    own, kept = library.mtmd_init_from_file, []

    def opened(file: bytes, model: object, params: Any) -> object:
        other, data = params.cb_eval, params.cb_eval_user_data  # tv's own, if any

        def both(tensor: int, ask: bool, given: object) -> bool:
            on_node(tensor, ask)
            return bool(other and other(tensor, ask, data))

        params.cb_eval = library.ggml_backend_sched_eval_callback(both)
        kept.append((params, other))
        return own(file, model, params)

    library.__dict__["mtmd_init_from_file"] = opened
    try:
        yield found
    finally:
        library.__dict__["mtmd_init_from_file"] = own
