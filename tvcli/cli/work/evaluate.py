"""``tv eval``: no context, prompt and patch on tasks."""

from __future__ import annotations

from pathlib import Path

from tvcli.cli.commands.options import EvaluationOptions, FileOptions, ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work import pictures
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.planning import planned
from tvcli.errors import UsageError
from tvcli.evaluation import run as evaluation
from tvcli.evaluation.cells import LEGEND, method_cells, method_header, short_matches
from tvcli.evaluation.results import Difference, Score
from tvcli.evaluation.run import Files, Result
from tvcli.evaluation.setup import METHODS, PATCH, Setup
from tvcli.models.opening import ModelRequest


def run(
    wanted: EvaluationOptions,
    kept: FileOptions,
    chosen: ModelOptions,
    source_model: str | None,
    plot: Path | None,
    *,
    json: bool,
    csv: bool,
) -> None:
    plan = planned(wanted)
    files = kept_files(kept)
    request = model_request(chosen)
    pictures.check(plot)
    other = None if source_model is None else ModelRequest(source_model, None, request.settings, out.meter)
    with request.open() as loaded:
        setup = plan(loaded.engine)
        if plot is not None and (setup.layer is not None or PATCH not in setup.methods):
            raise UsageError("--plot draws the accuracy over layers, which needs the method patch and no --layer")
        note_skipped(setup)
        result = evaluation.run(loaded.engine, setup, source_model=other, files=files, meter=out.meter)
    show_result(result, json=json, csv=csv)
    series = {f"{pair.source} → {pair.query}": pair.validation for pair in result.pairs}
    pictures.curves(plot, series, x="layer", y="validation accuracy", title="patched at one layer at a time")


def kept_files(kept: FileOptions) -> Files:
    """What to leave on disk."""
    if kept.resume and kept.samples is None:
        raise UsageError("--resume needs the --samples file to go on with")
    return Files(kept.samples, kept.resume, kept.vectors)


def note_skipped(setup: Setup) -> None:
    """Count the samples that have no picture where pictures are asked for."""
    if any("image" in pair for pair in setup.pairs):
        for task in setup.tasks:
            missing = sum(not sample.has("image") for sample in (*task.validation, *task.test))
            if missing:
                out.warn(f"task {task.name}: {missing} samples have no image and are skipped")


def show_result(result: Result, *, json: bool, csv: bool) -> None:
    """A table for each pair, or one JSON object, or comma-separated values."""
    if json:
        out.record(result.to_json())
        return
    if csv:
        out.comma_separated(*values(result))
        return
    for pair in result.pairs:
        methods = [method for method in METHODS if method in pair.average.scores]
        patched = f", patched at layer {pair.layer}" if pair.layer is not None else ""
        rows = [[name, *method_cells(row, methods)] for name, row in pair.rows.items()]
        out.table(f"{result.data}; {pair.source} → {pair.query}{patched}", ["task", *method_header(methods)], rows)
        short = short_matches(pair, methods)
        out.note(f"{LEGEND}. {short}" if short else LEGEND)


def values(result: Result) -> tuple[list[str], list[list[str]]]:
    """Header and rows of plain numbers: an accuracy and its interval in columns of their own."""
    header = ["data", "source", "query", "layer", "task", "n"]
    rows: list[list[str]] = []
    for pair in result.pairs:
        for name, row in pair.rows.items():
            known = [result.data, pair.source, pair.query, "" if pair.layer is None else str(pair.layer), name]
            differences = {f"{a} - {b}": difference for (a, b), difference in row.differences.items()}
            numbers: dict[str, Score | Difference] = {**row.scores, **differences}
            if not rows:
                header += [f"{one}{part}" for one in numbers for part in ("", " low", " high")]
            cells = [(one.mean, one.interval.low, one.interval.high) for one in numbers.values()]
            rows.append([*known, str(row.n), *(f"{number:.4f}" for cell in cells for number in cell)])
    return header, rows
