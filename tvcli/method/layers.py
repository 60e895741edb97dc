"""Which layer to patch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from tvcli.engine.protocol import Decoding, Engine, Patch
from tvcli.errors import UsageError
from tvcli.metrics import PAPERS_METRIC, Judge
from tvcli.prompts.prompt import Example, zero_shot
from tvcli.vector import TaskVector


def default_layer(vector: TaskVector, suggested: int | None) -> tuple[int, str]:
    """The layer to patch when none is given, and why.

    The paper's best layers are at half the depth: 15 and 16 of 32 (LLaVA-1.5, Idefics2).
    """
    if vector.provenance.layer is not None:
        return vector.provenance.layer, vector.provenance.layer_selection or "recorded in the vector"
    if suggested is not None and suggested < vector.n_layer:
        return suggested, "the catalog's layer for this model"
    return vector.n_layer // 2, "half the depth, since no better layer is known; try `layer` all"


def check_layer(layer: int, n_layer: int) -> int:
    """The layer itself. Raises UsageError if it is out of range."""
    if not 0 <= layer < n_layer:
        raise UsageError(f"`layer` {layer} is outside 0 to {n_layer - 1}")
    return layer


def layer_accuracy(
    engine: Engine,
    vector: TaskVector,
    examples: Sequence[Example],
    progress: Callable[[Sequence[Example]], Iterable[Example]] = iter,
    judge: Judge = PAPERS_METRIC,
) -> np.ndarray:
    """The accuracy of each layer's patch on the examples' own inputs, float64 (L,): the paper's validation.

    A repeated input is asked once; any of its answers is correct.
    """
    patches = [Patch.of(vector, layer) for layer in range(vector.n_layer)]
    decoding, hits = Decoding(judge.max_tokens("")), np.zeros(vector.n_layer)
    labels: dict[Hashable, list[str]] = {}
    asked = []
    for example in examples:
        if example.identities not in labels:
            asked.append(example)
        labels.setdefault(example.identities, []).append(example.output)
    for example in progress(asked):
        answers = engine.answer([zero_shot(example.input)], patches, decoding)[0]
        hits += [judge.correct(answer.text, labels[example.identities]) for answer in answers]
    return hits / len(asked)
