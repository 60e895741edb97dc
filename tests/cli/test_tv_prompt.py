"""`tv prompt` on the fake engine: examples, system text, many pictures, and where an answer ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import Runner
from known_answers import Says

import tvcli.models.opening
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import FIRST_TOKEN, Answer, Decoding, Patch
from tvcli.prompts.prompt import Prompt


def test_prompt_puts_examples_and_system_before_the_query(tv: Runner, pairs_file: Path) -> None:
    plain = tv("prompt", "-t", "Cuba", "--json")
    shown = tv("prompt", "-t", "Cuba", "-e", pairs_file, "--json", "-v")
    told = tv("prompt", "-t", "Cuba", "--system", "Be brief.", "--json")
    assert "no patch" in shown.err
    assert len({json.loads(ran.out)["margin"] for ran in (plain, shown, told)}) == 3


def test_chat_is_the_models_template_and_v_shows_its_end(tv: Runner) -> None:
    plain, chat = (tv("prompt", "-m", "fake", "-t", "Cuba", "-v", *option) for option in ([], ["--chat"]))
    assert "[:] (token " in plain.err
    assert "chat template of fake: ChatML, since the model has no template" in chat.err
    assert "assistant" in chat.err
    assert "[:] (token " not in chat.err


def test_a_stream_keeps_nothing_of_its_pictures_but_all_of_its_examples(
    tv: Runner, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(FakeEngine, "forget", lambda self, image: forgotten.append(image.name))
    assert tv("prompt", "--images-from", "-", stdin=f"{picture}\n{picture}\n".encode()).code == 0
    assert tv("prompt", "--text", "Greece").code == 0
    assert forgotten == [str(picture)] * 2


@pytest.mark.parametrize(("options", "said"), [([], "one"), (["--multiline"], "one\\ntwo")])
def test_an_answer_ends_at_the_newline_unless_it_may_go_on(
    tv: Runner, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    class Lines(Says):
        def answer(
            self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,), decoding: Decoding = FIRST_TOKEN
        ) -> list[list[Answer]]:
            return [[Answer("one" if decoding.stop_at_newline else "one\ntwo", (1,), 1.0)]]

    monkeypatch.setattr(tvcli.models.opening, "FakeEngine", lambda: Lines(""))
    assert tv("prompt", "-t", "x", *options).out == f"{said}\n"
