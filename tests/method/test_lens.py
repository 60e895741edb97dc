"""The lens: decoded residuals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tvcli.engine.fake import WORDS, FakeEngine
from tvcli.engine.protocol import Patch
from tvcli.method.lens import Decoded, decode, top_tokens
from tvcli.prompts.prompt import Prompt


def test_a_residual_decodes_to_the_softmax_of_the_heads_logits() -> None:
    class Head(FakeEngine):
        def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
            assert [prompt.parts for prompt in prompts] == [("Q:x\nA:",)]
            assert [patch and patch.layer for patch in patches] == [5] * len(patches)
            return np.array([[patch.row[:3] for patch in patches if patch]], np.float32)

    rows = np.log(np.array([[1, 1, 2], [1, 3, 4]], np.float32))
    found = decode(Head(), rows)
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array([[0.25, 0.25, 0.5], [0.125, 0.375, 0.5]]))
    extreme = np.array([[1000, 1000, 0], [0, 0, -1000]], np.float32)
    assert decode(Head(), extreme).tolist() == [[0.5, 0.5, 0]] * 2
    best = top_tokens(Head(), rows, 2)
    assert [[token.text for token in tokens] for tokens in best] == [[" Lima", "\n"], [" Lima", " Paris"]]
    assert best[1] == [Decoded(" Lima", pytest.approx(0.5)), Decoded(" Paris", pytest.approx(0.375))]  # type: ignore[arg-type]


def test_tokens_of_one_probability_stand_in_the_vocabularys_order() -> None:
    class Undecided(FakeEngine):
        def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
            return np.array([[np.arange(100) % 2] * len(patches)], np.float32)

        def token_text(self, token: int) -> str:
            return str(token)

    [tokens] = top_tokens(Undecided(), np.zeros((1, 16), np.float32), 100)
    assert [token.text for token in tokens] == [*map(str, range(1, 100, 2)), *map(str, range(0, 100, 2))]


def test_the_lens_reads_what_the_head_would_say(engine: FakeEngine) -> None:
    rows = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    probabilities = decode(engine, rows)
    assert np.allclose(probabilities.sum(1), 1)
    expected = np.exp(rows @ engine._unembedding)
    assert np.allclose(probabilities, expected / expected.sum(1, keepdims=True), atol=1e-5)
    best = [tokens[0].text for tokens in top_tokens(engine, rows, 3)]
    assert best == [WORDS[i] for i in probabilities.argmax(1)]
