"""The order of an image's tokens, told from a graph and put right, against a library made for it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tvcli.engine.class_token import ClassTokenFirst
from tvcli.engine.native.declarations import declarations
from tvcli.engine.native.library import HEADER
from tvcli.errors import TvError

PATCHES, D = 4, 3
ROWS = PATCHES + 1
TYPES = declarations(HEADER.read_text("utf-8")).types
OPERATIONS = ("NONE", "ADD", "CONCAT", "GET_ROWS", "REPEAT", "RESHAPE", "MUL_MAT")
KINDS = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.int32): 26}


@dataclass
class Tensor:
    """A tensor of a graph, in memory."""

    name: str
    head: Any
    values: np.ndarray

    @property
    def at(self) -> int:
        return ctypes.addressof(self.head)


class Encoder:
    """What of llama.cpp `ClassTokenFirst` calls, and graphs as llama.cpp computes them."""

    ggml_tensor = TYPES["ggml_tensor"]
    ggml_backend_sched_eval_callback = TYPES["ggml_backend_sched_eval_callback"]

    def __init__(self) -> None:
        self.tensors: dict[int, Tensor] = {}
        self.writes: list[str] = []

    def tensor(self, name: str, values: np.ndarray, operation: str = "NONE", sources: Sequence[Tensor] = ()) -> Tensor:
        head = self.ggml_tensor()
        head.type, head.buffer, head.op = KINDS[values.dtype], 1, OPERATIONS.index(operation)
        shape = (*values.shape[::-1], 1, 1, 1)[:4]
        head.ne[:] = shape
        head.nb[:] = [values.itemsize * int(np.prod(shape[:axis])) for axis in range(4)]
        for number, source in enumerate(sources):
            head.src[number] = source.at
        made = Tensor(name, head, values)
        self.tensors[made.at] = made
        return made

    def ggml_get_name(self, tensor: int) -> bytes:
        return self.tensors[tensor].name.encode()

    def ggml_op_name(self, operation: int) -> bytes:
        return OPERATIONS[operation].encode()

    def ggml_backend_tensor_get(self, tensor: int, data: int, offset: int, size: int) -> None:
        assert size == self.tensors[tensor].values.nbytes
        ctypes.memmove(data, self.tensors[tensor].values.ctypes.data + offset, size)

    def ggml_backend_tensor_set(self, tensor: int, data: int, offset: int, size: int) -> None:
        self.writes.append(self.tensors[tensor].name)
        ctypes.memmove(self.tensors[tensor].values.ctypes.data + offset, data, size)


def numbers(*rows: int) -> np.ndarray:
    return np.array(rows, np.int32)


def table(kind: type = np.float32) -> np.ndarray:
    """Positions: row r is r, the class token's is 0."""
    return np.repeat(np.arange(ROWS), D).reshape(ROWS, D).astype(kind)


class Llava:
    """The graph of models/llava.cpp for one image; `encode` runs the callback over it in any order that computes it."""

    def __init__(self, library: Encoder, *, first: bool = False, copied: str = "{}", **indices: np.ndarray) -> None:
        make = library.tensor
        patches, token = make("inp", table()[1:]), make(copied.format("v.class_embd"), np.zeros((1, D), np.float32))
        self.positions = make(copied.format("positions"), indices.get("positions", np.arange(ROWS, dtype=np.int32)))
        self.rows = make(copied.format("patches"), indices.get("patches", np.arange(1, ROWS, dtype=np.int32)))
        learned = make(copied.format("v.position_embd.weight"), table())
        joined = (token, patches) if first else (patches, token)
        self.joined = make("node_10", table(), "CONCAT", joined)
        self.looked_up = make("node_11", learned.values[self.positions.values], "GET_ROWS", (learned, self.positions))
        self.added = make("node_12", table(), "ADD", (self.joined, self.looked_up))
        self.encoded = make("layer_out-1 (reshaped)", table(), "RESHAPE", (self.added,))
        self.taken = make("node_79", table()[1:], "GET_ROWS", (self.encoded, self.rows))
        self.projected = make("node_80", table()[1:], "MUL_MAT", (self.taken,))

    @property
    def in_order(self) -> list[Tensor]:
        return [self.joined, self.looked_up, self.added, self.encoded, self.taken, self.projected]

    @property
    def reordered(self) -> list[Tensor]:
        """As a GPU's backend does."""
        return [self.looked_up, *(node for node in self.in_order if node is not self.looked_up)]


def encode(order: ClassTokenFirst, nodes: Iterable[Tensor]) -> None:
    with order.active():
        for node in nodes:
            if order.callback(node.at, True, None):
                assert order.callback(node.at, False, None)


@pytest.fixture
def library() -> Encoder:
    return Encoder()


@pytest.fixture
def order(library: Encoder) -> ClassTokenFirst:
    return ClassTokenFirst(library)  # type: ignore[arg-type]


