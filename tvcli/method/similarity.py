"""Similarity of vectors, layer by layer (paper, figure 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tvcli.errors import UsageError, VectorError
from tvcli.vector import TaskVector


def similarity(vectors: Sequence[TaskVector], *, centered: bool = False) -> np.ndarray:
    """Cosine similarity of every two vectors at every layer, float64 (L, N, N).

    `centered` first subtracts the vectors' mean: raw residuals share a large common direction, which makes
    all of them similar.

    Raises:
        UsageError: fewer than two vectors, or fewer than three to center (two would always be opposite).
        VectorError: vectors of different shapes.
    """
    if len(vectors) < (3 if centered else 2):
        raise UsageError(f"{'centering' if centered else 'comparing'} needs at least {3 if centered else 2} vectors")
    check_same_shape(vectors)
    rows = np.array([vector.rows for vector in vectors], np.float64).swapaxes(0, 1)  # (L, N, D)
    if centered:
        rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1e-12)
    return np.asarray(rows @ rows.swapaxes(1, 2))


def check_same_shape(vectors: Sequence[TaskVector]) -> None:
    """Raises VectorError that names both shapes."""
    for vector in vectors[1:]:
        if vector.rows.shape != vectors[0].rows.shape:
            one, other = (f"{v.n_layer} layers × {v.n_embd}" for v in (vectors[0], vector))
            raise VectorError(f"vectors of different shapes cannot be compared: {one} and {other}")
