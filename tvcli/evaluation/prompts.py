"""The prompts of an evaluation: a query alone, or after what the vector replaces."""

from __future__ import annotations

import random
from collections.abc import Callable

from tvcli.evaluation.setup import ENSEMBLE, INSTRUCTION, Setup
from tvcli.inputs.tasks import TEST, TEXT, Sample, Task
from tvcli.prompts.prompt import Prompt, zero_shot

Ask = Callable[[int, Sample], Prompt]  # of a sample, by its number in the split


def alone(setup: Setup, task: Task, modality: str) -> Ask:
    """The query; to be overridden, with the other task's instruction before it (paper, table 5)."""
    system = setup.against[task.name].instruction if setup.against else ""
    return lambda _, sample: zero_shot(sample.load(modality), setup.template, system)


def after(setup: Setup, task: Task, source: str, modality: str, seed: int) -> Ask:
    """The query after examples, an instruction or both; the examples are other test samples, chosen by seed."""
    told = [task.says(setup.wording)[seed - 1 if source == INSTRUCTION else 0]] if source in TOLD else []
    if setup.against:
        told.append(setup.against[task.name].instruction)
    system = "\n\n".join(told)
    shown = TEXT if source == ENSEMBLE else source
    pool = [] if source == INSTRUCTION else setup.samples(task, TEST, shown)

    def ask(number: int, sample: Sample) -> Prompt:
        others = [other for other in pool if other != sample]
        chosen = random.Random(f"{seed} {number}").sample(others, min(setup.shots, len(others)))
        turns = [(other.load(shown), other.outputs[0]) for other in chosen]
        return setup.template.render([*turns, (sample.load(modality), None)], system)

    return ask


TOLD = (INSTRUCTION, ENSEMBLE)
