"""The paper's own data: ``tv tasks pull`` and ``tv paper --data``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tvcli.cli.output import out
from tvcli.cli.work.inputs import check_folder
from tvcli.cli.work.planning import find_tasks
from tvcli.errors import UnavailableError, UsageError
from tvcli.evaluation.task_checks import errors
from tvcli.inputs import paper_data
from tvcli.inputs.tasks import Task, load_task, task_folders
from tvcli.models.catalog import wanted_model
from tvcli.models.opening import ModelRequest

OWN, PAPERS = "tv", "paper"  # words of --data; anything else is a folder
MOST_FINDINGS = 10
BY_HAND = "; if you have its two archives: tv tasks pull --annotations FILE --images FILE -o FOLDER, then --data FOLDER"


def run(output: Path, annotations: Path | None, images: Path | None) -> None:
    if (annotations is None) != (images is None):
        raise UsageError("--annotations and --images must be given together")
    check_folder("--output", output)
    if annotations is None or images is None:
        names = paper_data.pull(output, out.meter)
    else:
        names = paper_data.convert(annotations, images, output, out.meter)
        out.note("it is not known whether the archives are the paper's, so tables call them other data")
    out.note(f"wrote {', '.join(names)} to {output}; use them as --data {output} or --task {output / names[0]}")
    _report_findings([load_task(output / name) for name in names])


def tasks_of(data: str, names: list[str] | None) -> tuple[Task, ...]:
    """The tasks of ``--data`` or ``--task``; the paper's data are fetched if they are not there as they were fetched.

    Raises:
        UsageError: both options, or a folder without one of the six tasks.
        UnavailableError: no such folder, or data that cannot be fetched.
    """
    if data == OWN:
        return tuple(find_tasks(names))
    if names:
        raise UsageError("--data names all tasks, so --task cannot be added; remove one of them")
    if data != PAPERS:
        if not Path(data).is_dir():
            raise UnavailableError(f"--data is {OWN}, {PAPERS} or a folder that tv tasks pull wrote, not {data!r}")
        return _six(Path(data))
    folder = paper_data.own_folder()
    if not _is_there(folder):
        try:
            paper_data.replace_by_pull(folder, out.meter)
        except UnavailableError as error:
            raise UnavailableError(f"{error}{BY_HAND}") from error
        out.note(f"wrote the paper's tasks to {folder}")
        _report_findings(_six(folder))
    return _six(folder)


def folder_of(data: str, request: ModelRequest) -> Path | None:
    """The folder of the answers where none is named: hours of work on the paper's data are always saved."""
    if data != PAPERS:
        return None
    model = wanted_model(request.name)
    stem = Path(model).stem if model.endswith(".gguf") else model
    folder = Path(f"paper-data-{re.sub(r'[^A-Za-z0-9_.-]+', '-', stem)}")
    out.note(f"answers are saved in {folder}; the same command continues there")
    return folder


def _six(folder: Path) -> tuple[Task, ...]:
    """The paper's tasks in the paper's order. Raises UsageError if one is missing."""
    names = [shipped.name for shipped in task_folders("paper")]
    missing = [name for name in names if not (folder / name / "task.toml").is_file()]
    if missing:
        raise UsageError(f"{folder} has no task {missing[0]}; the paper's are {', '.join(names)}")
    return tuple(load_task(folder / name) for name in names)


def _is_there(folder: Path) -> bool:
    """Whether all six tasks are there and unchanged."""
    try:
        return all(task.is_papers for task in _six(folder))
    except (UsageError, UnavailableError):
        return False


def _report_findings(tasks: Sequence[Task]) -> None:
    """Warn of what ``tv tasks check`` calls errors. They do not keep a text model from the rest."""
    found = [problem for task in out.progress(tasks, len(tasks), "tasks checked") for problem in errors(task)]
    for problem in found[:MOST_FINDINGS]:
        out.warn(problem)
    if len(found) > MOST_FINDINGS:
        out.warn(f"{len(found) - MOST_FINDINGS} more problems, which tv tasks check lists")
