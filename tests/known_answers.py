"""Tasks of words alone, and engines whose answers are known, for tests of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import FIRST_TOKEN, Answer, Decoding, Patch
from tvcli.evaluation.setup import Setup, Transfer
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Method, Modality, Source
from tvcli.prompts.prompt import Prompt

NO_CONTEXT, PROMPT, PATCH = Method
WORDS = Transfer(Source.TEXT, Modality.TEXT)


def made_task(name: str = "t", validation: int = 6, test: int = 4, **more: Any) -> Task:
    samples = [Sample(f"x{i}", (f"y{i}",)) for i in range(validation + test)]
    splits = tuple(samples[:validation]), tuple(samples[validation:])
    return Task(name, Path(), "d", "Say y:", validation=splits[0], test=splits[1], **more)


class Layered(FakeEngine):
    """Right in layer 1 for all queries, in layer 4 for every other; else it says "no"."""

    def _answer(self, prompt: Prompt, patch: Patch | None, decoding: Decoding) -> Answer:
        number = int(str(prompt.parts[-1]).split("Q:x")[-1].split("\n")[0])
        right = patch is not None and (patch.layer == 1 or (patch.layer == 4 and number % 2))
        return Answer(f"y{number}" if right else "no", (1,), 1 / 3)


def setup_of(**more: Any) -> Setup:
    return Setup((made_task(),), transfers=(WORDS,), seeds=(1, 2), **more)


def two_label_task(validation: int = 8, test: int = 40) -> Task:
    """Two labels for each sample."""
    samples = [Sample(f"x{i}", (f"y{i}", f"z{i}")) for i in range(validation + test)]
    return Task("t", Path(), "d", "Say y:", validation=tuple(samples[:validation]), test=tuple(samples[validation:]))


TASK = two_label_task()


class Oracle(FakeEngine):
    """Answers right when patched at layer 2 with what it is given, when shown examples half of the time, else never."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def answer(
        self,
        prompts: Sequence[Prompt],
        patches: Sequence[Patch | None] = (None,),
        decoding: Decoding = Decoding(),  # noqa: B008
    ) -> list[list[Answer]]:
        self.calls += 1
        return [[self._say(str(prompt.parts[-1]), patch) for patch in patches] for prompt in prompts]

    def _say(self, text: str, patch: Patch | None) -> Answer:
        number = text.split("Q:x")[-1].split("\n")[0]
        shown = text.count("Q:") > 1 and int(number) % 2 == 0
        right = (patch is not None and patch.layer in (2, 4)) or (patch is None and shown)
        return Answer(f" y{number}" if right else " no", (1,), 1.0)


class Says(FakeEngine):
    """Always the same answer, cut to the tokens that were asked for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.asked: list[Decoding] = []

    def answer(
        self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,), decoding: Decoding = FIRST_TOKEN
    ) -> list[list[Answer]]:
        self.asked.append(decoding)
        return [[Answer(self.text, (1,), 1.0)] * len(patches) for _ in prompts]
