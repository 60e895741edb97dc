"""``tv map``: single-prompt vectors in two dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work import plotting
from tvcli.cli.work.inputs import task_files
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.planning import find_tasks
from tvcli.kinds import Modality, Split
from tvcli.method.layers import check_layer
from tvcli.method.projection import Points, collect, project, silhouette
from tvcli.models.opening import Model
from tvcli.plots import check_projection, projection
from tvcli.prompts.prompt import Prompt

TOKENS = ("delimiter", "context")


def run(
    model_options: ModelOptions,
    task: list[str] | None,
    *,
    source: str | None,
    layer: int | None,
    method: str | None,
    limit: int,
    seed: int,
    plot: Path | None,
    json: bool,
) -> None:
    request = model_request(model_options)
    tasks = find_tasks(task)
    plotting.check(plot, task_files(tasks))
    how = method or projection()
    check_projection(how)
    with request.open() as loaded:
        seen = source or ("both" if loaded.engine.has_vision else "text")
        modalities = list(Modality) if seen == "both" else [Modality(seen)]
        for one, modality in itertools.product(tasks, modalities):
            if not one.samples(Split.VALIDATION, modality):
                out.warn(f"task {one.name} has no validation samples with {modality}")
        at = chosen_layer(loaded, layer)
        both = collect(loaded.engine, tasks, modalities, at, limit=limit, seed=seed, progress=_progress)
    panels = {name: project(points.rows, how, seed) for name, points in zip(TOKENS, both, strict=True)}
    for name, points in zip(TOKENS, both, strict=True):
        show_points(name, at, points, panels[name], json=json)
    plotting.maps(plot, panels, both[0].tasks, both[0].modalities, title=f"{how}, layer {at}")


def chosen_layer(loaded: Model, layer: int | None) -> int:
    """The given layer, else the catalog's, else half the depth."""
    depth = loaded.engine.model.n_layer
    if layer is not None:
        return check_layer(layer, depth)
    return depth // 2 if loaded.layer is None else loaded.layer


def _progress(prompts: Sequence[Prompt]) -> Iterator[Prompt]:
    return out.progress(prompts, len(prompts), "prompts read")


def show_points(name: str, layer: int, points: Points, plane: np.ndarray, *, json: bool) -> None:
    """How well the points cluster; with `json` also their coordinates, float (N, 2)."""
    by_task, by_modality = (silhouette(points.rows, labels) for labels in (points.tasks, points.modalities))
    if not json:
        out.line(f"{name} at layer {layer}", f"silhouette by task {by_task:.3f}", f"by modality {by_modality:.3f}")
        return
    places = [
        {"task": task, "modality": modality, "x": round(float(x), 4), "y": round(float(y), 4)}
        for task, modality, (x, y) in zip(points.tasks, points.modalities, plane, strict=True)
    ]
    scores = {"silhouette_by_task": round(by_task, 4), "silhouette_by_modality": round(by_modality, 4)}
    out.record({"token": name, "layer": layer, **scores, "points": places})
