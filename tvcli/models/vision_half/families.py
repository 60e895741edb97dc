"""The families of models whose vision half tv can run, and how their image tokens stand in a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """`architecture` is the model's class in transformers; `before`, `after` and `causal` are as in `EncodedImage`.

    `options` are given to the model's image processor: one image is one run of tokens, as in the paper, which turns
    the splitting off (xpatch_helpers.py, ``do_image_splitting``).
    """

    architecture: str
    before: str = ""
    after: str = ""
    causal: bool = True
    options: Mapping[str, object] = field(default_factory=dict)


FAKE_TOKEN = "<fake_token_around_image>"  # noqa: S105 - of the vocabulary

FAMILIES: Mapping[str, Family] = {  # by model_type; each text is what the family's processor in transformers writes
    "idefics2": Family(
        "Idefics2ForConditionalGeneration", FAKE_TOKEN, FAKE_TOKEN, options={"do_image_splitting": False}
    ),
    "llava": Family("LlavaForConditionalGeneration"),
    "gemma3": Family(
        "Gemma3ForConditionalGeneration",
        "\n\n<start_of_image>",
        "<end_of_image>\n\n",
        causal=False,
        options={"do_pan_and_scan": False},
    ),
}
