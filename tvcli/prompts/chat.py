"""A model's chat template as a prompt format (paper, table 10)."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvcli.errors import TvError
from tvcli.prompts.jinja_process import Outcome, TemplateError, rendered
from tvcli.prompts.prompt import Control, Input, Prompt, Turn, parts_of, prompt_of

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VICUNA = (
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}\n\n"
    "{% elif message.role == 'user' %}USER: {{ message.content }}\n"
    "{% else %}ASSISTANT: {{ message.content }}</s>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
# for model files without a template, under llama.cpp's names and with its texts (src/llama-chat.cpp)
NAMED = {"chatml": CHATML, "vicuna": VICUNA}
# what templates call the switch that turns thinking off; a template ignores names that it does not know
_WITHOUT_THINKING = {
    "enable_thinking": False,  # Qwen 3 and 3.5, Gemma 4, GLM 4.5, MiniCPM-V 4.5
    "reasoning": False,  # Command
    "thinking": False,  # DeepSeek 3.1, Kimi K2.5, Granite
    "thinking_budget": 0,  # Seed-OSS
    "thinking_mode": "disabled",  # MiniMax M3
    "thinking_option": "off",  # Ling 3
}
_THINKING = re.compile(r"(<|\[)(think|THINK)(>|\])\s*\Z")  # the end of a prompt after which the model thinks
_SLOT = re.compile("\ue000(\\d{1,6})\ue001")  # private-use characters mark where users' texts go

Message = tuple[str, tuple[Input, ...]]  # a role, and the parts of what it says


@dataclass(frozen=True)
class Chat:
    """Users' texts and images are inserted after rendering, so they are never parsed as a template.

    `bos` and `eos` are the texts of these tokens, for templates that write them.
    """

    template: str
    bos: str = ""
    eos: str = ""

    @property
    def name(self) -> str:
        """``chat`` for the model's own template, or ``chat: vicuna``."""
        return next((f"chat: {name}" for name, text in NAMED.items() if text == self.template), "chat")

    def render(self, turns: Sequence[Turn], system: str = "") -> Prompt:
        """A prompt in which the model does not think: it ends in an empty thinking block, if the template has one.

        Templates differ in the messages that they take; of the forms that are tried, the first counts of which every
        part is rendered.
        """
        forms = [(messages, listed) for messages in _conversations(turns, system) for listed in (False, True)]
        reasons = []
        for (messages, _), (text, reason) in zip(forms, self._rendered(forms), strict=True):
            parts = [part for _, said in messages for part in said]
            pieces = _SLOT.split(text)
            reason = reason or _mismatch({int(piece) for piece in pieces[1::2]}, set(range(len(parts))))
            if not reason:
                pieces[-1] = _THINKING.sub(r"\1\2\3\n\n\1/\2\3\n\n", pieces[-1])
                return prompt_of(*(parts[int(piece)] if i % 2 else Control(piece) for i, piece in enumerate(pieces)))
            reasons.append(reason)
        raise TvError(f"the model's chat template cannot be used: {reasons[0]}")

    def _rendered(self, forms: Sequence[tuple[Sequence[Message], bool]]) -> Sequence[Outcome]:
        fixed = {"add_generation_prompt": True, "bos_token": self.bos, "eos_token": self.eos, **_WITHOUT_THINKING}
        variables = [{"messages": _written(messages, listed=listed), **fixed} for messages, listed in forms]
        try:
            return rendered(self.template, json.dumps(variables))
        except TemplateError as error:
            raise TvError(f"the model's chat template cannot be used: {error}") from error


def _conversations(turns: Sequence[Turn], system: str) -> list[list[Message]]:
    """What is said: with a system text, first as a message of its own, then before the user's first text."""
    said: list[Message] = []
    for x, answer in turns:
        said += [("user", parts_of(x)), *([] if answer is None else [("assistant", parts_of(answer))])]
    if not system:
        return [said]
    (role, first), *others = said
    return [[("system", (system,)), *said], [(role, (f"{system}\n\n", *first)), *others]]


def _written(messages: Sequence[Message], *, listed: bool) -> list[dict[str, Any]]:
    """The messages of a template, with a slot for each part; each content is one text, or a list (`listed`).

    An image's slot is a text too, as in llama.cpp's server: a template would write the marker of its processor, but
    llama.cpp writes its own around the image.
    """
    numbers = itertools.count()
    written = []
    for role, parts in messages:
        slots = [f"\ue000{next(numbers)}\ue001" for _ in parts]
        written.append(
            {"role": role, "content": [{"type": "text", "text": s} for s in slots] if listed else "".join(slots)}
        )
    return written


def _mismatch(rendered: set[int], wanted: set[int]) -> str:
    """The reason why rendered parts are not all of those that are wanted, and no others; empty if they are."""
    return "it invents messages" if rendered - wanted else "it leaves out messages" if wanted - rendered else ""


def chat_of(own: Chat | None, known: str = "") -> tuple[Chat, str]:
    """The chat template to use, and a phrase that says which: the file's `own`, else the one of `NAMED` that the
    catalog knows (`known`), else ChatML, llama.cpp's default."""
    if own is not None:
        return own, "the model's own template"
    if known in NAMED:
        return Chat(NAMED[known]), f"the {known} template that the catalog names, since the file has none"
    return Chat(CHATML), "ChatML, since the model has no template"
