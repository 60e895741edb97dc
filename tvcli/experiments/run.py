"""One evaluation from models to numbers: loads them, reads vectors, answers, sums up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvcli.engine.protocol import Engine
from tvcli.errors import UnavailableError, UsageError, VectorError, reason
from tvcli.experiments.evaluate import Evaluation, read_vector
from tvcli.experiments.layers import check_layer
from tvcli.experiments.results import summary
from tvcli.experiments.setup import Setup
from tvcli.experiments.store import open_store
from tvcli.loading import ModelChoice
from tvcli.tasks import IMAGE, Task
from tvcli.vector import ModelInfo, TaskVector, save

Meter = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def _silent(total: int, what: str) -> Iterator[Callable[[int], None]]:
    yield lambda steps: None


@dataclass(frozen=True)
class Files:
    """Where an evaluation leaves its answers and vectors."""

    samples: Path | None = None
    resume: bool = False
    vectors: Path | None = None


@dataclass
class Shelf:
    """Vectors by task, source and seed; each is read once, when it is first needed."""

    read: Callable[[Task, str, int], TaskVector]
    held: dict[tuple[str, str, int], TaskVector] = field(default_factory=dict)

    def __call__(self, task: Task, source: str, seed: int) -> TaskVector:
        key = (task.name, source, seed)
        if key not in self.held:
            self.held[key] = self.read(task, source, seed)
        return self.held[key]

    def fill(self, setup: Setup) -> None:
        """Read all that a setup needs."""
        for source in dict.fromkeys(source for source, _ in setup.pairs):
            for task in setup.tasks:
                for seed in setup.seeds_of(source, task):
                    self(task, source, seed)


def run(
    engine: Engine,
    setup: Setup,
    *,
    source_model: ModelChoice | None = None,
    files: Files = Files(),
    meter: Meter = _silent,
) -> dict[str, Any]:
    """Evaluate; with `source_model`, vectors are read there and patched into `engine` (paper, table 3).

    Raises:
        VectorError: the models have different sizes.
        UsageError: pictures are asked for and the model has no image encoder; see also `open_store`.
    """
    _check(engine, setup)
    settings = {"model": engine.model.digest or engine.model.name, "source_model": None, **setup.to_json()}
    shelf, origin = Shelf(lambda task, source, seed: read_vector(engine, setup, task, source, seed)), None
    if source_model is not None:
        shelf, origin = _transferred(source_model, setup, engine.model)
        settings["source_model"] = origin.digest or origin.name
    with open_store(files.samples, settings, resume=files.resume) as store:
        evaluation = Evaluation(engine, setup, store, shelf)
        with meter(evaluation.total_rows(), "answered") as advance:
            layers = evaluation.run(advance)
        pairs = summary(store, setup, layers)
    if files.vectors is not None:
        shelf.fill(setup)
        _keep(shelf, files.vectors, pairs)
    return {"model": str(engine.model), "source_model": None if origin is None else str(origin), "pairs": pairs}


def _transferred(choice: ModelChoice, setup: Setup, target: ModelInfo) -> tuple[Shelf, ModelInfo]:
    with choice.open() as source:
        engine = source.engine
        shelf = Shelf(lambda task, source, seed: read_vector(engine, setup, task, source, seed))
        if (engine.model.n_layer, engine.model.n_embd) != (target.n_layer, target.n_embd):
            raise VectorError(f"vectors of {engine.model} do not fit {target}; the models must have the same size")
        shelf.fill(setup)
        return shelf, engine.model


def _check(engine: Engine, setup: Setup) -> None:
    if any(IMAGE in pair for pair in setup.pairs) and not engine.has_vision:
        raise UsageError(f"the model {engine.model.name} has no image encoder; add --mmproj FILE or --query text")
    if setup.layer is not None:
        check_layer(setup.layer, engine.model.n_layer)


def _keep(shelf: Shelf, folder: Path, pairs: list[dict[str, Any]]) -> None:
    """Save every vector with the layer that validation chose for it."""
    chosen = {pair["source"]: (pair["layer"], max(pair["validation"], default=None)) for pair in pairs}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"folder {folder} cannot be made: {reason(error)}") from error
    for (task, source, seed), vector in shelf.held.items():
        layer, accuracy = chosen[source]
        kept = vector.with_layer(layer, "best on validation over the tasks", accuracy)
        save(kept, folder / f"{task}.{source}.{seed}.npy")
