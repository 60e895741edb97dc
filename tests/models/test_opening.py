"""A model that is opened without a with block: open until it is closed, and what it says then."""

from __future__ import annotations

from pathlib import Path

import pytest

import tvcli
from tvcli.engine.fake import FakeEngine
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


def test_what_the_catalog_knows_of_a_model_comes_with_it(
    ggufs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TV_MODELS_DIR", str(tmp_path))
    monkeypatch.setattr("tvcli.engine.llama.LlamaEngine", lambda *_: FakeEngine())
    facts = {"one": 'llm = "picto"\ntemplate = "vicuna"\none_image = true\n', "two": ""}
    for name, said in facts.items():
        local = f"[local]\ntext = {str(ggufs[0])!r}\n"
        (tmp_path / f"{name}.toml").write_text(f'description = "d"\nlicense = "l"\n{said}{local}')
    one, two = open_model("one"), open_model("two")
    assert (one.name, one.llm, one.template, one.one_image) == ("one", "picto", "vicuna", True)
    assert (two.name, two.llm, two.template, two.one_image) == ("two", None, "", False)
