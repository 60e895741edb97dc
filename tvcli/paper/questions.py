"""Visual questions (paper, table 4) and overriding (table 5, figure 7): the paper's data sets, and tv's own tasks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from tvcli.engine.protocol import Decoding, Patch
from tvcli.errors import NotApplicableError
from tvcli.evaluation.cells import legend, method_cells, method_header
from tvcli.evaluation.prompts import few_shot_prompts, zero_shot_prompts
from tvcli.evaluation.setup import Setup, Variant
from tvcli.inputs.tasks import Sample, Task, find_task, load_task, task_folders, whose_data
from tvcli.inputs.vqa import Origin
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.metrics import Judge, Metric
from tvcli.paper.registry import item
from tvcli.paper.study import Study, Table
from tvcli.vector import TaskVector

log = logging.getLogger(__name__)
EXAMPLES = 4  # per task, in figure 7
WRITTEN = Decoding(12, stop_at_newline=False)  # of an answer, in figure 7
FOLLOWS = "follows the vector (follows the prompt); 'system prompt' gives the vector's request as a system prompt"


@item(
    "table4",
    "questions of VQAv2, examples as captions and as images",
    "tv tasks import vqav2",
    differs="the paper's captions and the exact wording of its questions are not published",
)
def table4(study: Study) -> Table:
    """The questions are the tasks, and the queries are images without a question."""
    tasks = tuple(task for task in study.imported if task.origin == Origin.VQAV2.label and not task.has_questions)
    if not tasks:
        raise NotApplicableError(
            "table 4 needs question sets of VQAv2; make each with `tv tasks import vqav2` and name them with `task`"
        )
    _check_vision(study, "table 4")
    usable = {Source.TEXT: True, Source.IMAGE: not study.one_image}
    sources = [source for source, usable in usable.items() if usable and _have(tasks, source)]
    if not sources:
        raise NotApplicableError("table 4 needs captions for a model that takes one image per prompt")
    setup = replace(study.setup(*sources), tasks=tasks)
    instructions = {task.name: task.instruction for task in tasks}
    rows, layers = [], []
    for found in study.evaluate("table4", setup, own_layer=True):
        examples = "captions" if found.transfer.source == Source.TEXT else "images"
        rows += [(instructions.get(name, name), examples, *method_cells(row)) for name, row in found.rows.items()]
        layers.append(f"{examples} {found.layer}")
    lacking = "" if Source.TEXT in sources else "; examples as captions need `captions` when the tasks are imported"
    note = f"{whose_data(tasks)}; image queries, patched at layer: {', '.join(layers)}{lacking}"
    return Table(("question", "examples", *method_header()), tuple(rows), note, legend=legend(found))


@item(
    "after-table4",
    "after table 4: tv's own visual questions as instruction vectors",
    "question sets",
    differs="tv's own questions, images and instruction vectors",
)
def after_table4(study: Study) -> Table:
    tasks = _shipped("vqa")
    [found] = study.evaluate("after-table4", replace(study.setup(Source.INSTRUCTION), tasks=tasks), own_layer=True)
    by_name = {task.name: task.instruction for task in tasks}
    rows = [(by_name.get(name, name), *method_cells(row)) for name, row in found.rows.items()]
    note = f"{whose_data(tasks)}; instruction vectors, patched at layer {found.layer}"
    return Table(("question", *method_header()), tuple(rows), note, legend=legend(found))


@item(
    "table5",
    "overriding a question in the prompt by another one",
    "tv tasks import",
    differs="how the paper paired questions is not published; a command of yours judges, in the paper GPT-4o",
)
def table5(study: Study) -> Table:
    """The contradicted question stands behind the image; the vector is another question's about the same image."""
    tasks = _overriding(study)
    if not tasks:
        raise NotApplicableError(
            "table 5 needs questions that override others; make them with `tv tasks import` and `override`, and name"
            " them with `task`"
        )
    _check_vision(study, "table 5")
    if any(task.needs_judge for task in tasks) and not study.judge:
        tasks = tuple(task for task in tasks if not task.needs_judge)
        log.warning("table 5 leaves out the tasks without labels; name a command with `judge` for them")
    if not tasks:
        raise NotApplicableError("table 5 needs labels, or a command that `judge` names")
    return _overridden(study, "table5", tasks, {task.name: f"{task.origin}: {task.name}" for task in tasks})


