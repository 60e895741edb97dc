"""``tv map``: single-prompt vectors in two dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.cli.output import out
from tvcli.cli.planning import find_tasks

if TYPE_CHECKING:
    import numpy as np

    from tvcli.method.projection import Points
    from tvcli.models.opening import Model, ModelRequest
    from tvcli.prompts.prompt import Prompt

TOKENS = ("delimiter", "context")


@bundle(request=options.model_request)
def map_(
    request: ModelRequest,
    task: options.Tasks = None,
    source: Annotated[
        Literal["text", "image", "both"] | None, typer.Option(help="By default what the model sees.")
    ] = None,
    layer: Annotated[int | None, options.one_layer(min=0, help="By default the catalogue's.")] = None,
    method: Annotated[Literal["tsne", "pca"] | None, typer.Option(help="tsne needs the extra plots.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Prompts of a task and source.")] = 30,
    seed: options.Seed = 1,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Map task vectors of single prompts, and the context tokens before them; do they cluster by task?

    Examples:
        tv map --task country-capital --task food-color --limit 10
        tv map --limit 5 --source text --method pca --json
    """
    from tvcli.cli import pictures
    from tvcli.method.projection import collect, project
    from tvcli.plots import check_projection, projection

    pictures.check(plot)
    how = method or projection()
    check_projection(how)
    tasks = find_tasks(task)
    with request.open() as loaded:
        seen = source or ("both" if loaded.engine.has_vision else "text")
        modalities = ["text", "image"] if seen == "both" else [seen]
        at = chosen_layer(loaded, layer)
        both = collect(loaded.engine, tasks, modalities, at, limit=limit, seed=seed, progress=_progress)
    panels = {name: project(points.rows, how, seed) for name, points in zip(TOKENS, both, strict=True)}
    for name, points in zip(TOKENS, both, strict=True):
        show_points(name, at, points, panels[name], json=json)
    pictures.maps(plot, panels, both[0].tasks, both[0].modalities, title=f"{how}, layer {at}")


def chosen_layer(loaded: Model, layer: int | None) -> int:
    """The given layer, else the catalogue's, else half the depth."""
    from tvcli.method.layers import check_layer

    depth = loaded.engine.model.n_layer
    if layer is not None:
        return check_layer(layer, depth)
    return depth // 2 if loaded.layer is None else loaded.layer


def _progress(prompts: Sequence[Prompt]) -> Iterator[Prompt]:
    return out.progress(prompts, len(prompts), "read")


def show_points(name: str, layer: int, points: Points, plane: np.ndarray, *, json: bool) -> None:
    """How well the points cluster; with `json` also where they lie, float (N, 2)."""
    from tvcli.method.projection import silhouette

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
