"""What is evaluated: tasks, sources and queries, methods, seeds (paper, section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tvcli.inputs.tasks import IMAGE, TEXT, Sample, Task
from tvcli.metrics import Judge
from tvcli.prompts.prompt import QA, Template

NO_CONTEXT, PROMPT, PATCH = "no context", "prompt", "patch"
METHODS = (NO_CONTEXT, PROMPT, PATCH)
INSTRUCTION, ENSEMBLE = "instruction", "ensemble"
PAPERS_METRIC = Judge()
Pair = tuple[str, str]  # the source of the vector, the modality of the queries
ALL_TRANSFERS: tuple[Pair, ...] = ((IMAGE, IMAGE), (TEXT, IMAGE), (TEXT, TEXT), (IMAGE, TEXT))  # paper, table 12


@dataclass(frozen=True)
class Setup:
    """Everything that answers depend on, apart from the model."""

    tasks: tuple[Task, ...]
    pairs: tuple[Pair, ...] = ((TEXT, IMAGE),)
    methods: tuple[str, ...] = METHODS
    seeds: tuple[int, ...] = (1, 2, 3)
    shots: int = 5
    prompts: int | None = None  # averaged in a vector; by default one a validation sample
    judge: Judge = PAPERS_METRIC
    layer: int | None = None  # by default the best on validation
    limit: int | None = None  # samples of a split
    template: Template = QA
    wording: str = ""  # of the instruction (paper, table 9)
    against: dict[str, Task] = field(default_factory=dict)  # what the prompt asks instead, by task (paper, table 5)

    def samples(self, task: Task, split: str, modality: str) -> list[Sample]:
        return task.samples(split, modality)[: self.limit]

    def seeds_of(self, source: str, task: Task) -> tuple[int, ...]:
        """An instruction involves no chance: its wordings are counted instead."""
        return tuple(range(1, len(task.says(self.wording)) + 1)) if source == INSTRUCTION else self.seeds

    def to_json(self) -> dict[str, Any]:
        """What a results file must agree with to be resumed; pairs, tasks and seeds may be added later."""
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
            "tasks": {task.name: task.digest for task in (*self.tasks, *self.against.values())},
        }
