"""The hook against a library made for it: which layer is recorded, what is written where, and what must not pass."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvcli.engine.hook import Edit, ResidualHook
from tvcli.engine.native.declarations import declarations
from tvcli.engine.native.library import HEADER
from tvcli.errors import TvError

L, D, ROWS = 4, 3, 2
TYPES = declarations(HEADER.read_text("utf-8")).types


class Graph:
    """Tensors of a decode, in memory; and what of llama.cpp the hook calls."""

    ggml_tensor = TYPES["ggml_tensor"]
    ggml_backend_sched_eval_callback = TYPES["ggml_backend_sched_eval_callback"]

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[bytes, Any, np.ndarray]] = {}

    def tensor(self, name: str, values: np.ndarray, **changed: Any) -> int:
        """A float32 (rows, D) tensor as ggml lays it out; `changed` are members that are wrong."""
        rows, width = values.shape
        head = self.ggml_tensor()
        head.type, head.buffer = changed.get("type", 0), 1
        head.ne[:] = changed.get("ne", (width, rows, 1, 1))
        head.nb[:] = changed.get("nb", (4, 4 * width, 4 * width * rows, 4 * width * rows))
        at = ctypes.addressof(head)
        self.tensors[at] = (name.encode(), head, values)
        return at

    def ggml_get_name(self, tensor: int) -> bytes:
        return self.tensors[tensor][0]

    def ggml_backend_buffer_name(self, buffer: int) -> bytes:
        return b"CPU"

    def ggml_backend_tensor_get(self, tensor: int, data: int, offset: int, size: int) -> None:
        ctypes.memmove(data, self.tensors[tensor][2].ctypes.data + offset, size)

    def ggml_backend_tensor_set(self, tensor: int, data: int, offset: int, size: int) -> None:
        ctypes.memmove(self.tensors[tensor][2].ctypes.data + offset, data, size)

    def decode(self, hook: ResidualHook, order: list[int]) -> list[int]:
        """Ask about each tensor, and show those that are wanted; which were."""
        wanted = []
        for tensor in order:
            if hook.callback(tensor, True, None):
                wanted.append(tensor)
                assert hook.callback(tensor, False, None)
        return wanted


@pytest.fixture
def graph() -> Graph:
    return Graph()


def residual(layer: int, rows: int = ROWS) -> np.ndarray:
    """What layer l puts out: row r is l, r, 1."""
    return np.array([[layer, row, 1] for row in range(rows)], np.float32)


def put(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda residual: values


def stream(graph: Graph) -> list[int]:
    """A decode's nodes: each layer's output between others."""
    nodes = []
    for layer in range(L):
        nodes += [
            graph.tensor(f"attn_out-{layer}", residual(99)),
            graph.tensor(f"l_out-{layer}", residual(layer)),
            graph.tensor(f"l_out-{layer} (view)", residual(98)),
        ]
    return [*nodes, graph.tensor("result_norm", residual(97))]


def test_every_layer_is_recorded_under_its_own_number(graph: Graph) -> None:
    hook = ResidualHook(graph, L, D)  # type: ignore[arg-type]
    with hook.armed(rows=ROWS, edits={}, read=True) as captured:
        wanted = graph.decode(hook, stream(graph))
    assert captured is not None
    assert captured.shape == (ROWS, L, D)
    assert np.array_equal(captured, np.stack([residual(layer) for layer in range(L)], axis=1))
    assert [graph.ggml_get_name(tensor) for tensor in wanted] == [b"l_out-%d" % layer for layer in range(L)]
    assert hook.buffers == ["CPU"] * L


@pytest.mark.parametrize("layer", range(L))
def test_a_row_is_written_at_its_layer_and_nowhere_else(graph: Graph, layer: int) -> None:
    hook, nodes = ResidualHook(graph, L, D), stream(graph)  # type: ignore[arg-type]
    edits: dict[int, list[Edit]] = {layer: [(1, put(np.array([7, 8, 9], np.float64)))]}
    with hook.armed(rows=ROWS, edits=edits, read=True) as captured:
        graph.decode(hook, nodes)
    expected = np.stack([residual(n) for n in range(L)], axis=1)
    expected[1, layer] = [7, 8, 9]
    assert captured is not None
    assert np.array_equal(captured, expected)  # what is read is what the next layer reads
    for name, _, values in graph.tensors.values():
        if b"l_out" not in name or b"view" in name:
            assert not (values == 7).any()


def test_an_edit_is_given_what_was_computed_and_edits_of_a_row_follow_each_other(graph: Graph) -> None:
    hook, nodes, seen = ResidualHook(graph, L, D), stream(graph), []  # type: ignore[arg-type]

    def add(residual: np.ndarray) -> np.ndarray:
        seen.append(residual.tolist())
        return residual + 1

    with hook.armed(rows=ROWS, edits={2: [(1, add), (1, add)]}, read=True) as captured:
        graph.decode(hook, nodes)
    assert seen == [[2, 1, 1], [3, 2, 2]]
    expected = np.stack([residual(n) for n in range(L)], axis=1)
    expected[1, 2] = [4, 3, 3]
    assert captured is not None
    assert np.array_equal(captured, expected)


def test_rows_of_a_layer_are_copied_once_each_way_from_the_first_edited_to_the_last(graph: Graph) -> None:
    hook, values, copied = ResidualHook(graph, 1, D), residual(0, 9), []  # type: ignore[arg-type]
    for name in ("ggml_backend_tensor_get", "ggml_backend_tensor_set"):
        real = getattr(graph, name)

        def counted(*given: int, name: str = name[-3:], real: Callable[..., None] = real) -> None:
            copied.append((name, *given[2:]))
            real(*given)

        setattr(graph, name, counted)
    edits: list[Edit] = [(6, put(np.full(D, 7))), (2, put(np.full(D, 8)))]
    with hook.armed(rows=9, edits={0: edits}, read=False):
        graph.decode(hook, [graph.tensor("l_out-0", values)])
    assert copied == [("get", 2 * D * 4, 5 * D * 4), ("set", 2 * D * 4, 5 * D * 4)]
    expected = residual(0, 9)
    expected[6], expected[2] = 7, 8
    assert np.array_equal(values, expected)


def test_only_layers_that_are_written_are_asked_for_when_nothing_is_read(graph: Graph) -> None:
    hook, nodes = ResidualHook(graph, L, D), stream(graph)  # type: ignore[arg-type]
    with hook.armed(rows=ROWS, edits={2: [(0, put(np.zeros(D)))]}, read=False) as captured:
        wanted = graph.decode(hook, nodes)
    assert captured is None
    assert [graph.ggml_get_name(tensor) for tensor in wanted] == [b"l_out-2"]


def test_a_hook_at_rest_wants_nothing(graph: Graph) -> None:
    hook = ResidualHook(graph, L, D)  # type: ignore[arg-type]
    assert graph.decode(hook, stream(graph)) == []


@pytest.mark.parametrize(
    ("choose", "times"),
    [
        (lambda nodes: nodes[:-6], 0),  # the last layer's output is missing
        (lambda nodes: [*nodes, nodes[-3]], 2),
        (lambda nodes: [], 0),
    ],
)
def test_a_layer_that_does_not_fire_exactly_once_is_an_error(
    graph: Graph, choose: Callable[[list[int]], list[int]], times: int
) -> None:
    hook = ResidualHook(graph, L, D)  # type: ignore[arg-type]
    nodes = choose(stream(graph))
    armed = hook.armed(rows=ROWS, edits={3: [(0, put(np.zeros(D)))]}, read=False)
    with pytest.raises(TvError, match=f"l_out-3 appeared {times} times in the decode instead of once"), armed:
        graph.decode(hook, nodes)


@pytest.mark.parametrize(
    "changed",
    [
        {"type": 1},
        {"ne": (D + 1, ROWS, 1, 1)},
        {"ne": (D, ROWS + 1, 1, 1)},
        {"ne": (D, ROWS, 2, 1)},
        {"nb": (2, 4 * D, 0, 0)},
        {"nb": (4, 8 * D, 0, 0)},
    ],
)
def test_a_tensor_of_another_kind_is_an_error_and_is_not_touched(graph: Graph, changed: dict[str, Any]) -> None:
    hook, values = ResidualHook(graph, 1, D), residual(0)  # type: ignore[arg-type]
    tensor = graph.tensor("l_out-0", values, **changed)
    armed = hook.armed(rows=ROWS, edits={0: [(0, put(np.full(D, 7)))]}, read=True)
    with pytest.raises(TvError, match="residual stream cannot be read"), armed:
        graph.decode(hook, [tensor])
    assert np.array_equal(values, residual(0))


def test_what_goes_wrong_in_the_callback_is_raised_after_the_decode_and_once(graph: Graph) -> None:
    hook, nodes = ResidualHook(graph, L, D), stream(graph)  # type: ignore[arg-type]
    real = graph.ggml_backend_tensor_get

    def interrupted(*given: int) -> None:
        if graph.ggml_get_name(given[0]) == b"l_out-1":
            raise KeyboardInterrupt
        real(*given)

    graph.ggml_backend_tensor_get = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt), hook.armed(rows=ROWS, edits={}, read=True):
        graph.decode(hook, nodes)
    hook.raise_pending()


def test_after_an_error_no_other_layer_is_touched(graph: Graph) -> None:
    hook, nodes = ResidualHook(graph, L, D), stream(graph)  # type: ignore[arg-type]
    broken = graph.tensor("l_out-0", residual(0), type=1)
    edits: dict[int, list[Edit]] = {layer: [(0, put(np.full(D, 7)))] for layer in range(L)}
    with pytest.raises(TvError, match="cannot be read"), hook.armed(rows=ROWS, edits=edits, read=True):
        graph.decode(hook, [broken, *nodes])
    assert not any((values == 7).any() for _, _, values in graph.tensors.values())


def test_the_memory_of_a_layer_is_unknown_until_it_is_read(graph: Graph) -> None:
    hook = ResidualHook(graph, L, D)  # type: ignore[arg-type]
    assert hook.buffers == [""] * L


def test_a_memory_name_that_is_no_unicode_does_no_harm(graph: Graph) -> None:
    hook, names = ResidualHook(graph, 1, D), {1: b"GPU\xff"}  # type: ignore[arg-type]
    graph.ggml_backend_buffer_name = names.__getitem__  # type: ignore[method-assign, assignment]
    with hook.armed(rows=ROWS, edits={}, read=True):
        graph.decode(hook, [graph.tensor("l_out-0", residual(0))])
    assert hook.buffers == ["GPU\ufffd"]


def test_a_tensor_of_another_kind_is_described_in_full(graph: Graph) -> None:
    hook = ResidualHook(graph, 1, D)  # type: ignore[arg-type]
    tensor = graph.tensor("l_out-0", residual(0), type=1)
    with pytest.raises(TvError) as caught, hook.armed(rows=ROWS, edits={}, read=True):
        graph.decode(hook, [tensor])
    assert str(caught.value) == (
        "the tensor l_out-0 has shape (3, 2, 1, 1) and type 1, expected (3, 2, 1, 1) of 32-bit floats; "
        "this model's residual stream cannot be read"
    )
