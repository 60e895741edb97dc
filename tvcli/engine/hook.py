"""One object that reads and changes the residual stream while llama.cpp decodes a batch.

llama.cpp names the residual stream after block l ``l_out-l``, and asks ``llama_context_params.cb_eval``
about every node of its graph: first whether we want it, then, when its data are computed, to read it. The
graph is cut there, so the next block reads what we write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from tvcli.engine.native import pinned
from tvcli.engine.native.library import Library
from tvcli.engine.native.memory import address
from tvcli.errors import TvError

Edit = tuple[
    int, Callable[[np.ndarray], np.ndarray]
]  # a row of the batch, and the function applied to it, float32 (D,) to (D,)


@dataclass
class _Job:
    rows: int
    edits: Mapping[int, Sequence[Edit]]  # by layer
    captured: np.ndarray | None  # float32 (rows, L, D)
    wanted: dict[bytes, int] = field(default_factory=dict)
    fired: dict[int, int] = field(default_factory=dict)


class ResidualHook:
    """Give `callback` to ``llama_context_params.cb_eval`` and keep this object as long as the context.

    >>> with hook.armed(rows=2, edits={9: [(1, lambda row: vector)]}, read=True) as captured:
    ...     llama_decode(context, batch)      # captured is float32 (2, L, D) afterwards
    """

    def __init__(self, library: Library, n_layer: int, n_embd: int) -> None:
        self._library = library
        self._n_layer, self._n_embd = n_layer, n_embd
        self._job: _Job | None = None
        self._error: BaseException | None = None
        self.buffers = [""] * n_layer  # llama.cpp's name of the buffer that contains each layer's output
        self.callback = library.ggml_backend_sched_eval_callback(self._on_node)

    @contextmanager
    def armed(self, *, rows: int, edits: Mapping[int, Sequence[Edit]], read: bool) -> Iterator[np.ndarray | None]:
        """Read all layers and/or change rows at some layers, during the one decode inside the block.

        Rows are read after the change. An edit receives what llama.cpp computed; edits of one row are applied
        in order.

        Raises:
            TvError: a wanted layer did not fire exactly once, or its tensor does not have the expected type and shape.
        """
        captured = np.empty((rows, self._n_layer, self._n_embd), np.float32) if read else None
        layers = range(self._n_layer) if read else sorted(edits)
        wanted = {f"{pinned.RESIDUAL}-{layer}".encode(): layer for layer in layers}
        self._job = job = _Job(rows, edits, captured, wanted)
        try:
            yield captured
        finally:
            self._job = None
        self.raise_pending()
        for name, layer in wanted.items():
            times = job.fired.get(layer, 0)
            if times != 1:
                raise TvError(f"the tensor {name.decode()} appeared {times} times in the decode instead of once")

    def raise_pending(self) -> None:
        """Raise an error from inside the callback: ctypes cannot, and llama.cpp would continue with invalid data."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    # typedef bool (*ggml_backend_sched_eval_callback)(struct ggml_tensor * t, bool ask, void * user_data);
    def _on_node(self, tensor: int, ask: bool, _: object) -> bool:
        try:  # around everything: Ctrl-C is also raised here, in the only Python code that runs in a decode
            job = self._job
            if job is None:
                return False
            layer = job.wanted.get(self._library.ggml_get_name(tensor))
            if ask:
                return layer is not None
            if layer is not None and self._error is None:
                self._visit(job, layer, tensor)
        except BaseException as error:
            self._error = error
        return True

    def _visit(self, job: _Job, layer: int, tensor: int) -> None:
        head = self._library.ggml_tensor.from_address(tensor)
        width = self._n_embd * 4
        shape = (self._n_embd, job.rows, 1, 1)
        if head.type != pinned.TYPE_F32 or tuple(head.ne) != shape or tuple(head.nb[:2]) != (4, width):
            raise TvError(
                f"the tensor {pinned.RESIDUAL}-{layer} has shape {tuple(head.ne)} and type {head.type}, "
                f"expected {shape} of 32-bit floats; this model's residual stream cannot be read"
            )
        edits = job.edits.get(layer)
        if edits:
            self._edit(tensor, edits)
        if job.captured is not None:
            job.captured[:, layer] = self._get(tensor, 0, job.rows)
            self.buffers[layer] = self._library.ggml_backend_buffer_name(head.buffer).decode("utf-8", "replace")
        job.fired[layer] = job.fired.get(layer, 0) + 1

    def _edit(self, tensor: int, edits: Sequence[Edit]) -> None:
        """One copy from the tensor and one back, of the rows from the first edited one to the last."""
        rows = [row for row, _ in edits]
        first = min(rows)
        block = self._get(tensor, first, max(rows) + 1)
        for row, edit in edits:
            block[row - first] = edit(block[row - first])
        self._library.ggml_backend_tensor_set(tensor, address(block), first * self._n_embd * 4, block.nbytes)

    def _get(self, tensor: int, start: int, end: int) -> np.ndarray:
        """Rows from `start` up to `end`, float32 (end - start, D)."""
        block = np.empty((end - start, self._n_embd), np.float32)
        self._library.ggml_backend_tensor_get(tensor, address(block), start * self._n_embd * 4, block.nbytes)
        return block
