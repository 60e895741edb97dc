"""One model under study: evaluations that the paper's results share, each run once and resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tvcli.engine.protocol import Engine
from tvcli.evaluation.results import TransferResult
from tvcli.evaluation.run import Files, run
from tvcli.evaluation.setup import Pair, Setup
from tvcli.evaluation.vectors import Shelf, read_vector
from tvcli.inputs.tasks import IMAGE, PAPERS_DATA, TEXT, Task, whose_data
from tvcli.models.opening import ModelRequest
from tvcli.progress import Meter, silent
from tvcli.vector import TaskVector


@dataclass(frozen=True)
class Table:
    """One table: numbers of this model, and the paper's for its models where there are some."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    draw: Callable[[Path], None] | None = None  # writes it as a picture
    images: tuple[Path | None, ...] = ()  # a picture a row, to show beside it
    legend: str = ""  # under the table: what its numbers mean


@dataclass
class Study:
    """One model under study, with where its answers are kept; each evaluation runs once."""

    engine: Engine
    request: ModelRequest
    llm: str | None  # the language model that `request` was made from, for table 3
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    limit: int | None = None
    folder: Path | None = None
    meter: Meter = silent
    done: dict[str, tuple[Setup, ModelRequest | None, tuple[TransferResult, ...]]] = field(default_factory=dict)

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf(self.engine, self.setup())

    @property
    def queries(self) -> str:
        return IMAGE if self.engine.has_vision else TEXT

    def evaluate(
        self, name: str, *, source_model: ModelRequest | None = None, **setup: Any
    ) -> tuple[TransferResult, ...]:
        """The numbers of an evaluation, resumed from ``NAME.jsonl`` in the study's folder; done once for a setup."""
        whole = self.setup(**setup)
        if name not in self.done or self.done[name][:2] != (whole, source_model):
            files = Files(self.folder / f"{name}.jsonl", resume=True) if self.folder else Files()
            result = run(self.engine, whole, source_model=source_model, files=files, meter=self.meter)
            self.done[name] = whole, source_model, result.pairs
        return self.done[name][2]

    @property
    def data(self) -> str:
        """Whose data the tasks are."""
        return whose_data(self.tasks)

    @property
    def is_papers(self) -> bool:
        return self.data == PAPERS_DATA

    @property
    def modalities(self) -> list[str]:
        return [TEXT, IMAGE] if self.engine.has_vision else [TEXT]

    def vector(self, task: Task, source: str, seed: int) -> TaskVector:
        """A task vector, read once."""
        return self.shelf.get(task, source, seed)

    def vectors_of_llm(self, name: str, seed: int) -> list[TaskVector]:
        """Text vectors of all tasks, read in the language model that this one was made from."""
        with ModelRequest(name, None, self.request.settings).open() as other:
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
        layer = self.evaluate("table2")[0].layer
        assert layer is not None  # noqa: S101 - table 2 patches
        return layer