@item(
    "after-table5",
    "after table 5: tv's own tasks override the prompt's task",
    "pairs of tasks",
    differs="tv's own tasks and images",
)
def after_table5(study: Study) -> Table:
    tasks = _shipped("override")
    kinds = {task.name: f"{task.kind}: {task.name} against {task.against}" for task in tasks}
    return _overridden(study, "after-table5", tasks, kinds)


@item(
    "figure7",
    "examples of overriding",
    "pairs of tasks",
    differs="the paper's choice of examples is not published; tv's own tasks without imported questions",
)
def figure7(study: Study) -> Table:
    """A few queries with the prompt alone, with a system prompt, and patched."""
    tasks = (_overriding(study) if study.engine.has_vision else ()) or _shipped("override")
    setup, modality = _setup(study, tasks), study.query_modality
    [transfer] = setup.transfers
    rows, images = [], []
    for task in tasks:
        variant = Variant(wording=task.instruction)
        alone = zero_shot_prompts(setup, task, modality)
        with_system = few_shot_prompts(setup, task, transfer, variant)
        for number, sample in enumerate(setup.samples(task, Split.TEST, modality)[:EXAMPLES]):
            patch = Patch.of(_vector_of(study, task, sample, variant), study.layer())
            asked = ((alone, None), (with_system, None), (alone, patch))
            answers = [
                study.engine.answer([make_prompt(number, sample)], [how], WRITTEN)[0][0].text
                for make_prompt, how in asked
            ]
            prompts = sample.question or setup.against[task.name].instruction
            shown = (" ".join(answer.split()) for answer in answers)
            query = sample.input or (sample.image.name if sample.image is not None else "")
            rows.append((task.name, query, prompts, sample.instruction or task.instruction, *shown))
            images.append(sample.image)
    header = ("task", "query", "the prompt asks", "the vector asks", "prompt alone", "system prompt", "patch")
    note = f"{whose_data(tasks)}; instruction vectors, patched at layer {study.layer()}"
    return Table(header, tuple(rows), note, images=tuple(images))


def _vector_of(study: Study, task: Task, sample: Sample, variant: Variant) -> TaskVector:
    if sample.instruction:
        return study.vector_cache.own(task, sample.instruction)
    return study.vector(task, Source.INSTRUCTION, variant)


def _shipped(group: str) -> tuple[Task, ...]:
    return tuple(load_task(folder) for folder in task_folders(group))


def _overriding(study: Study) -> tuple[Task, ...]:
    return tuple(task for task in study.imported if task.has_own_instructions)


def _check_vision(study: Study, item: str) -> None:
    if not study.engine.has_vision:
        raise NotApplicableError(f"{item} needs a model with an image encoder; {study.engine.model.name} has none")


def _have(tasks: Sequence[Task], source: Source) -> bool:
    """Whether all tasks have examples of this kind in both splits: captions may not have been imported."""
    modality = source.modality or Modality.TEXT
    return all(task.samples(split, modality) for task in tasks for split in Split)


def _setup(study: Study, tasks: tuple[Task, ...]) -> Setup:
    """Instruction vectors against what the prompt asks, at the layer of table 2."""
    against = {task.name: find_task(task.against) for task in tasks if task.against}
    setup = replace(study.setup(Source.INSTRUCTION), tasks=tasks, against=against, judge=Judge(Metric.EXACT))
    return replace(setup, layer=study.layer(), command=study.judge)


def _overridden(study: Study, name: str, tasks: tuple[Task, ...], kinds: dict[str, str]) -> Table:
    """How often the answer follows the vector's task, and in brackets the prompt's task, which it is to override."""
    setup = _setup(study, tasks)
    [found] = study.evaluate(name, setup)
    rows = [(kinds.get(task, task), *method_cells(row)) for task, row in found.rows.items()]
    names: dict[str, str] = {Method.NO_CONTEXT: "prompt alone", Method.PROMPT: "system prompt"}
    header = [names.get(column, column) for column in method_header()]
    note = f"{whose_data(tasks)}; {FOLLOWS}; {setup.judged_by}; patched at layer {found.layer}"
    return Table(("kind", *header), tuple(rows), note, legend=legend(found))
