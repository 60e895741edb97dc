"""The defaults of an engine, the last tokens of a prompt, and which row a patch takes."""

from __future__ import annotations

import numpy as np

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import DEFAULTS, Decoding, ImageTokens, Patch, Token, tail
from tvcli.prompts.prompt import zero_shot
from tvcli.vector import TaskVector


def test_by_default_one_token_is_decoded_up_to_a_newline_and_the_machine_decides_the_rest() -> None:
    assert Decoding() == Decoding(max_tokens=1, stop_at_newline=True)
    assert (DEFAULTS.context, DEFAULTS.threads, DEFAULTS.gpu_layers, DEFAULTS.rpc) == (None, None, None, ())


def test_the_last_tokens_stop_at_a_picture() -> None:
    a, b, c = (Token(i, text) for i, text in enumerate("abc"))

    def last(layout: list[Token | ImageTokens], count: int) -> list[Token]:
        engine = FakeEngine()
        engine.layout = lambda prompt: layout  # type: ignore[method-assign]
        return tail(engine, zero_shot("x"), count)

    assert last([a, b, c], 2) == [b, c]
    assert last([a, b, c], 0) == []
    assert last([a, b, c], 5) == [a, b, c]
    assert last([a, ImageTokens(3), b, c], 5) == [b, c]
    assert last([a, ImageTokens(3)], 5) == []


def test_patch_of_takes_the_row_of_its_own_layer() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    for layer in range(4):
        patch = Patch.of(TaskVector(rows), layer)
        assert patch.layer == layer
        assert np.array_equal(patch.row, rows[layer])
