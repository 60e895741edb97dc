"""Cosine similarity of vectors, plain and centered, against numbers that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tvcli.errors import UsageError, VectorError
from tvcli.method.similarity import check_same_shape, similarity
from tvcli.vector import TaskVector


def vectors(*rows: Sequence[Sequence[float]]) -> list[TaskVector]:
    return [TaskVector(np.array(row, np.float32)) for row in rows]


def test_similarity_is_the_cosine_of_each_pair_at_each_layer() -> None:
    found = similarity(vectors([[0.3, 0.4], [1, 0]], [[0.4, 0.3], [0, 2]]))
    assert found.dtype == np.float64
    assert found.tolist() == pytest.approx(np.array([[[1, 0.96], [0.96, 1]], [[1, 0], [0, 1]]]), abs=1e-7)


def test_a_vector_of_zeros_is_like_nothing() -> None:
    assert similarity(vectors([[0, 0]], [[1, 0]])).tolist() == [[[0, 0], [0, 1]]]


def test_centered_similarity_is_that_of_the_distances_from_the_mean() -> None:
    three = vectors([[2, 1]], [[1, 2]], [[0, 0]])
    half = -np.sqrt(0.5)
    assert similarity(three, centered=True)[0] == pytest.approx(np.array([[1, 0, half], [0, 1, half], [half, half, 1]]))
    assert similarity(three)[0, 0, 1] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("count", "centered", "words"),
    [(1, False, "comparing needs at least 2 vectors"), (2, True, "centering needs at least 3 vectors")],
)
def test_too_few_vectors_to_compare_are_refused(count: int, centered: bool, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        similarity(vectors([[1, 2]]) * count, centered=centered)
    assert str(caught.value) == words


def test_every_vector_must_have_the_shape_of_the_first() -> None:
    check_same_shape(vectors([[1, 2]], [[3, 4]]))
    with pytest.raises(VectorError) as caught:
        check_same_shape(vectors([[1, 2]], [[3, 4]], [[1, 2, 3], [4, 5, 6]]))
    assert str(caught.value) == "vectors of different shapes cannot be compared: 1 layers × 2 and 2 layers × 3"
    with pytest.raises(VectorError, match="1 layers × 2 and 1 layers × 3"):
        similarity(vectors([[1, 2]], [[1, 2, 3]]))


def test_centering_takes_the_common_direction_away(three: list[Path]) -> None:
    from tvcli.vector import load

    vectors = [load(path) for path in three]
    raw, centered = similarity(vectors), similarity(vectors, centered=True)
    assert raw.shape == (6, 3, 3)
    assert np.allclose(raw.diagonal(axis1=1, axis2=2), 1)
    assert raw[:, 0, 1].min() > 0.9
    assert centered[:, 0, 1].max() < 0.5
