"""The setup of an evaluation: tasks, transfers, methods, seeds (paper, section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvcli.encoded import SUFFIXES
from tvcli.inputs.tasks import Sample, Task, check_images
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.metrics import PAPERS_METRIC, Judge
from tvcli.prompts.prompt import QA, Template


@dataclass(frozen=True)
class Transfer:
    """From the source of the vectors to the modality of the queries."""

    source: Source
    query: Modality

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", Source(self.source))
        object.__setattr__(self, "query", Modality(self.query))

    def __str__(self) -> str:
        return f"{self.source} → {self.query}"

    @property
    def has_images(self) -> bool:
        """Whether the examples or the queries are images."""
        return Modality.IMAGE in (self.source.modality, self.query)


ALL_TRANSFERS = (  # paper, table 12
    Transfer(Source.IMAGE, Modality.IMAGE),
    Transfer(Source.TEXT, Modality.IMAGE),
    Transfer(Source.TEXT, Modality.TEXT),
    Transfer(Source.IMAGE, Modality.TEXT),
)


@dataclass(frozen=True)
class Variant:
    """One of several prompts of the same task: examples drawn by a seed, an instruction in a wording, or both."""

    seed: int | None = None
    wording: str | None = None  # the instruction itself


NO_VARIANT = Variant()


@dataclass(frozen=True)
class Setup:
    """Everything that answers depend on, apart from the model."""

    tasks: tuple[Task, ...]
    transfers: tuple[Transfer, ...] = (Transfer(Source.TEXT, Modality.IMAGE),)
    methods: tuple[Method, ...] = tuple(Method)
    seeds: tuple[int, ...] = (1, 2, 3)
    shots: int = 5
    prompts: int | None = None  # averaged per vector; by default one per validation sample
    judge: Judge = PAPERS_METRIC
    layer: int | None = None  # by default the best on validation
    limit: int | None = None  # samples per split
    template: Template = QA
    wording: str = ""  # the kind of wordings of the instruction (paper, table 9)
    against: dict[str, Task] = field(default_factory=dict)  # competing tasks, by task (paper, table 5)
    command: str = ""  # judges the answers instead of `judge`

    def __post_init__(self) -> None:
        for method in self.methods:
            Method(method)  # raises for an unknown method

    @property
    def has_images(self) -> bool:
        """Whether any transfer has images."""
        return any(transfer.has_images for transfer in self.transfers)

    @property
    def judged_by(self) -> str:
        """Who says whether an answer is right."""
        if self.command:
            return f"judged by {self.command}"
        patterns = {bool(task.pattern) for task in self.tasks}
        by = {"labels": False in patterns, "regular expressions": True in patterns}
        return f"judged by {' and '.join(name for name, used in by.items() if used)}"

    def overrides(self, task: Task) -> bool:
        """Whether the prompt asks for something else than the vector."""
        return task.name in self.against or task.has_own_instructions

    def samples(self, task: Task, split: Split, modality: Modality) -> list[Sample]:
        return task.samples(split, modality)[: self.limit]

    @property
    def has_pixels(self) -> bool:
        """Whether the model must see images itself: not all of them are image tokens."""
        samples = (s for task in self.tasks for split in Split for s in self.samples(task, split, Modality.IMAGE))
        kinds = {sample.image.suffix.lower() for sample in samples if sample.image is not None}
        return self.has_images and not (kinds and kinds <= SUFFIXES)

    def check_images(self) -> None:
        """Raises UnavailableError if an image that will be part of a prompt cannot be used."""
        if self.has_images:
            check_images(
                sample for task in self.tasks for split in Split for sample in self.samples(task, split, Modality.IMAGE)
            )

    def variants(self, source: Source, task: Task) -> tuple[Variant, ...]:
        """One per seed; for an instruction, which has no seed, one per wording. An ensemble takes the first wording.

        Raises:
            UsageError: the task has no wordings of the setup's kind.
        """
        if source == Source.INSTRUCTION:
            return tuple(Variant(wording=text) for text in task.instructions(self.wording))
        wording = task.instructions(self.wording)[0] if source == Source.ENSEMBLE else None
        return tuple(Variant(seed, wording) for seed in self.seeds)

    def to_json(self) -> dict[str, object]:
        """What a results file must have been made with to be resumed; transfers, tasks and seeds may be added later."""
        return {
            "shots": self.shots,
            "prompts": self.prompts,
            "metric": self.judge.metric,
            "ignore_case": self.judge.ignore_case,
            "layer": self.layer,
            "limit": self.limit,
            "template": self.template.name,
            "wording": self.wording,
            "overridden": bool(self.against),
            "judge": self.command or None,
            "tasks": {task.name: task.digest for task in (*self.tasks, *self.against.values())},
        }