@pytest.mark.parametrize("copied", ["{}", "CUDA0#{}#0"])
@pytest.mark.parametrize("reordered", [False, True])
def test_every_patch_gets_its_own_position_and_none_is_lost(
    library: Encoder, order: ClassTokenFirst, copied: str, reordered: bool
) -> None:
    for _ in range(2):  # images
        graph = Llava(library, copied=copied)
        encode(order, graph.reordered if reordered else graph.in_order)
        assert graph.looked_up.values[:, 0].tolist() == [1, 2, 3, 4, 0]
        assert graph.rows.values.tolist() == [0, 1, 2, 3]
        assert order.changed


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_table_that_is_added_whole_is_turned_once(library: Encoder, order: ClassTokenFirst, kind: type) -> None:
    token = library.tensor("v.class_embd", np.zeros((1, D), np.float32))
    repeated = library.tensor("node_9", token.values, "REPEAT", (token,))
    learned = library.tensor("v.position_embd.weight", table(kind))
    for _ in range(3):
        patches = library.tensor("inp", table()[1:])
        joined = library.tensor("node_10", table(), "CONCAT", (patches, repeated))
        encode(order, [repeated, joined, library.tensor("node_11", table(), "ADD", (joined, learned))])
        assert learned.values[:, 0].tolist() == [1, 2, 3, 4, 0]
    assert library.writes == ["v.position_embd.weight"]


def test_a_copy_of_the_table_is_turned_for_every_image(library: Encoder, order: ClassTokenFirst) -> None:
    """The scheduler copies it again from the file's tensor, on a backend that cannot add there."""
    token = library.tensor("CPU#v.class_embd#0", np.zeros((1, D), np.float32))
    learned = library.tensor("CPU#v.position_embd.weight#0", table())
    for _ in range(2):
        learned.values[:] = table()
        joined = library.tensor("node_10", table(), "CONCAT", (library.tensor("inp", table()[1:]), token))
        encode(order, [joined, library.tensor("node_11", table(), "ADD", (joined, learned))])
        assert learned.values[:, 0].tolist() == [1, 2, 3, 4, 0]


@pytest.mark.parametrize(
    "right",
    [{"first": True}, {"positions": numbers(1, 2, 3, 4, 0), "patches": numbers(0, 1, 2, 3)}],
    ids=["the class token first", "its position and its row told"],
)
def test_a_library_that_is_right_is_left_alone(library: Encoder, order: ClassTokenFirst, right: dict[str, Any]) -> None:
    graph = Llava(library, **right)
    before = [graph.looked_up.values.copy(), graph.rows.values.copy()]
    for nodes in (graph.in_order, graph.reordered):
        encode(order, nodes)
    assert library.writes == []
    assert not order.changed
    assert np.array_equal(graph.looked_up.values, before[0])
    assert np.array_equal(graph.rows.values, before[1])


def test_an_encoder_without_a_class_token_is_left_alone(library: Encoder, order: ClassTokenFirst) -> None:
    """GLM-Edge's, which joins other tokens to the image's at the end; and rows that are taken out of it."""
    patches, ending = library.tensor("inp", table()), library.tensor("v.eoi", np.zeros((1, D), np.float32))
    joined = library.tensor("node_10", table(), "CONCAT", (patches, ending))
    taken = library.tensor("node_11", table()[1:], "GET_ROWS", (joined, library.tensor("patches", numbers(1, 2, 3))))
    encode(order, [joined, taken])
    assert library.writes == []


@pytest.mark.parametrize(
    ("indices", "words"),
    [
        ({"positions": numbers(4, 3, 2, 1, 0)}, "in an unknown order"),
        ({"patches": numbers(3, 2, 1, 0)}, "in an unknown order"),
        ({"positions": np.zeros((2, ROWS), np.int32)}, "by an index of shape"),
    ],
)
def test_an_unknown_order_is_an_error(
    library: Encoder, order: ClassTokenFirst, indices: dict[str, np.ndarray], words: str
) -> None:
    graph = Llava(library)
    for name, values in indices.items():
        setattr(graph, {"patches": "rows"}.get(name, name), library.tensor(name, values))
    graph.looked_up.head.src[1], graph.taken.head.src[1] = graph.positions.at, graph.rows.at
    with pytest.raises(TvError, match=words):
        encode(order, graph.in_order)
    encode(order, Llava(library).in_order)  # the next image is not spoiled by it
    assert order.changed


def test_positions_that_never_come_are_an_error(library: Encoder, order: ClassTokenFirst) -> None:
    graph = Llava(library)
    with pytest.raises(TvError, match="where tv cannot give it its position"):
        encode(order, [graph.joined, graph.encoded, graph.taken])


def test_positions_of_another_number_are_an_error(library: Encoder, order: ClassTokenFirst) -> None:
    graph = Llava(library)
    short = library.tensor("v.position_embd.weight", table()[:3])
    with pytest.raises(TvError, match=r"adds positions of shape \(3, 3, 1, 1\) to 5 tokens"):
        encode(order, [graph.joined, library.tensor("node_12", table(), "ADD", (graph.joined, short))])


def test_what_fails_in_the_callback_is_raised_after_the_native_call(library: Encoder, order: ClassTokenFirst) -> None:
    seen: list[Tensor] = []

    def broken(tensor: int) -> bytes:
        raise MemoryError("mine")

    def watched(nodes: Sequence[Tensor]) -> Iterator[Tensor]:
        for node in nodes:
            yield node
            seen.append(node)

    library.ggml_get_name = broken  # type: ignore[method-assign]
    graph = Llava(library)
    with pytest.raises(MemoryError, match="mine"):
        encode(order, watched(graph.in_order))
    assert len(seen) == len(graph.in_order)
    assert library.writes == []


def test_an_interrupt_waits_until_the_image_is_encoded(library: Encoder, order: ClassTokenFirst) -> None:
    def interrupted(nodes: Sequence[Tensor]) -> Iterator[Tensor]:
        os.kill(os.getpid(), signal.SIGINT)
        yield from nodes

    graph = Llava(library)
    with pytest.raises(KeyboardInterrupt):
        encode(order, interrupted(graph.in_order))
    assert graph.rows.values.tolist() == [0, 1, 2, 3]
