"""One model under study: evaluations that the paper's results share, each run once and resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tvcli.engine.protocol import Engine
from tvcli.experiments.run import Files, Meter, run
from tvcli.experiments.setup import Pair, Setup
from tvcli.experiments.vectors import Shelf, read_vector
from tvcli.loading import ModelChoice
from tvcli.tasks import IMAGE, TEXT, Task
from tvcli.vector import TaskVector


@dataclass(frozen=True)
class Report:
    """One table: numbers of this model, and the paper's for its models where there are some."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    draw: Callable[[Path], None] | None = None  # writes it as a picture
    images: tuple[Path | None, ...] = ()  # a picture a row, to show beside it


@dataclass
class Study:
    """One model under study, with where its answers are kept; each evaluation runs once."""

    engine: Engine
    choice: ModelChoice
    llm: str | None  # the language model that `choice` was made from, for table 3
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    limit: int | None = None
    folder: Path | None = None
    meter: Meter | None = None
    done: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(self.engine, self.setup())

    @property
    def queries(self) -> str:
        return IMAGE if self.engine.has_vision else TEXT

    def evaluate(self, name: str, *, source_model: ModelChoice | None = None, **setup: Any) -> list[dict[str, Any]]:
        """The records of `results.summary`, resumed from ``NAME.jsonl`` in the study's folder."""
        if name not in self.done:
            files = Files(self.folder / f"{name}.jsonl", resume=True) if self.folder else Files()
            whole = self.setup(**setup)
            meter = {} if self.meter is None else {"meter": self.meter}
            self.done[name] = run(self.engine, whole, source_model=source_model, files=files, **meter)["pairs"]
        return self.done[name]

    @property
    def modalities(self) -> list[str]:
        return [TEXT, IMAGE] if self.engine.has_vision else [TEXT]

    def vector(self, task: Task, source: str, seed: int) -> TaskVector:
        """A task vector, read once."""
        return self.shelf.get(task, source, seed)

    def vectors_of_llm(self, name: str, seed: int) -> list[TaskVector]:
        """Text vectors of all tasks, read in the language model that this one was made from."""
        with ModelChoice(name, None, self.choice.settings).open() as other:
            vectors = [read_vector(other.engine, self.setup(), task, TEXT, seed) for task in self.tasks]
        for vector in vectors:
            vector.check_fits(self.engine.model)
        return vectors

    def setup(self, **given: Any) -> Setup:
        defaults = {"tasks": self.tasks, "pairs": (self.pair(TEXT),), "seeds": self.seeds, "limit": self.limit}
        return Setup(**{**defaults, **given})

    def pair(self, source: str) -> Pair:
        return (source, self.queries)

    def layer(self) -> int:
        """The layer that validation chose in table 2: later experiments keep to it."""
        return int(self.evaluate("table2")[0]["layer"])
