"""Examples and queries to prompts, in the paper's template or in a model's chat template.

A prompt is a sequence of text and images. Its last token is the *delimiter*, the ``:`` of ``A:``:
task vectors are read there and patched there (paper, section 3).
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from tvcli.errors import UsageError
from tvcli.images import AnyImage
from tvcli.text import clean, normalized

Input = str | AnyImage
Content = Input | tuple[Input, ...]  # an input, or an image and a question about it (paper, table 5)
Turn = tuple[Content, str | None]  # what is asked and its answer, `None` if it is wanted


def parts_of(content: Content) -> tuple[Input, ...]:
    """The input first, then the question about it if there is one."""
    return content if isinstance(content, tuple) else (content,)


class Control(str):
    """Text of a chat template: the only text in which control tokens are parsed."""

    __slots__ = ()


def identities(*inputs: Input) -> frozenset[Hashable]:
    """Keys that are equal for equal inputs: an image's pixels or tokens, a text without regard to case, white space and
    Unicode composition; none for an empty text.

    Examples or samples that share a key are the same. A prompt must never contain its query's own answer, so examples
    are always chosen by these keys.
    """
    keys = (normalized(x) if isinstance(x, str) else x.digest for x in inputs)
    return frozenset(key for key in keys if key)


@dataclass(frozen=True)
class Example:
    """One input with its answer; `where` (file and line) is for error messages.

    `word` is the text that belongs to an image, if there is one.
    """

    input: Content
    output: str
    where: str = ""
    word: str = ""

    @cached_property
    def identities(self) -> frozenset[Hashable]:
        return identities(parts_of(self.input)[0], self.word)

    @property
    def is_image(self) -> bool:
        return not isinstance(parts_of(self.input)[0], str)


@dataclass(frozen=True)
class Prompt:
    """Text and images in order. Text is never parsed for control tokens, `Control` is."""

    parts: tuple[Input, ...]

    def __post_init__(self) -> None:
        if not self.parts or not isinstance(self.parts[-1], str) or not self.parts[-1]:
            raise UsageError("a prompt must end in text, since its last token is the delimiter")

    def __repr__(self) -> str:
        return f"Prompt({', '.join(map(repr, self.parts))})"

    @property
    def images(self) -> tuple[AnyImage, ...]:
        return tuple(part for part in self.parts if not isinstance(part, str))


def prompt_of(*parts: Input) -> Prompt:
    """A prompt of the given parts; neighboring texts become one, so that they are tokenized as one."""
    merged: list[Input] = []
    for part in parts:
        if type(part) is str and merged and type(merged[-1]) is str:
            merged[-1] += part
        elif not isinstance(part, str) or part:
            merged.append(part)
    return Prompt(tuple(merged))


class Template(Protocol):
    """How inputs and answers are rendered as a prompt; `name` is recorded in a vector's provenance."""

    @property
    def name(self) -> str: ...

    def render(self, turns: Sequence[Turn], system: str = "") -> Prompt:
        """A prompt of all turns, the last without an answer, ending in the delimiter."""


@dataclass(frozen=True)
class QuestionAnswer:
    """``Q:{x}\\nA:{y}\\n\\n`` for each example, then ``Q:{x}\\nA:`` (paper, section 3.1)."""

    name: str = "Q:{x}\nA:"

    def render(self, turns: Sequence[Turn], system: str = "") -> Prompt:
        before, after = self.name.split("{x}")
        parts: list[Input] = [f"{system}\n\n" if system else ""]
        for x, answer in turns:
            parts += [before, *parts_of(x), after, "" if answer is None else f"{answer}\n\n"]
        return prompt_of(*parts)


QA = QuestionAnswer()


def zero_shot(x: Content, template: Template = QA, system: str = "") -> Prompt:
    """A prompt of the query, without examples."""
    return template.render([(x, None)], system)


def instruction(text: str) -> Prompt:
    """``{text}:``, read at its final colon (paper, section 3.2)."""
    text = clean(text).rstrip(":").rstrip()
    if not text:
        raise UsageError("the instruction is empty")
    return prompt_of(text + ":")


def in_context(examples: Sequence[Example], template: Template = QA) -> Prompt:
    """A prompt of examples, the last without its answer: task vectors are read from it."""
    *answered, last = examples
    return template.render([*((e.input, e.output) for e in answered), (last.input, None)])


def sample_in_context(
    examples: Sequence[Example], *, shots: int, prompts: int | None, seed: int, template: Template = QA
) -> list[Prompt]:
    """Prompts of `shots` examples each, the last of them unanswered; see `sample_shots`."""
    sampled = sample_shots(examples, shots=shots, prompts=prompts, seed=seed)
    return [in_context([examples[i] for i in numbers], template) for numbers in sampled]


def sample_shots(examples: Sequence[Example], *, shots: int, prompts: int | None, seed: int) -> list[list[int]]:
    """The indices of the examples of each prompt.

    Every example is the last one once; with `prompts`, the last examples follow a shuffled order, repeated until
    there are that many prompts. The other examples are drawn without replacement, from those that are not the same as
    the last one (`identities`); if these are fewer than `shots` - 1, the prompt has fewer examples.
    """
    rng, same = random.Random(seed), _same(examples)
    turns = list(range(len(examples)))
    if prompts is not None:
        rng.shuffle(turns)
        turns = [turns[i % len(turns)] for i in range(prompts)]
    sampled = []
    for last in turns:
        others = [i for i in range(len(examples)) if i not in same[last]]
        sampled.append([*rng.sample(others, min(shots - 1, len(others))), last])
    return sampled


def most_shots(examples: Sequence[Example]) -> int:
    """The most examples that all prompts of `sample_in_context` can have: the last one and those unlike it."""
    return 1 + min((len(examples) - len(same) for same in _same(examples)), default=-1)


def _same(examples: Sequence[Example]) -> list[frozenset[int]]:
    """For each example, the indices of the examples that are the same, including its own."""
    numbers: dict[Hashable, list[int]] = {}
    for number, example in enumerate(examples):
        for one in example.identities:
            numbers.setdefault(one, []).append(number)
    found: dict[frozenset[Hashable], frozenset[int]] = {}
    for own in {example.identities for example in examples}:
        found[own] = frozenset(number for one in own for number in numbers[one])
    return [found[example.identities] | {number} for number, example in enumerate(examples)]


def others_than(x: Content, examples: Sequence[Example]) -> list[Example]:
    """The examples that can be shown before the query `x`: those that are not the same (`identities`)."""
    own = identities(parts_of(x)[0])
    return [example for example in examples if own.isdisjoint(example.identities)]


def few_shot(
    x: Content, examples: Sequence[Example], *, shots: int, seed: int, system: str = "", template: Template = QA
) -> Prompt:
    """A prompt of a system text, `shots` answered examples (never the query itself) and the query."""
    others = others_than(x, examples)
    chosen = random.Random(seed).sample(others, min(shots, len(others)))
    return template.render([*((e.input, e.output) for e in chosen), (x, None)], system)
