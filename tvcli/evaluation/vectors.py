"""Task vectors of an evaluation, read from the validation split, by task, source and variant (paper, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvcli.engine.protocol import Engine
from tvcli.errors import TvError, UsageError
from tvcli.evaluation.setup import Setup, Variant
from tvcli.inputs.tasks import Task
from tvcli.kinds import Modality, Source, Split
from tvcli.method.extract import from_examples, from_instruction
from tvcli.progress import Advance
from tvcli.prompts.prompt import Example, most_shots
from tvcli.vector import TaskVector, weighted_sum

Key = tuple[str, Source, Variant, int, int | None, int | None, str]


@dataclass
class VectorCache:
    """Vectors of `engine`; each is read once, when it is first needed. Caches of several setups may share `vectors`."""

    engine: Engine
    setup: Setup
    vectors: dict[Key, TaskVector] = field(default_factory=dict)

    def key(self, task: Task, source: Source, variant: Variant) -> Key:
        """All that the vector depends on, apart from the engine."""
        setup = self.setup
        return (task.digest, source, variant, setup.shots, setup.prompts, setup.limit, setup.template.name)

    def own(self, task: Task, instruction: str) -> TaskVector:
        """The vector of one sample's instruction. It is used for that sample alone, so it is not kept."""
        return read_vector(self.engine, self.setup, task, Source.INSTRUCTION, Variant(wording=instruction))

    def get(self, task: Task, source: Source, variant: Variant) -> TaskVector:
        """Raises UsageError if the task has fewer validation samples of the modality than shots."""
        key = self.key(task, source, variant)
        if key not in self.vectors:
            self.vectors[key] = read_vector(self.engine, self.setup, task, source, variant)
        return self.vectors[key]

    def wanted(self) -> list[tuple[Task, Source, Variant]]:
        """All vectors that the setup needs."""
        sources = dict.fromkeys(transfer.source for transfer in self.setup.transfers)
        return [(t, s, variant) for s in sources for t in self.setup.tasks for variant in self.setup.variants(s, t)]

    def read_all(self, advance: Advance = lambda vectors: None) -> None:
        """Read all vectors that the setup needs."""
        for task, source, variant in self.wanted():
            self.get(task, source, variant)
            advance(1)


def read_vector(engine: Engine, setup: Setup, task: Task, source: Source, variant: Variant) -> TaskVector:
    """One task vector, or the ensemble of two (section 4.4); `variant` is one of `setup.variants(source, task)`.

    Raises:
        UsageError: fewer validation samples of the modality than shots.
    """
    modality, parts = Source(source).modality, []
    if modality is not None and variant.seed is not None:
        parts.append(_from_samples(engine, setup, task, modality, variant.seed))
    if variant.wording is not None:
        parts.append(from_instruction(engine, variant.wording))
    return weighted_sum(parts, [0.5, 0.5]) if source == Source.ENSEMBLE else parts[0]


def examples_of(setup: Setup, task: Task, modality: Modality) -> list[Example]:
    """The validation samples that vectors of the task are read from.

    Raises:
        UsageError: fewer than shots, or fewer that differ.
    """
    samples = task.samples(Split.VALIDATION, modality)
    if setup.limit is not None:
        samples = samples[: max(setup.limit, setup.shots)]
    too_few = f"too few for {setup.shots} shots"
    if len(samples) < setup.shots:
        raise UsageError(f"task {task.name} has {len(samples)} validation samples with {modality}, {too_few}")
    examples = [sample.example(modality) for sample in samples]
    if (most := most_shots(examples)) < setup.shots:
        raise UsageError(
            f"of the validation samples of task {task.name} with {modality} some repeat others, which leaves {most},"
            f" {too_few}"
        )
    return examples


def _from_samples(engine: Engine, setup: Setup, task: Task, modality: Modality, seed: int) -> TaskVector:
    examples = examples_of(setup, task, modality)
    shots, prompts, template = setup.shots, setup.prompts, setup.template
    try:
        return from_examples(engine, examples, shots=shots, prompts=prompts, seed=seed, template=template)
    except TvError as error:
        raise type(error)(f"task {task.name}, vector of seed {seed}: {error}") from error
