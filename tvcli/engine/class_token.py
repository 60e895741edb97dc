"""Puts the class token of an image where the model has it, while llama.cpp encodes the image.

The encoder's graph itself shows the order of tokens, and what it is about to read can still be changed
(`tvcli.engine.encoder_graph`):

- the node that joins the patches and the class token, v.class_embd, shows which comes first;
- a node that adds rows of v.position_embd.weight to these tokens gets the first row, the class token's, at the end:
  rows that were looked up are changed then (models/llava.cpp), the whole table once (models/internvl.cpp);
- a node that takes rows 1 .. n of the encoder's output, to leave out the class token, gets rows 0 .. n - 1.

A library that puts the class token first, or has these orders, is left alone; any other order is an error.
"""

from __future__ import annotations

import logging

import numpy as np

from tvcli.engine.encoder_graph import EncoderGraph
from tvcli.engine.gguf.repair import CLASS_FIRST_SENTENCE
from tvcli.engine.native import pinned
from tvcli.engine.native.library import Library
from tvcli.errors import TvError

log = logging.getLogger(__name__)

ADD, CONCAT, GET_ROWS, *SAME_ROWS = pinned.OPERATIONS


class ClassTokenFirst(EncoderGraph):
    """Raises TvError after an encoding whose order of tokens is neither the model's nor one that is known."""

    def __init__(self, library: Library) -> None:
        super().__init__(library)
        self._joined: int | None = None  # the node whose last row is the class token, in this encoding
        self._rows = 0  # of it: n patches and the class token
        self._looked_up: dict[int, np.ndarray] = {}  # nodes that take positions from the table, and their indices
        self._placed = False  # whether the rows of this encoding have their own positions
        self._turned: set[int] = set()  # tables of positions, which stay in memory from image to image

    def begin(self) -> None:
        self._joined, self._placed = None, False
        self._looked_up.clear()

    def end(self) -> None:
        if self._joined is not None and not self._placed:
            raise TvError("llama.cpp puts the class token of an image where tv cannot give it its position")

    def visit(self, node: int) -> bool:
        head = self.head(node)
        operation = self.operation(head.op)
        if operation == CONCAT and self._comes_from(head.src[1], pinned.CLASS_TOKEN):
            self._joined, self._rows = node, head.ne[1]
        elif operation == GET_ROWS and self._comes_from(head.src[0], pinned.POSITIONS):
            self._looked_up[node] = self._index(head.src[1])
            return True
        elif self._joined is None:
            return False
        elif operation == GET_ROWS and self.head(head.src[0]).ne[1] == self._rows:
            self._take(head.src[1])
        elif operation == ADD and head.src[0] == self._joined:
            self._place(head.src[1])
        return False

    def _place(self, positions: int) -> None:
        """Give the class token, the last, the first of the positions that are added."""
        last = self._rows - 1
        if positions in self._looked_up:
            if _wrong(self._looked_up[positions], np.append(np.arange(1, last + 1), 0), np.arange(last + 1)):
                self._turn(positions)
        elif self._comes_from(positions, pinned.POSITIONS):
            if positions not in self._turned:
                self._turn(positions)
            if pinned.COPY not in self.library.ggml_get_name(positions):  # a copy is made anew for every image
                self._turned.add(positions)
        else:
            return
        self._placed = True

    def _take(self, index: int) -> None:
        """Leave out the class token, the last row of the encoder's output, and not the first."""
        found, last = self._index(index), self._rows - 1
        if len(found) == last and _wrong(found, np.arange(last), np.arange(1, last + 1)):
            self._set(index, np.arange(last, dtype=np.int32))

    def _index(self, tensor: int) -> np.ndarray:
        """Numbers of rows, int32 (n,)."""
        head = self.head(tensor)
        if head.type != pinned.TYPE_I32 or tuple(head.ne[1:]) != (1, 1, 1) or not head.buffer:
            raise TvError(
                f"llama.cpp takes an image's tokens by an index of shape {tuple(head.ne)} and type {head.type}"
            )
        return self.get(tensor, np.empty(head.ne[0], np.int32))

    def _turn(self, tensor: int) -> None:
        """Move the first row to the end, of whatever type the rows are."""
        head = self.head(tensor)
        if head.ne[1] != self._rows or head.nb[2] != head.ne[1] * head.nb[1] or not head.buffer:
            raise TvError(f"llama.cpp adds positions of shape {tuple(head.ne)} to {self._rows} tokens of an image")
        rows = self.get(tensor, np.empty((head.ne[1], head.nb[1]), np.uint8))
        self._set(tensor, np.roll(rows, -1, axis=0))

    def _set(self, tensor: int, values: np.ndarray) -> None:
        self.set(tensor, values)
        if not self.changed:
            log.debug("%s", CLASS_FIRST_SENTENCE)
        self.changed = True

    def _comes_from(self, tensor: int | None, name: bytes) -> bool:
        """Whether the tensor is the mmproj's tensor of that name, its repetition, another shape of it or its copy."""
        while tensor is not None:
            if name in self.library.ggml_get_name(tensor).split(pinned.COPY):
                return True
            head = self.head(tensor)
            if self.operation(head.op) not in SAME_ROWS:
                return False
            tensor = head.src[0]
        return False


def _wrong(found: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> bool:
    """Whether an index is the one that is wrong. Raises TvError if it is neither."""
    if not np.array_equal(found, right) and not np.array_equal(found, wrong):
        raise TvError("llama.cpp takes the rows of an image's tokens in an unknown order")
    return np.array_equal(found, wrong)
