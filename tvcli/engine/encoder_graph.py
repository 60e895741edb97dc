"""The nodes of an image encoder's graph, shown before llama.cpp computes them.

llama.cpp asks ``mtmd_context_params.cb_eval`` about every node before it computes the node. What the node is about to
read can still be changed. A GPU's backend computes nodes in another order than the graph has (``graph_optimize``), but
none before what it reads.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tvcli.engine.native.interrupts import deferred_interrupt
from tvcli.engine.native.library import Library
from tvcli.engine.native.memory import address


class EncoderGraph(ABC):
    """Give `callback` to ``mtmd_context_params.cb_eval`` and keep this object as long as the context.

    >>> with graph.active():
    ...     mtmd_encode_chunk(context, chunk)
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self.operation = functools.cache(library.ggml_op_name)
        self._error: BaseException | None = None
        self.changed = False  # whether an image was encoded that llama.cpp alone had encoded otherwise
        self.callback = library.ggml_backend_sched_eval_callback(self._on_node)

    @abstractmethod
    def visit(self, node: int) -> bool:
        """Whether the graph is to be cut after the node, so that its result is there when the next is asked about."""

    def begin(self) -> None:  # noqa: B027
        """Called before an image is encoded."""

    def end(self) -> None:  # noqa: B027
        """Called after an image is encoded without an error."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """Repair the one encoding inside the block. Raises what `visit` and `end` raise."""
        self._error = None
        self.begin()
        with deferred_interrupt():
            yield
        if self._error is not None:
            raise self._error
        self.end()

    # typedef bool (*ggml_backend_sched_eval_callback)(struct ggml_tensor * t, bool ask, void * user_data);
    def _on_node(self, node: int, ask: bool, _: object) -> bool:
        if not ask:
            return True
        try:
            return self._error is None and self.visit(node)
        except BaseException as error:  # must not cross C
            self._error = error
        return False

    def head(self, tensor: int) -> Any:
        """The ``ggml_tensor`` at an address."""
        return self.library.ggml_tensor.from_address(tensor)

    def get(self, tensor: int, values: np.ndarray) -> np.ndarray:
        """Fill an array with a tensor's data, and return it."""
        self.library.ggml_backend_tensor_get(tensor, address(values), 0, values.nbytes)
        return values

    def set(self, tensor: int, values: np.ndarray) -> None:
        """Overwrite a tensor's data."""
        self.library.ggml_backend_tensor_set(tensor, address(values), 0, values.nbytes)
