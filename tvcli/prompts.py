"""Examples and queries to prompts, in the paper's template.

A prompt is a sequence of text and images. Its last token is the *delimiter*, the ``:`` of ``A:``:
task vectors are read there and written there (paper, section 3).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tvcli.errors import UsageError
from tvcli.images import Image

TEMPLATE = "Q:{x}\nA:"  # paper, section 3.1; an answered example adds "{y}\n\n"
Input = str | Image


@dataclass(frozen=True)
class Example:
    """One input with its answer; `where` (file and line) is for error messages."""

    input: Input
    output: str
    where: str = ""

    @property
    def is_image(self) -> bool:
        return isinstance(self.input, Image)


@dataclass(frozen=True)
class Prompt:
    """Text and images in order. Text is never parsed for control tokens."""

    parts: tuple[Input, ...]

    def __post_init__(self) -> None:
        if not self.parts or not isinstance(self.parts[-1], str) or not self.parts[-1].strip():
            raise UsageError("a prompt must end in text, since its last token is the delimiter")

    @property
    def images(self) -> tuple[Image, ...]:
        return tuple(part for part in self.parts if isinstance(part, Image))

    def after(self, prefix: Sequence[Input]) -> Prompt:
        """The same prompt with `prefix` (answered examples, a system text) in front."""
        return prompt_of(*prefix, *self.parts)


def prompt_of(*parts: Input) -> Prompt:
    """A prompt of the given parts; neighbouring texts become one, so that they are tokenized as one."""
    merged: list[Input] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif not (isinstance(part, str) and not part):
            merged.append(part)
    return Prompt(tuple(merged))


def query(x: Input, template: str = TEMPLATE) -> Prompt:
    """A question without an answer: ``Q:{x}\\nA:``."""
    before, after = template.split("{x}")
    return prompt_of(before, x, after)


def instruction(text: str) -> Prompt:
    """``{text}:``, read at its final colon (paper, section 3.2)."""
    text = text.strip().rstrip(":").rstrip()
    if not text:
        raise UsageError("the instruction is empty")
    return prompt_of(text + ":")


def answered(examples: Sequence[Example], template: str = TEMPLATE) -> list[Input]:
    """Examples with their answers, to stand before a query: ``Q:{x}\\nA:{y}\\n\\n`` each."""
    parts: list[Input] = []
    for example in examples:
        parts += [*query(example.input, template).parts, f"{example.output}\n\n"]
    return parts


def in_context(examples: Sequence[Example], template: str = TEMPLATE) -> Prompt:
    """Examples of which the last is still unanswered: what a task vector is read from."""
    return query(examples[-1].input, template).after(answered(examples[:-1], template))


def sample_in_context(
    examples: Sequence[Example], *, shots: int, prompts: int | None, seed: int, template: str = TEMPLATE
) -> list[Prompt]:
    """Prompts of `shots` examples each, the last of them unanswered.

    Every example takes one turn as the last one; with `prompts` given, turns go round in a shuffled
    order until that many prompts are made. The others are drawn without replacement.
    """
    rng = random.Random(seed)
    turns = list(range(len(examples)))
    if prompts is not None:
        rng.shuffle(turns)
        turns = [turns[i % len(turns)] for i in range(prompts)]
    sampled = []
    for last in turns:
        others = [i for i in range(len(examples)) if i != last]
        chosen = rng.sample(others, min(shots - 1, len(others)))
        sampled.append(in_context([examples[i] for i in (*chosen, last)], template))
    return sampled


def few_shot(x: Input, examples: Sequence[Example], *, shots: int, seed: int, system: str = "") -> Prompt:
    """The query after `shots` answered examples (its own answer never among them) and a system text."""
    others = [example for example in examples if example.input != x]
    chosen = random.Random(seed).sample(others, min(shots, len(others)))
    return query(x).after([f"{system}\n\n" if system else "", *answered(chosen)])
