"""What a residual decodes to, layer by layer: the logit lens (paper, sections 3.3 and 4.5, table 6).

The last layer's output is overwritten with the residual, so that the model's own final norm and head decode it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tvcli.engine.protocol import Engine, Patch
from tvcli.prompts.prompt import zero_shot


@dataclass(frozen=True)
class Decoded:
    """A token that a residual decodes to, with its probability."""

    text: str
    probability: float


def decode(engine: Engine, rows: np.ndarray) -> np.ndarray:
    """Next-token probabilities that the head computes from residuals float32 (K, D): float64 (K, V)."""
    last = engine.model.n_layer - 1
    # the prompt does not matter: its own residual is overwritten before the final norm
    logits = engine.logits([zero_shot("x")], [Patch(last, row) for row in rows])[0].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def top_tokens(engine: Engine, rows: np.ndarray, count: int) -> list[list[Decoded]]:
    """The `count` most probable tokens of each row, K lists."""
    found = []
    for probabilities in decode(engine, rows):
        best = np.argsort(-probabilities, kind="stable")[:count]
        found.append([Decoded(engine.token_text(int(i)), float(probabilities[i])) for i in best])
    return found
