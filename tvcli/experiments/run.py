"""One evaluation from models to numbers: loads them, reads vectors, answers, sums up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvcli.engine.protocol import Engine
from tvcli.errors import UsageError, VectorError
from tvcli.experiments.evaluate import Evaluation
from tvcli.experiments.layers import check_layer
from tvcli.experiments.results import summary
from tvcli.experiments.setup import Setup
from tvcli.experiments.store import open_store
from tvcli.experiments.vectors import Shelf
from tvcli.files import make_folder
from tvcli.loading import ModelChoice
from tvcli.tasks import IMAGE
from tvcli.vector import ModelInfo, save

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
    shelf, origin = Shelf(engine, setup), None
    if source_model is not None:
        shelf = _transferred(source_model, setup, engine.model)
        origin = shelf.engine.model
        settings["source_model"] = origin.digest or origin.name
    with open_store(files.samples, settings, resume=files.resume) as store:
        evaluation = Evaluation(engine, setup, store, shelf)
        with meter(evaluation.total_rows(), "answered") as advance:
            layers = evaluation.run(advance)
        pairs = summary(store, setup, layers)
    if files.vectors is not None:
        shelf.fill()
        _keep(shelf, files.vectors, pairs)
    return {"model": str(engine.model), "source_model": None if origin is None else str(origin), "pairs": pairs}


def _transferred(choice: ModelChoice, setup: Setup, target: ModelInfo) -> Shelf:
    """All vectors that the setup needs, read in another model, which is closed again."""
    with choice.open() as source:
        model = source.engine.model
        if (model.n_layer, model.n_embd) != (target.n_layer, target.n_embd):
            raise VectorError(f"vectors of {model} do not fit {target}; the models must have the same size")
        shelf = Shelf(source.engine, setup)
        shelf.fill()
        return shelf


def _check(engine: Engine, setup: Setup) -> None:
    if any(IMAGE in pair for pair in setup.pairs) and not engine.has_vision:
        raise UsageError(f"the model {engine.model.name} has no image encoder; add --mmproj FILE or --query text")
    if setup.layer is not None:
        check_layer(setup.layer, engine.model.n_layer)


def _keep(shelf: Shelf, folder: Path, pairs: list[dict[str, Any]]) -> None:
    """Save every vector with the layer that validation chose for it."""
    chosen = {pair["source"]: (pair["layer"], max(pair["validation"], default=None)) for pair in pairs}
    make_folder(folder)
    for (task, source, seed), vector in shelf.held.items():
        layer, accuracy = chosen[source]
        kept = vector.with_layer(layer, "best on validation over the tasks", accuracy)
        save(kept, folder / f"{task}.{source}.{seed}.npy")
