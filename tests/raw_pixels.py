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

    def read(tensor: int) -> np.ndarray:
        width, height, channels, _ = library.ggml_tensor.from_address(tensor).ne
        values = np.empty((channels, height, width), np.float32)
        library.ggml_backend_tensor_get(tensor, values.ctypes.data, 0, values.nbytes)
        return values

    def on_node(tensor: int, ask: bool) -> None:
        for one in filter(None, library.ggml_tensor.from_address(tensor).src):
            if ask and library.ggml_get_name(one) == INPUT:
                values = read(one)
                if not found or not np.array_equal(found[-1], values):
                    found.append(values)

    own, kept = library.mtmd_init_from_file, []

    def opened(file: bytes, model: object, params: Any) -> object:
        tvs = ctypes.cast(params.cb_eval, ctypes.c_void_p).value  # the member itself would change with `params`
        other, data = library.ggml_backend_sched_eval_callback(tvs) if tvs else None, params.cb_eval_user_data

        def both(tensor: int, ask: bool, given: object) -> bool:
            on_node(tensor, ask)
            return other is not None and bool(other(tensor, ask, data))

        params.cb_eval = library.ggml_backend_sched_eval_callback(both)
        kept.append(params)
        return own(file, model, params)

    library.__dict__["mtmd_init_from_file"] = opened
    try:
        yield found
    finally:
        library.__dict__["mtmd_init_from_file"] = own
