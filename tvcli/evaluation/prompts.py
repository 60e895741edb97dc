"""The prompts of an evaluation: a query alone, or after the examples or instruction that a vector replaces."""

from __future__ import annotations

import random
from collections.abc import Callable

from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.inputs.tasks import Sample, Task, warn_once
from tvcli.kinds import Modality, Split
from tvcli.prompts.prompt import Prompt, zero_shot

PromptMaker = Callable[[int, Sample], Prompt]  # for a sample and its number in the split


def zero_shot_prompts(setup: Setup, task: Task, modality: Modality) -> PromptMaker:
    """The query alone; in an override setup, after the competing task's instruction (after the paper's table 5)."""
    system = "\n\n".join(_competing_instruction(setup, task))
    return lambda _, sample: zero_shot(sample.load(modality), setup.template, system)


def few_shot_prompts(setup: Setup, task: Task, transfer: Transfer, variant: Variant) -> PromptMaker:
    """The query after examples, an instruction or both; the examples are other test samples, chosen by the seed.

    They are chosen from the queries of the evaluation; if the setup's `limit` leaves fewer than `shots`, from as many
    more samples of the split as needed. None of them is the query's own sample or repeats it.
    """
    instructions = [] if variant.wording is None else [variant.wording]
    competing = _competing_instruction(setup, task)
    system = "\n\n".join([*instructions, *competing])
    modality = transfer.source.modality
    if modality is None:
        return lambda _, sample: zero_shot(
            sample.load(transfer.query),
            setup.template,
            "\n\n".join([sample.instruction, *competing]) if sample.instruction else system,
        )
    images, limit = transfer.has_images, len(setup.samples(task, Split.TEST, modality))
    pool = [(sample, sample.identities(images=images)) for sample in task.samples(Split.TEST, modality)]

    def make_prompt(number: int, sample: Sample) -> Prompt:
        own = sample.identities(images=images)
        within_limit = sum(own.isdisjoint(known) for _, known in pool[:limit])
        others = [other for other, known in pool if own.isdisjoint(known)][: max(within_limit, setup.shots)]
        if len(others) < setup.shots:
            found = f"only {len(others)} test samples with {modality}"
            warn_once(task, f"{found} to show before a query instead of {setup.shots}")
        chosen = random.Random(f"{variant.seed} {number}").sample(others, min(setup.shots, len(others)))
        turns = [(other.load(modality), other.outputs[0]) for other in chosen]
        return setup.template.render([*turns, (sample.load(transfer.query), None)], system)

    return make_prompt


def _competing_instruction(setup: Setup, task: Task) -> list[str]:
    """The instruction of the competing task, if there is one."""
    return [setup.against[task.name].instruction] if task.name in setup.against else []
