"""``tv map``: single-prompt vectors in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.output import out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tvcli.loading import ModelChoice
    from tvcli.prompts import Prompt


@bundle(choice=options.model_choice)
def map_(
    choice: ModelChoice,
    task: options.Tasks = None,
    source: Annotated[
        Literal["text", "image", "both"] | None, typer.Option(help="By default what the model sees.")
    ] = None,
    layer: Annotated[int | None, typer.Option("--layer", "-l", min=0, help="By default the catalogue's.")] = None,
    method: Annotated[Literal["tsne", "pca"] | None, typer.Option(help="tsne needs the extra plots.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Prompts of a task and source.")] = 30,
    seed: options.Seed = 1,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Map task vectors of single prompts, and the context tokens before them; do they cluster by task?

    Example: tv map --task country-capital --task food-color --limit 10
    """
    from tvcli.cli import pictures
    from tvcli.experiments.layers import check_layer
    from tvcli.experiments.mapping import collect, project, silhouette
    from tvcli.plots import projection
    from tvcli.tasks import find_task, task_folders

    def progress(prompts: Sequence[Prompt]) -> Iterable[Prompt]:
        return out.progress(prompts, len(prompts), "read")

    pictures.check(plot)
    tasks = [find_task(name) for name in task or map(str, task_folders("paper"))]
    how = method or projection()
    with choice.open() as loaded:
        engine = loaded.engine
        seen = source or ("both" if engine.has_vision else "text")
        modalities = ["text", "image"] if seen == "both" else [seen]
        default = engine.model.n_layer // 2 if loaded.layer is None else loaded.layer
        at = default if layer is None else check_layer(layer, engine.model.n_layer)
        both = collect(
            engine, tasks, modalities, at, limit=limit, seed=seed, progress=lambda p: out.progress(p, len(p), "read")
        )
    panels = {}
    for name, points in zip(("delimiter", "context"), both, strict=True):
        panels[name] = project(points.rows, how, seed)
        scores = [silhouette(points.rows, labels) for labels in (points.tasks, points.modalities)]
        if json:
            out.record(
                {
                    "token": name,
                    "layer": at,
                    "silhouette_by_task": round(scores[0], 4),
                    "silhouette_by_modality": round(scores[1], 4),
                    "points": [
                        {"task": t, "modality": m, "x": round(float(x), 4), "y": round(float(y), 4)}
                        for t, m, (x, y) in zip(points.tasks, points.modalities, panels[name], strict=True)
                    ],
                }
            )
        else:
            out.line(f"{name} at layer {at}", f"silhouette by task {scores[0]:.3f}", f"by modality {scores[1]:.3f}")
    pictures.maps(plot, panels, both[0].tasks, both[0].modalities, title=f"{how}, layer {at}")
