"""A model that is opened without a with block: open until it is closed, and what it says then."""

from __future__ import annotations

import pytest

import tvcli
from tvcli.models.opening import Model, open_model
from tvcli.prompts.prompt import zero_shot


def test_a_model_is_open_until_it_is_closed() -> None:
    model = open_model("fake")
    assert isinstance(model, Model)
    assert model.engine.answer([zero_shot("x")])
    model.close()
    model.close()
    with pytest.raises(tvcli.UsageError, match="the model fake is closed; open it again"):
        model.engine.read([zero_shot("x")])


def test_a_with_block_closes_it() -> None:
    with open_model("fake") as model:
        assert model.engine.answer([zero_shot("x")])
    with pytest.raises(tvcli.UsageError, match="is closed"):
        model.engine.layout(zero_shot("x"))
