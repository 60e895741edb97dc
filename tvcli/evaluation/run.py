"""Run one evaluation: load models, read vectors, answer queries, compute numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tvcli.engine.protocol import Engine
from tvcli.errors import UsageError, VectorError
from tvcli.evaluation.answering import Evaluation
from tvcli.evaluation.judging import open_judge
from tvcli.evaluation.results import AVERAGE, TransferResult, transfer_result
from tvcli.evaluation.setup import Setup
from tvcli.evaluation.store import open_store
from tvcli.evaluation.vectors import Key, VectorCache
from tvcli.files import make_folder
from tvcli.inputs.tasks import warn_of_repeats, whose_data
from tvcli.kinds import Method, Picture, Source, Split
from tvcli.method.extract import tv_version
from tvcli.method.layers import check_layer
from tvcli.models.opening import ModelRequest
from tvcli.progress import Meter, silent
from tvcli.vector import ModelInfo, TaskVector, save


@dataclass(frozen=True)
class Files:
    """Files for the answers and vectors of an evaluation."""

    samples: Path | None = None
    resume: bool = False
    vectors: Path | None = None
    read_only: bool = False  # take the answers that are there, and write none


@dataclass(frozen=True)
class Result:
    """The model, the model of the vectors if it is another one, whose data, which pixels of images, and the numbers.

    `picture` is `None` if neither examples nor queries are images. `answers` is the number of answers, `there` how many
    of them were not made in this run.
    """

    model: ModelInfo
    source_model: ModelInfo | None
    data: str
    picture: Picture | None
    transfers: tuple[TransferResult, ...]
    answers: int = 0
    there: int = 0


def run(
    engine: Engine,
    setup: Setup,
    *,
    source_model: ModelRequest | VectorCache | None = None,
    vectors: dict[Key, TaskVector] | None = None,
    files: Files = Files(),
    meter: Meter = silent,
) -> Result:
    """Evaluate; with `source_model`, vectors are read with it and patched into `engine` (paper, table 3).

    A `VectorCache` is what `vectors_of` read with the other model before. `vectors` are those that were read with
    `engine` before; what this evaluation reads is added.

    Raises:
        VectorError: the models have different sizes.
        UsageError: the setup has images and the model has no image encoder; see also `open_store`.
    """
    _check(engine, setup)
    _check_own_instructions(setup, reads_all=files.vectors is not None or source_model is not None)
    for task in setup.tasks:
        warn_of_repeats(task, images=setup.has_images)
    settings = {**engine.identity, "tv": tv_version(), "source_model": None, **setup.to_json()}
    vector_cache, origin = VectorCache(engine, setup, {} if vectors is None else vectors), None
    if source_model is not None:
        if isinstance(source_model, ModelRequest):
            source_model = vectors_of(source_model, setup, engine.model, meter)
        vector_cache = source_model
        origin = vector_cache.engine.model
        settings["source_model"] = vector_cache.engine.identity
    opened = open_store(files.samples, settings, resume=files.resume, read_only=files.read_only)
    with opened as store, open_judge("" if files.read_only else setup.command) as command:
        evaluation = Evaluation(engine, setup, store, vector_cache, command)
        total = evaluation.total_rows()
        with meter(total, "answered") as advance:
            layers = evaluation.run(advance)
        found = tuple(transfer_result(store, setup, transfer, layer) for transfer, layer in layers.items())
    if files.vectors is not None:
        vector_cache.read_all()
        _save_vectors(vector_cache, files.vectors, found)
    picture = engine.picture if setup.has_images else None
    there = total - store.added
    return Result(engine.model, origin, whose_data(setup.tasks), picture, found, total, there)


def vectors_of(request: ModelRequest, setup: Setup, target: ModelInfo, meter: Meter = silent) -> VectorCache:
    """All vectors that the setup needs, read with another model, which is then closed.

    Raises:
        VectorError: the model and `target` have different sizes.
    """
    with request.open() as source:
        model = source.engine.model
        if (model.n_layer, model.n_embd) != (target.n_layer, target.n_embd):
            raise VectorError(f"vectors of {model} do not fit {target}; the models must have the same size")
        vector_cache = VectorCache(source.engine, setup)
        with meter(len(vector_cache.wanted()), "vectors read") as advance:
            vector_cache.read_all(advance)
        return vector_cache


def _check(engine: Engine, setup: Setup) -> None:
    names = [task.name for task in setup.tasks]
    for name in names:
        if names.count(name) > 1 or name == AVERAGE:
            used = "the name of a table row" if name == AVERAGE else "the name of two tasks"
            raise UsageError(f"{name} is {used}; rename the task's folder")
    if setup.has_pixels and not engine.has_vision:
        raise UsageError(f"the model {engine.model.name} has no image encoder; add `mmproj` or choose text queries")
    check_samples(setup, "; give `layer`")
    if setup.layer is not None:
        check_layer(setup.layer, engine.model.n_layer)
    for task in setup.tasks:
        if task.needs_judge and not setup.command:
            raise UsageError(f"samples of task {task.name} have no labels; name a command with `judge`")
    setup.check_images()


def _check_own_instructions(setup: Setup, *, reads_all: bool) -> None:
    """Raises UsageError where vectors of a whole task are needed, but its samples have instructions of their own."""
    own = next((task.name for task in setup.tasks if task.has_own_instructions), None)
    if own is None:
        return
    if any(transfer.source != Source.INSTRUCTION for transfer in setup.transfers):
        raise UsageError(f"the samples of task {own} have instructions of their own; `source` must be instruction")
    if reads_all:
        raise UsageError(f"the samples of task {own} have instructions of their own, so it has no vectors to save")


def check_samples(setup: Setup, instead: str = "") -> None:
    """Raises UsageError if no task has samples with the modality of the queries.

    `instead` is what else to do where only validation samples are missing.
    """
    wanted = {Split.TEST: ""}
    if setup.layer is None and Method.PATCH in setup.methods:
        wanted[Split.VALIDATION] = f" to choose the layer on{instead}"
    names = ", ".join(task.name for task in setup.tasks)
    for split, why in wanted.items():
        for query in {transfer.query: None for transfer in setup.transfers}:
            if not any(setup.samples(task, split, query) for task in setup.tasks):
                said = f"tasks {names} have" if len(setup.tasks) > 1 else f"task {names} has"
                raise UsageError(f"{said} no {split} samples with {query}{why}")


def _save_vectors(vector_cache: VectorCache, folder: Path, found: Sequence[TransferResult]) -> None:
    """Save every vector with the layer that validation chose for it, numbered by seed or by wording from 1."""
    chosen = {one.transfer.source: (one.layer, max(one.validation, default=None)) for one in found}
    make_folder(folder)
    for source, (layer, accuracy) in chosen.items():
        for task in vector_cache.setup.tasks:
            for number, variant in enumerate(vector_cache.setup.variants(source, task), 1):
                vector = vector_cache.get(task, source, variant)
                if layer is not None:
                    vector = vector.with_layer(layer, "best on validation over the tasks", accuracy)
                named = number if variant.seed is None else variant.seed
                save(vector, folder / f"{task.name}.{source}.{named}.npy")
