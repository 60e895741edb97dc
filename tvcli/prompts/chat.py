"""A model's chat template as a prompt format (paper, table 10)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tvcli.errors import TvError
from tvcli.prompts.jinja_process import TemplateError, rendered
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
_SLOT = re.compile("\ue000(\\d{1,6})\ue001")  # private-use characters mark where users' texts go


@dataclass(frozen=True)
class Chat:
    """Users' texts and images are inserted after rendering, so they are never parsed as a template."""

    template: str

    @property
    def name(self) -> str:
        """``chat`` for the model's own template, or ``chat: vicuna``."""
        return next((f"chat: {name}" for name, text in NAMED.items() if text == self.template), "chat")

    def render(self, turns: Sequence[Turn], system: str = "") -> Prompt:
        contents: list[Input] = [system] if system else []
        messages = [{"role": "system", "content": _slot(0)}] if system else []
        for x, answer in turns:
            for role, content in (("user", x), ("assistant", answer)):
                if content is not None:
                    parts = parts_of(content)
                    slots = map(_slot, range(len(contents), len(contents) + len(parts)))
                    messages.append({"role": role, "content": "".join(slots)})
                    contents += parts
        pieces = _SLOT.split(self._rendered(messages))
        if any(int(piece) >= len(contents) for piece in pieces[1::2]):
            raise TvError("the model's chat template cannot be used: it invents messages")
        filled = [Control(piece) if i % 2 == 0 else contents[int(piece)] for i, piece in enumerate(pieces)]
        return prompt_of(*filled)

    def _rendered(self, messages: Sequence[dict[str, str]]) -> str:
        variables = {"messages": messages, "add_generation_prompt": True, "bos_token": "", "eos_token": ""}
        try:
            return rendered(self.template, json.dumps(variables))
        except TemplateError as error:
            raise TvError(f"the model's chat template cannot be used: {error}") from error


def chat_of(own: str, known: str = "") -> tuple[Chat, str]:
    """The chat template to use, and a phrase that says which: the file's `own`, else the one of `NAMED` that the
    catalog knows (`known`), else ChatML, llama.cpp's default."""
    if own:
        return Chat(own), "the model's own template"
    if known in NAMED:
        return Chat(NAMED[known]), f"the {known} template that the catalog names, since the file has none"
    return Chat(CHATML), "ChatML, since the model has no template"


def _slot(number: int) -> str:
    return f"\ue000{number}\ue001"
