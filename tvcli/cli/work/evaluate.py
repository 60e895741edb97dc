"""``tv eval``: no context, prompt and patch on tasks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tvcli.cli.commands.options import EvaluationOptions, FileOptions, ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work import plotting
from tvcli.cli.work.inputs import check_folder, task_files
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.planning import find_tasks, parse_methods, planned
from tvcli.cli.work.records import result_record
from tvcli.errors import UsageError
from tvcli.evaluation import run as evaluation
from tvcli.evaluation.cells import legend, method_cells, method_header
from tvcli.evaluation.results import Difference, Score
from tvcli.evaluation.run import Files, Result
from tvcli.evaluation.setup import Setup
from tvcli.files import check_not_input, make_folder
from tvcli.kinds import Method, Modality
from tvcli.models.opening import ModelRequest


def run(
    evaluation_options: EvaluationOptions,
    file_options: FileOptions,
    model_options: ModelOptions,
    source_model: str | None,
    plot: Path | None,
    *,
    json: bool,
    csv: bool,
) -> None:
    tasks = find_tasks(evaluation_options.task)
    plan = planned(evaluation_options, tasks)
    if plot is not None and (
        evaluation_options.layer is not None or Method.PATCH not in parse_methods(evaluation_options.method)
    ):
        raise UsageError("--plot draws the accuracy over layers, which needs the method patch and no --layer")
    request = model_request(model_options)
    read = [*task_files(tasks), *request.own_files()]
    files = output_files(file_options, read)
    plotting.check(plot, [*read, files.samples])
    if plot is not None and files.samples is not None and plot.resolve() == files.samples.resolve():
        raise UsageError(f"--plot and --samples both write {plot}")
    other = None if source_model is None else ModelRequest(source_model, None, request.settings, out.meter)
    with request.open() as loaded:
        setup = plan(loaded)
        note_skipped(setup)
        result = evaluation.run(loaded.engine, setup, source_model=other, files=files, meter=out.meter)
    show_result(result, json=json, csv=csv)
    if setup.command:
        out.note(setup.judged_by)
    series = {str(found.transfer): found.validation for found in result.transfers}
    plotting.curves(plot, series, x="layer", y="validation accuracy", title="patched at one layer at a time")


def output_files(file_options: FileOptions, inputs: Iterable[Path]) -> Files:
    """The files to write; `inputs` are files that must not be overwritten."""
    if file_options.resume and file_options.samples is None:
        raise UsageError("--resume needs the --samples file to continue")
    check_folder("--samples", file_options.samples)
    check_folder("--vectors", file_options.vectors)
    if file_options.samples is not None:
        check_not_input(file_options.samples, inputs)
    if file_options.vectors is not None:
        make_folder(file_options.vectors)  # before the work, in case it cannot be made
    return Files(file_options.samples, file_options.resume, file_options.vectors)


def note_skipped(setup: Setup) -> None:
    """Warn of samples that lack the text or image that the setup needs."""
    wanted = {part for transfer in setup.transfers for part in (transfer.source.modality, transfer.query)}
    for modality in (modality for modality in Modality if modality in wanted):
        for task in setup.tasks:
            missing = sum(not sample.has(modality) for sample in (*task.validation, *task.test))
            if missing:
                out.warn(f"task {task.name}: {missing} samples have no {modality} and are skipped")


def show_result(result: Result, *, json: bool, csv: bool) -> None:
    """A table for each transfer, or one JSON object, or comma-separated values."""
    if json:
        out.record(result_record(result))
        return
    if csv:
        out.comma_separated(*values(result))
        return
    for found in result.transfers:
        methods = [method for method in Method if method in found.average.scores]
        patched = f", patched at layer {found.layer}" if found.layer is not None else ""
        seen = f"; images {result.picture.words}" if result.picture is not None and found.transfer.has_images else ""
        rows = [[name, *method_cells(row, methods)] for name, row in found.rows.items()]
        out.table(f"{result.data}; {found.transfer}{patched}{seen}", ["task", *method_header(methods)], rows)
        out.note(legend(found, methods))


def values(result: Result) -> tuple[list[str], list[list[str]]]:
    """Header and rows of plain numbers: an accuracy and its interval in columns of their own."""
    header = ["data", "source", "query", "layer", "task", "n"]
    rows: list[list[str]] = []
    for found in result.transfers:
        layer = "" if found.layer is None else str(found.layer)
        for name, row in found.rows.items():
            known = [result.data, found.transfer.source, found.transfer.query, layer, name]
            differences = {f"{a} - {b}": difference for (a, b), difference in row.differences.items()}
            numbers: dict[str, Score | Difference] = {**row.scores, **differences}
            if not rows:
                header += [f"{one}{part}" for one in numbers for part in ("", " low", " high")]
            cells = [(one.mean, one.interval.low, one.interval.high) for one in numbers.values()]
            rows.append([*known, str(row.n), *(f"{number:.4f}" for cell in cells for number in cell)])
    return header, rows
