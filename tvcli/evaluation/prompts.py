"""The prompts of an evaluation: a query alone, or after the examples or instruction that a vector replaces."""

from __future__ import annotations

import random
from collections.abc import Callable

from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Modality, Split
from tvcli.prompts.prompt import Prompt, zero_shot

PromptMaker = Callable[[int, Sample], Prompt]  # for a sample and its number in the split


def zero_shot_prompts(setup: Setup, task: Task, modality: Modality) -> PromptMaker:
    """The query alone; in an override setup, after the competing task's instruction (paper, table 5)."""
    return _without_examples(setup, modality, "\n\n".join(_competing_instruction(setup, task)))


def few_shot_prompts(setup: Setup, task: Task, transfer: Transfer, variant: Variant) -> PromptMaker:
    """The query after examples, an instruction or both; the examples are other test samples, chosen by the seed."""
    instructions = [] if variant.wording is None else [variant.wording]
    system = "\n\n".join([*instructions, *_competing_instruction(setup, task)])
    modality = transfer.source.modality
    if modality is None:
        return _without_examples(setup, transfer.query, system)
    pool = setup.samples(task, Split.TEST, modality)

    def make_prompt(number: int, sample: Sample) -> Prompt:
        others = [other for other in pool if other != sample]
        chosen = random.Random(f"{variant.seed} {number}").sample(others, min(setup.shots, len(others)))
        turns = [(other.load(modality), other.outputs[0]) for other in chosen]
        return setup.template.render([*turns, (sample.load(transfer.query), None)], system)

    return make_prompt


def _competing_instruction(setup: Setup, task: Task) -> list[str]:
    """The instruction of the competing task, if there is one."""
    return [setup.against[task.name].instruction] if setup.against else []


def _without_examples(setup: Setup, modality: Modality, system: str) -> PromptMaker:
    return lambda _, sample: zero_shot(sample.load(modality), setup.template, system)
