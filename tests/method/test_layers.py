"""Which layer a vector is patched at and why, and the accuracy of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
from listening import listed

from tvcli.cli.work.layers import parse_layer
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import FIRST_TOKEN, Answer, Decoding, Patch
from tvcli.errors import UsageError
from tvcli.method.layers import check_layer, default_layer, layer_accuracy
from tvcli.metrics import Judge, Metric
from tvcli.prompts.prompt import Example, Prompt, zero_shot
from tvcli.vector import TaskVector


def test_the_layer_comes_with_its_reason() -> None:
    vector = TaskVector(np.zeros((6, 2), np.float32))
    assert default_layer(vector.with_layer(0, ""), 4) == (0, "recorded in the vector")
    assert default_layer(vector.with_layer(5, "best"), 4) == (5, "best")
    assert default_layer(vector, 5) == (5, "the catalog's layer for this model")
    assert default_layer(TaskVector(np.zeros((7, 2), np.float32)), None)[0] == 3
    assert default_layer(vector, 6) == (3, "half the depth, since no better layer is known; try `layer` all")


def test_a_layer_is_a_number_of_the_model_or_all() -> None:
    assert parse_layer("all", 3) == [0, 1, 2]
    assert [parse_layer(text, 3) for text in ("0", "2")] == [[0], [2]]
    for layer in (-1, 3):
        with pytest.raises(UsageError) as caught:
            check_layer(layer, 3)
        assert str(caught.value) == f"`layer` {layer} is outside 0 to 2"
    with pytest.raises(UsageError) as caught:
        parse_layer("ALL", 3)
    with pytest.raises(UsageError):
        parse_layer("0_2", 3)
    assert str(caught.value) == "--layer must be a number or 'all', not 'ALL'"


def test_each_layer_is_judged_by_its_own_row_on_the_bare_query() -> None:
    class Asked(FakeEngine):
        asked: ClassVar[list[Prompt]] = []

        def answer(
            self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,), decoding: Decoding = FIRST_TOKEN
        ) -> list[list[Answer]]:
            self.asked.extend(prompts)
            return super().answer(prompts, patches, decoding)

    vector = TaskVector(np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32) * 5)
    said = FakeEngine().answer([zero_shot("x0")], [Patch.of(vector, layer) for layer in range(6)])[0]
    seen: list[Example] = []
    asked = [Example("x0", said[2].text), Example("x1", "nothing of the kind")]
    found = layer_accuracy(Asked(), vector, asked, listed(seen))
    assert found.tolist() == [0.5 * (answer.text == said[2].text) for answer in said]
    assert seen == asked
    assert Asked.asked == [zero_shot("x0"), zero_shot("x1")]


def test_layers_are_judged_by_the_metric_that_is_given_with_as_many_tokens_as_it_takes() -> None:
    class Says(FakeEngine):
        asked: ClassVar[list[Decoding]] = []

        def answer(
            self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,), decoding: Decoding = FIRST_TOKEN
        ) -> list[list[Answer]]:
            self.asked.append(decoding)
            return [[Answer(" Kath", (1,), 1.0)] * len(patches)]

    vector, asked = TaskVector(np.zeros((6, 16), np.float32)), [Example("Nepal", "Kathmandu")]
    assert layer_accuracy(Says(), vector, asked).tolist() == [1] * 6
    assert layer_accuracy(Says(), vector, asked, judge=Judge(Metric.EXACT)).tolist() == [0] * 6
    assert [decoding.max_tokens for decoding in Says.asked] == [1, 12]


def test_the_layer_is_the_vectors_own_else_the_catalogs_else_half_the_depth() -> None:
    vector = TaskVector(np.zeros((6, 2), np.float32))
    assert default_layer(vector.with_layer(1, "best"), 4) == (1, "best")
    assert default_layer(vector, 4)[0] == 4
    assert default_layer(vector, 0)[0] == 0
    assert default_layer(vector, 6)[0] == 3  # of a deeper model
    assert default_layer(vector, None)[0] == 3


def test_a_layers_accuracy_is_the_share_of_queries_that_it_answers() -> None:
    class ByLayer(FakeEngine):
        def _answer(self, prompt: Prompt, patch: Patch | None, decoding: Decoding) -> Answer:
            number = int(str(prompt.parts[0]).split("x")[1].split("\n")[0])
            return Answer(f"y{number}" if patch and number < patch.layer else "no", (1,), 1)

    examples = [Example(f"x{i}", f"y{i}") for i in range(4)]
    found = layer_accuracy(ByLayer(), TaskVector(np.zeros((6, 16), np.float32)), examples)
    assert found.tolist() == [0, 0.25, 0.5, 0.75, 1, 1]
