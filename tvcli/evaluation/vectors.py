"""Task vectors of an evaluation: from the validation split of a task, by source and seed (paper, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvcli.engine.protocol import Engine
from tvcli.errors import UsageError
from tvcli.evaluation.setup import ENSEMBLE, INSTRUCTION, Setup
from tvcli.inputs.tasks import TEXT, VALIDATION, Task
from tvcli.method.extract import from_examples, from_instruction
from tvcli.vector import TaskVector, combine


@dataclass
class Shelf:
    """The vectors that `engine` reads; each is read once, when it is first asked for."""

    engine: Engine
    setup: Setup
    held: dict[tuple[str, str, int], TaskVector] = field(default_factory=dict)  # by task, source and seed

    def get(self, task: Task, source: str, seed: int) -> TaskVector:
        """Raises UsageError if the task has fewer validation samples of the modality than shots."""
        key = (task.name, source, seed)
        if key not in self.held:
            self.held[key] = read_vector(self.engine, self.setup, task, source, seed)
        return self.held[key]

    def fill(self) -> None:
        """Read all that the setup needs."""
        for source in dict.fromkeys(source for source, _ in self.setup.pairs):
            for task in self.setup.tasks:
                for seed in self.setup.seeds_of(source, task):
                    self.get(task, source, seed)


def read_vector(engine: Engine, setup: Setup, task: Task, source: str, seed: int) -> TaskVector:
    """One task vector, or the ensemble of two (section 4.4).

    Raises:
        UsageError: fewer validation samples of the modality than shots.
    """
    if source == ENSEMBLE:
        parts = [read_vector(engine, setup, task, TEXT, seed), read_vector(engine, setup, task, INSTRUCTION, 1)]
        return combine(parts, [0.5, 0.5])
    if source == INSTRUCTION:
        return from_instruction(engine, task.says(setup.wording)[seed - 1])
    samples = setup.samples(task, VALIDATION, source)
    if len(samples) < setup.shots:
        raise UsageError(
            f"task {task.name} has {len(samples)} validation samples with {source}, too few for {setup.shots} shots"
        )
    examples = [sample.example(source) for sample in samples]
    return from_examples(engine, examples, shots=setup.shots, prompts=setup.prompts, seed=seed, template=setup.template)
