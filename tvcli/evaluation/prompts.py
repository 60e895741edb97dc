"""The prompts of an evaluation: a query alone, or after what the vector replaces."""

from __future__ import annotations

import random
from collections.abc import Callable

from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Modality, Split
from tvcli.prompts.prompt import Prompt, zero_shot

PromptMaker = Callable[[int, Sample], Prompt]  # of a sample, by its number in the split


def zero_shot_prompts(setup: Setup, task: Task, modality: Modality) -> PromptMaker:
    """The query; to be overridden, with the other task's instruction before it (paper, table 5)."""
    return _told(setup, modality, "\n\n".join(_of_the_other(setup, task)))


def few_shot_prompts(setup: Setup, task: Task, transfer: Transfer, variant: Variant) -> PromptMaker:
    """The query after examples, an instruction or both; the examples are other test samples, chosen by seed."""
    told = [] if variant.wording is None else [variant.wording]
    system = "\n\n".join([*told, *_of_the_other(setup, task)])
    shown = transfer.source.modality
    if shown is None:
        return _told(setup, transfer.query, system)
    pool = setup.samples(task, Split.TEST, shown)

    def ask(number: int, sample: Sample) -> Prompt:
        others = [other for other in pool if other != sample]
        chosen = random.Random(f"{variant.seed} {number}").sample(others, min(setup.shots, len(others)))
        turns = [(other.load(shown), other.outputs[0]) for other in chosen]
        return setup.template.render([*turns, (sample.load(transfer.query), None)], system)

    return ask


def _of_the_other(setup: Setup, task: Task) -> list[str]:
    """The instruction of the task that the prompt asks instead, if there is one."""
    return [setup.against[task.name].instruction] if setup.against else []


def _told(setup: Setup, modality: Modality, system: str) -> PromptMaker:
    return lambda _, sample: zero_shot(sample.load(modality), setup.template, system)
