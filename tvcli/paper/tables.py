"""The paper's tables, most of them presets over the general evaluation."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tvcli import plots
from tvcli.errors import NotApplicableError
from tvcli.evaluation.cells import accuracy, constant, difference, legend, method_cells, method_header
from tvcli.evaluation.results import MAJORITY, Row, TransferResult
from tvcli.evaluation.setup import ALL_TRANSFERS, Variant
from tvcli.inputs.tasks import Task
from tvcli.kinds import Method, Source
from tvcli.method.lens import top_tokens
from tvcli.paper.numbers import averages, paper_cell, paper_name, paper_numbers, paper_rows
from tvcli.paper.registry import item
from tvcli.paper.study import Study, Table
from tvcli.prompts.chat import chat_of

IMAGE_COLUMNS = ("image prompt", "image patch")  # of image examples
WORDINGS = ("", "question", "typo", "paraphrase", "distractor")


@item("table2", "no context, prompt and patch on image queries", "six tasks, three seeds")
def table2(study: Study) -> Table:
    """With vectors and prompts from text examples, and from image examples if the model takes several images."""
    found, images = study.table2(), study.image_examples("table12", (Method.PROMPT, Method.PATCH))
    header, rows = ["task", *method_header()], _rows(found)
    columns = ["", MAJORITY, *Method, "", ""]
    note = f"{study.data}; {found.transfer}, patched at layer {found.layer}"
    if images is not None:
        header += [*IMAGE_COLUMNS, "patch - image patch"]
        columns += [*IMAGE_COLUMNS, ""]
        rows = [
            (*cells, *_image_cells(images.rows[name]), _minus(row, images.rows[name]))
            for cells, (name, row) in zip(rows, found.rows.items(), strict=True)
        ]
        note += f"; image examples at layer {images.layer}"
    papers = paper_rows(study, "table2", columns)
    draw = partial(plots.intervals, series=_spreads(found), names=list(found.rows), y="accuracy")
    return Table(tuple(header), (*rows, *papers), note + _no_image_examples(study), draw, legend=legend(found))


def _spreads(found: TransferResult) -> dict[str, list[plots.Spread]]:
    """The accuracy of each method, the majority's first, in every row."""
    methods = [method for method in (MAJORITY, *Method) if method in found.average.scores]
    scores = {method: [row.scores[method] for row in found.rows.values()] for method in methods}
    return {
        str(method): [(score.mean, score.interval.low, score.interval.high) for score in of_method]
        for method, of_method in scores.items()
    }


def _image_cells(row: Row) -> tuple[str, str]:
    return accuracy(row.scores[Method.PROMPT]), accuracy(row.scores[Method.PATCH])


def _minus(row: Row, other: Row) -> str:
    return difference(row.minus(Method.PATCH, other, Method.PATCH))


def _no_image_examples(study: Study) -> str:
    """Why a table of image queries has no image examples, for its note."""
    why = study.no_image_examples if study.engine.has_vision else ""
    return f"; no image examples, since {why}" if why else ""


@item(
    "table6",
    "tokens that vectors decode to",
    "six tasks",
    differs="vectors of the first seed",
)
def table6(study: Study) -> Table:
    layer, seed = study.layer(), study.seeds[0]
    rows = [
        (task.name, modality, _tokens(study, task, Source(modality), Variant(seed)))
        for task in study.tasks
        for modality in study.modalities
    ]
    return Table(("task", "examples", "top tokens"), tuple(rows), f"what vectors decode to at layer {layer}")


