"""``tv lens``: what residuals decode to, layer by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work import plotting
from tvcli.cli.work.describe import sparkline
from tvcli.cli.work.inputs import given_text, read_image, read_vector, task_files
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.origin import warn_of_other_models
from tvcli.engine.protocol import Engine
from tvcli.errors import UsageError
from tvcli.evaluation.curves import Curve, curve
from tvcli.inputs.tasks import Task, find_task
from tvcli.kinds import Source, View
from tvcli.method.lens import top_tokens
from tvcli.method.phases import phases
from tvcli.prompts.prompt import Prompt, zero_shot
from tvcli.vector import TaskVector


def run(
    model_options: ModelOptions,
    vector: str | None,
    text: str | None,
    image: str | None,
    task: str | None,
    *,
    source: str,
    view: str,
    sets: int,
    top: int,
    plot: Path | None,
    json: bool,
) -> None:
    request = model_request(model_options)
    if sum(given is not None for given in (vector, text, image, task)) != 1:
        raise UsageError("give one of --vector, --text, --image and --task")
    if plot is not None and task is None:
        raise UsageError("--plot draws the curves of --task; there is no plot of tokens")
    if task is None:
        given = vector_or_prompt(vector, text, image)
        with request.open() as loaded:
            show_tokens(loaded.engine, residuals(loaded.engine, given), top, json=json)
        return
    found = find_task(task)
    plotting.check(plot, task_files([found]))
    with request.open() as loaded:
        sources = [Source.TEXT, Source.IMAGE] if source == "both" else [Source(source)]
        curves = task_curves(loaded.engine, found, sources, View(view), sets)
    show_phases(curves, json=json)
    series = {name: one.mean for name, one in curves.items()}
    plotting.curves(plot, series, x="layer", y="probability at the delimiter", title=task)


def vector_or_prompt(vector: str | None, text: str | None, image: str | None) -> TaskVector | Prompt:
    """What to decode; files are read before the model is loaded."""
    if vector is not None:
        return read_vector(vector)
    return zero_shot(given_text(text, "--text") if text is not None else read_image(str(image)))


def residuals(engine: Engine, given: TaskVector | Prompt) -> np.ndarray:
    """Rows to decode, float32 (L, D)."""
    if isinstance(given, Prompt):
        [rows] = engine.read([given])
        return np.asarray(rows)
    given.check_fits(engine.model)
    warn_of_other_models(engine.model, given)
    return given.rows


def task_curves(engine: Engine, found: Task, sources: list[Source], view: View, sets: int) -> dict[str, Curve]:
    """Curves by phase and by source of the prompts."""
    if Source.IMAGE in sources and not engine.has_vision:
        raise UsageError(f"the model {engine.model.name} has no image encoder; add --mmproj FILE")
    curves: dict[str, Curve] = {}
    for source in sources:
        runs = phases(
            engine, found, source, view=view, sets=sets, progress=lambda all_: out.progress(all_, len(all_), "decoded")
        )
        kind = "instruction" if source == Source.INSTRUCTION else f"{source} examples"
        curves |= {f"{phase}, {kind}": curve({found.name: values}) for phase, values in runs.items()}
    return curves


def show_curves(series: dict[str, np.ndarray], *, json: bool) -> None:
    """Print one line per curve, with a sparkline on a terminal."""
    if json:
        out.record({name: [round(float(v), 6) for v in values] for name, values in series.items()})
        return
    layers = len(next(iter(series.values())))
    if out.is_terminal():
        rows = [
            [name, sparkline(values), f"{values.max():.3f} at {values.argmax()}"] for name, values in series.items()
        ]
        out.table("", ["curve", f"layers 0 to {layers - 1}", "highest"], rows)
    else:
        rows = [[name, *(f"{value:.4f}" for value in values)] for name, values in series.items()]
        out.table("", ["curve", *map(str, range(layers))], rows)


def show_phases(curves: dict[str, Curve], *, json: bool) -> None:
    """Print one line per curve: its mean at every layer, or on a terminal a sparkline and its highest mean."""
    if json:
        out.record({name: record(one) for name, one in curves.items()})
        return
    layers = len(next(iter(curves.values())).mean)
    if out.is_terminal():
        rows = [
            [name, str(one.n), sparkline(one.mean), f"{one.cell(one.peak)} at {one.peak}"]
            for name, one in curves.items()
        ]
        out.table("", ["curve", "n", f"layers 0 to {layers - 1}", "highest [95 % interval]"], rows)
    else:
        rows = [[name, str(one.n), *(f"{value:.4f}" for value in one.mean)] for name, one in curves.items()]
        out.table("", ["curve", "n", *map(str, range(layers))], rows)


def record(one: Curve) -> dict[str, object]:
    """A curve as JSON; the limits of the interval are null for a single run."""
    limits = {"low": one.low, "high": one.high}
    rounded = {name: [round(float(v), 6) for v in values] for name, values in ({"mean": one.mean} | limits).items()}
    return {"n": one.n, **{name: None if np.isnan(values).any() else values for name, values in rounded.items()}}


def show_tokens(engine: Engine, rows: np.ndarray, top: int, *, json: bool) -> None:
    for layer, tokens in enumerate(top_tokens(engine, rows, top)):
        if json:
            pairs = [{"token": token.text, "probability": round(token.probability, 6)} for token in tokens]
            out.record({"layer": layer, "tokens": pairs})
        else:
            out.line(str(layer), *(f"{token.text} {token.probability:.3f}" for token in tokens))
