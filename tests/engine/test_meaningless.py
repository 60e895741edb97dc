"""On a real engine: answers that mean nothing are warned of once for a layer, and a chat template's BOS is one."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from random_models import FAMILIES

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Decoding, ImageTokens, Patch, Token
from tvcli.images import Image
from tvcli.prompts.chat import Chat
from tvcli.prompts.prompt import Control, Input, prompt_of, zero_shot

PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}A:"


def test_an_overflow_is_said_once_for_a_layer(random_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tvcli")
    with LlamaEngine(random_model) as engine:
        large = [Patch(layer, np.full(engine.model.n_embd, 1e30, np.float32)) for layer in (0, 1)]
        for _ in range(2):
            for answer in engine.answer([zero_shot("x"), zero_shot("y")], [None, *large], Decoding(2))[0]:
                assert np.isfinite(answer.margin)
        words = "the model's logits are all equal, so the answer means nothing"
        said = [record.getMessage() for record in caplog.records]
        assert said == [f"after overwriting layer {layer} {words}" for layer in (0, 1)]
        engine.answer([zero_shot("x")], [Patch(0, np.full(engine.model.n_embd, np.inf, np.float32))])
        assert caplog.records[-1].getMessage().startswith("after overwriting layer 0 the model's logits are ")


@pytest.mark.parametrize("family", ["llama", "llava"])
def test_a_chat_template_that_writes_its_own_bos_gives_one(family: str, tmp_path: Path) -> None:
    files = FAMILIES[family]().write(tmp_path)
    with LlamaEngine(files.text, files.vision) as engine:
        first = engine.layout(zero_shot("x"))[0]
        assert isinstance(first, Token)
        contents: list[Input] = (
            ["x"] if files.vision is None else ["x", Image(np.array(Pillow.new("RGB", (56, 56))), "i")]
        )
        for content in contents:
            own, plain = (engine.layout(Chat(bos + PLAIN).render([(content, None)])) for bos in (first.text, ""))
            assert own == plain
            ids = [piece.id for piece in own if not isinstance(piece, ImageTokens)]
            assert ids.count(first.id) == 1
        twice = engine.layout(prompt_of(Control(first.text), first.text, Control(":")))
        assert [piece.id for piece in twice if isinstance(piece, Token)].count(first.id) == 1  # a user's is text


@pytest.mark.parametrize(("family", "bos", "eos"), [("pixtral", "<s>", "</s>"), ("qwen3", "", "<|endoftext|>")])
def test_a_chat_template_has_the_files_bos_and_eos(family: str, bos: str, eos: str, tmp_path: Path) -> None:
    file = FAMILIES[family]().text
    own = replace(file, metadata={**file.metadata, "tokenizer.chat_template": PLAIN}).write(tmp_path / "own.gguf")
    with LlamaEngine(own) as engine:
        assert engine.chat_template == Chat(PLAIN, bos, eos)
    beyond = {"tokenizer.chat_template": PLAIN, "tokenizer.ggml.eos_token_id": 1 << 30}
    with LlamaEngine(replace(file, metadata={**file.metadata, **beyond}).write(tmp_path / "beyond.gguf")) as engine:
        assert engine.chat_template == Chat(PLAIN, bos)
    with LlamaEngine(file.write(tmp_path / "none.gguf")) as engine:
        assert engine.chat_template is None