@item(
    "table9",
    "noisy instructions: typos, paraphrases, distractors",
    "wordings of each instruction",
    differs="tv's own wordings; the paper's numbers are not known",
)
def table9(study: Study) -> Table:
    for task in study.tasks:
        missing = [wording for wording in WORDINGS if wording and wording not in task.wordings]
        if missing:
            raise NotApplicableError(f"table 9 needs wordings of each kind; {task.name} has no {missing[0]} wordings")
    patched, columns = replace(study.setup(Source.INSTRUCTION), methods=(Method.PATCH,)), {}
    for wording in WORDINGS:
        name = wording or "plain"
        [columns[name]] = study.evaluate(f"table9-{name}", replace(patched, wording=wording))
    rows = [
        (
            task,
            str(row.n),
            constant(row),
            *(accuracy(column.rows[task].scores[Method.PATCH]) for column in columns.values()),
        )
        for task, row in columns["plain"].rows.items()
    ]
    note = f"{study.data}; accuracy of instruction vectors, by wording of the instruction"
    return Table(("task", "n", MAJORITY, *columns), tuple(rows), note, legend=legend(columns["plain"]))


@item("table10", "the chat template instead of Q and A", "six tasks, three seeds")
def table10(study: Study) -> Table:
    template, which = chat_of(study.engine.chat_template, study.template)
    plain = study.table2()
    [chat] = study.evaluate("table10", replace(study.setup(), template=template))
    images = study.image_examples("table10-images", (Method.PROMPT,), template)
    rows = [
        (
            name,
            *method_cells(row),
            accuracy(plain.rows[name].scores[Method.PATCH]),
            difference(row.minus(Method.PATCH, plain.rows[name], Method.PATCH)),
            *([] if images is None else [accuracy(images.rows[name].scores[Method.PROMPT])]),
        )
        for name, row in chat.rows.items()
    ]
    shown = [] if images is None else IMAGE_COLUMNS[:1]
    header = ("task", *method_header(), "patch, Q and A", "patch - patch, Q and A", *shown)
    papers = paper_rows(study, "table10", ("", "", *Method, "", "", "", "", *shown))
    note = f"{study.data}; {which}, patched at layer {chat.layer}{_no_image_examples(study)}"
    return Table(header, (*rows, *papers), note, legend=legend(chat))


@item("table12", "all pairs of modalities", "a model with an image encoder")
def table12(study: Study) -> Table:
    if not study.engine.has_vision:
        raise NotApplicableError(f"table 12 needs a model with an image encoder; {study.engine.model.name} has none")
    models = averages("table12")
    transfers = tuple(one for one in ALL_TRANSFERS if one.source == Source.TEXT or not study.no_image_examples)
    everything = study.evaluate("table12", replace(study.setup(), transfers=transfers))
    rows = [
        (
            str(found.transfer),
            name,
            *method_cells(row),
            str(found.layer),
            *(paper_cell("table12", model, name, str(found.transfer)) for model in models),
        )
        for found in everything
        for name, row in found.rows.items()
    ]
    header = ("pair", "task", *method_header(), "layer", *(paper_name(study, f"{model}, patch") for model in models))
    return Table(header, tuple(rows), f"{study.data}{_no_image_examples(study)}", legend=legend(everything[-1]))


@item("table13", "tokens that vectors of instructions decode to", "six tasks")
def table13(study: Study) -> Table:
    layer = study.layer()
    papers = paper_numbers()["table13"]["tokens"]
    rows = [
        (
            task.name,
            text,
            _tokens(study, task, Source.INSTRUCTION, Variant(wording=text)),
            ", ".join(papers.get(task.name, ())),
        )
        for task in study.tasks
        for text in task.instructions("")
    ]
    note = f"what vectors decode to at layer {layer}, beside the paper's tokens for its own instructions"
    return Table(("task", "instruction", "top tokens", "paper"), tuple(rows), note)


def _tokens(study: Study, task: Task, source: Source, variant: Variant) -> str:
    layer = study.layer()
    vector = study.vector(task, source, variant)
    [tokens] = top_tokens(study.engine, vector.rows[layer : layer + 1], 5)
    return ", ".join(token.text.strip() or repr(token.text) for token in tokens)


def _rows(found: TransferResult) -> list[tuple[str, ...]]:
    return [(name, *method_cells(row)) for name, row in found.rows.items()]
