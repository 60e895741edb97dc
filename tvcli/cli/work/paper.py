"""``tv paper``: the paper's tables and figures, for any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work import paper_plan
from tvcli.cli.work.inputs import check_folder, task_files
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.paper_data import folder_of, tasks_of
from tvcli.cli.work.paper_files import check_files, record_of, title_of, write_files
from tvcli.cli.work.planning import find_tasks, judge_command, parse_seeds
from tvcli.cli.work.studies import open_study
from tvcli.errors import NotApplicableError, UsageError
from tvcli.evaluation.store import check_same_tasks
from tvcli.files import make_folder
from tvcli.inputs.tasks import Task
from tvcli.kinds import Picture
from tvcli.paper.items import ITEMS, OF_JUDGE, OF_LLM, OF_QUESTIONS, find_items
from tvcli.paper.study import Study, Table
from tvcli.timing import Spent


def run(
    model_options: ModelOptions,
    items: Sequence[str],
    data: str,
    task: list[str] | None,
    *,
    seeds: str,
    limit: int | None,
    one_layer: bool,
    llm: str | None,
    judge: str | None,
    output: Path | None,
    planned: bool,
    json: bool,
) -> None:
    request = model_request(model_options, Picture.PAPER)
    if not items and json:
        for name, item in ITEMS.items():
            out.record({"name": name, "title": item.title, "needs": item.needs, "differs": item.differs})
        return
    if not items:
        rows = [[name, item.title, item.needs, item.differs] for name, item in ITEMS.items()]
        out.table("", ["name", "title", "needs", "differs from the paper"], rows)
        return
    wanted = find_items(items)
    if llm is not None and not set(wanted) & set(OF_LLM):
        raise UsageError(f"--llm does nothing for {', '.join(wanted)}; it is for {' and '.join(OF_LLM)}")
    if judge is not None and not set(wanted) & set(OF_JUDGE):
        raise UsageError(f"--judge does nothing for {', '.join(wanted)}; it is for {' and '.join(OF_JUDGE)}")
    command, counted = judge_command(judge), parse_seeds(seeds)
    check_folder("--output", output)
    others, imported = _imported(task or ())
    tasks = tasks_of(data, others)
    folder = output or folder_of(data, request)
    if folder is not None:
        if not planned:
            make_folder(folder)
        check_same_tasks(folder, tasks)
        check_files(folder, wanted, list(task_files((*tasks, *imported))))
    if imported and not set(wanted) & set(OF_QUESTIONS):
        names = ", ".join(one.name for one in tasks)
        out.warn(f"imported questions are for {', '.join(OF_QUESTIONS)}; the others use {names}")
    begun = Spent.now()
    with open_study(
        request, tasks, imported, seeds=counted, limit=limit, one_layer=one_layer, llm=llm, judge=command, folder=folder
    ) as study:
        if planned:
            paper_plan.show(study, wanted, begun, json=json)
            return
        _report_skipped(dict(_make(study, name, json=json) for name in wanted), every=list(items) == ["all"])


def _imported(names: Sequence[str]) -> tuple[list[str], tuple[Task, ...]]:
    """The names of other tasks, and those that were imported from data sets of questions."""
    named = list(zip(names, find_tasks(list(names)), strict=True)) if names else []
    return [name for name, task in named if not task.origin], tuple(task for _, task in named if task.origin)


def _make(study: Study, name: str, *, json: bool) -> tuple[str, NotApplicableError | None]:
    """Make, print and save an item; returns its name, and why it cannot be made."""
    title = ITEMS[name].title
    try:
        made = ITEMS[name].make(study)
    except NotApplicableError as error:
        return name, error
    show_table(name, title, made, study.picture, json=json)
    if study.folder is not None:
        written = write_files(study.folder, name, title, made, study.picture)
        out.note(f"wrote {', '.join(map(str, written))}")
    return name, None


def _report_skipped(found: Mapping[str, NotApplicableError | None], *, every: bool) -> None:
    """After all others. Raises NotApplicableError if they were asked for by name."""
    skipped = {name: error for name, error in found.items() if error is not None}
    if len(found) == 1 and not every and skipped:
        raise next(iter(skipped.values()))
    for name, error in skipped.items():
        out.warn(f"skipped {name}: {error}")
    if skipped and not every:
        raise NotApplicableError(f"{', '.join(skipped)} cannot be made")


def show_table(name: str, title: str, made: Table, picture: Picture | None, *, json: bool) -> None:
    """A table, or one JSON object; `picture` is `None` for a model that gets no images."""
    if json:
        out.record(record_of(name, title, made, picture))
        return
    out.table(title_of(name, title, made, picture), made.header, made.rows)
    if made.legend:
        out.note(made.legend)
