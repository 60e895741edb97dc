"""Chat templates of real models: what precedes the answer, in a prompt in which the model does not think."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from source_package import NoSourcesError, sources

from tvcli.errors import TvError
from tvcli.images import load_image
from tvcli.prompts.chat import Chat

TEMPLATES = ROOT / "tests" / "data" / "templates"
# template, what stands before the first example, between an answer and the next question, and before the answer wanted
CHATML = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
REAL = {
    "Qwen3.5-4B": (*CHATML[:2], f"{CHATML[2]}<think>\n\n</think>\n\n"),
    "Qwen-Qwen3-0.6B": (*CHATML[:2], f"{CHATML[2]}<think>\n\n</think>\n\n"),
    "Qwen3-VL-Instruct": CHATML,
    "InternVL3": CHATML,
    "google-gemma-4-31B-it": (
        "<bos><|turn>user\n",
        "<turn|>\n<|turn>user\n",
        "<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
    ),
    "GLM-4.5V": ("[gMASK]<sop><|user|>\n", "<|user|>\n", "/nothink<|assistant|>\n<think></think>\n"),
    "mistralai-Ministral-3-14B-Reasoning-2512": ("[/SYSTEM_PROMPT][INST]", "<eos>[INST]", "[/INST]"),
    "SmolVLM2": ("<|im_start|>User: ", "<end_of_utterance>\nUser: ", "<end_of_utterance>\nAssistant:"),
}
UNUSABLE = {"fireworks-ai-llama-3-firefunction-v2"}  # it wants functions to call


def real(name: str) -> Chat:
    return Chat((TEMPLATES / f"{name}.jinja").read_text("utf-8"), "<bos>", "<eos>")


def text(chat: Chat, *questions: str, system: str = "") -> str:
    turns = [*((x, f"{x} answered") for x in questions[:-1]), (questions[-1], None)]
    return "".join(map(str, chat.render(turns, system).parts))


def test_every_stored_template_is_tested_and_its_license_said() -> None:
    stored = {path.stem for path in TEMPLATES.glob("*.jinja")}
    said = (TEMPLATES / "README.md").read_text("utf-8")
    assert stored == set(REAL)
    assert all(f"| `{name}.jinja` |" in said for name in stored)


@pytest.mark.parametrize("name", REAL)
def test_a_real_template_ends_where_the_answer_begins(name: str) -> None:
    start, between, end = REAL[name]
    rendered = text(real(name), "Peru", "Cuba")
    assert rendered.endswith(f"Peru answered{between}Cuba{end}")
    assert rendered.partition("Peru")[0].endswith(start)


@pytest.mark.parametrize("name", REAL)
def test_a_real_template_has_the_system_text_once_and_first(name: str) -> None:
    rendered = text(real(name), "Peru", system="Be brief.")
    assert rendered.count("Be brief.") == 1
    assert rendered.index("Be brief.") < rendered.index("Peru")


@pytest.mark.parametrize("name", REAL)
def test_a_real_template_has_the_image_where_its_text_would_be(name: str, picture: Path) -> None:
    image, chat = load_image(picture), real(name)
    before, after = text(chat, "Peru").split("Peru")
    assert chat.render([(image, None)]).parts == (before, image, after)
    assert chat.render([((image, "Which?"), None)]).parts == (before, image, "Which?", after)


@pytest.mark.source
def test_every_template_that_llama_cpp_tests_ends_without_thinking() -> None:
    try:
        found = {Path(path).stem: text for path, text in sources().items() if path.endswith(".jinja")}
    except NoSourcesError as error:
        pytest.skip(f"no source package: {error}")
    assert len(found) > 60
    for name in sorted(found):
        chat = Chat(found[name], "<bos>", "<eos>")
        if name in UNUSABLE:
            with pytest.raises(TvError, match="'functions' is undefined"):
                text(chat, "Peru", "Cuba")
            continue
        end = text(chat, "Peru", "Cuba", system="Be brief.").rpartition("Cuba")[2]
        for opened, closed in (("<think", "</think"), ("[THINK]", "[/THINK]"), ("START_THINKING", "END_THINKING")):
            assert end.count(opened) <= end.count(closed), (name, end)
