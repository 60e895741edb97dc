"""The paper's tables, most of them presets over the general evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tvcli.errors import NotApplicableError
from tvcli.evaluation.cells import accuracy, constant, difference, legend, method_cells, method_header
from tvcli.evaluation.results import MAJORITY, TransferResult
from tvcli.evaluation.setup import ALL_TRANSFERS, Variant
from tvcli.inputs.tasks import Task
from tvcli.kinds import Method, Source
from tvcli.method.lens import top_tokens
from tvcli.models.opening import ModelRequest
from tvcli.paper.cost import measure_cost
from tvcli.paper.numbers import averages, paper_numbers
from tvcli.paper.registry import item
from tvcli.paper.study import Study, Table
from tvcli.prompts.chat import chat_of

WORDINGS = ("", "question", "typo", "paraphrase", "distractor")


@item("table2", "no context, prompt and patch on image queries", "six tasks, three seeds")
def table2(study: Study) -> Table:
    found = study.table2()
    rows = [*_rows(found), *_paper_rows(study, "table2", ("", MAJORITY, *Method, "", ""))]
    note = f"{study.data}; {found.transfer}, patched at layer {found.layer}"
    return Table(("task", *method_header()), tuple(rows), note, legend=legend(found))


@item("table3", "vectors from the language model, patched into the VLM", "the VLM's language model")
def table3(study: Study) -> Table:
    if study.llm is None:
        raise NotApplicableError("table 3 needs the model's own language model; name it with `llm`")
    own, patched = study.table2(), replace(study.setup(), methods=(Method.PATCH,))
    [other] = study.evaluate("table3", patched, source_model=ModelRequest(study.llm))
    rows = [
        (
            name,
            str(row.n),
            constant(row),
            accuracy(row.scores[Method.PATCH]),
            accuracy(own.rows[name].scores[Method.PATCH]),
            difference(row.minus(Method.PATCH, own.rows[name], Method.PATCH)),
        )
        for name, row in other.rows.items()
    ]
    papers = _paper_rows(study, "table3", ("", "", "llm", "vlm", ""))
    note = f"{study.data}; vectors read with {study.llm}, patched at layer {other.layer}, next to the model's own"
    header = ("task", "n", MAJORITY, "from the LLM", "from the VLM", "LLM - VLM")
    return Table(header, (*rows, *papers), note, legend=legend(other))


@item("table6", "tokens that vectors decode to", "six tasks")
def table6(study: Study) -> Table:
    layer, seed = study.layer(), study.seeds[0]
    rows = [
        (task.name, modality, _tokens(study, task, Source(modality), Variant(seed)))
        for task in study.tasks
        for modality in study.modalities
    ]
    return Table(("task", "examples", "top tokens"), tuple(rows), f"what vectors decode to at layer {layer}")


@item("table7", "cost of a prompt with 30 examples against a patch", "one query")
def table7(study: Study) -> Table:
    cost = measure_cost(study.engine, study.request, study.tasks[0])
    rows = [(one.name, str(one.tokens), f"{one.seconds:.3f}", f"{one.megabytes:.0f}") for one in cost]
    rows.append(("ratio", f"{cost[0].tokens / cost[1].tokens:.0f} ×", f"{cost[0].seconds / cost[1].seconds:.0f} ×", ""))
    papers = [
        (f"paper: {name}, Idefics2-8B on a GPU", "", f"{one['seconds']:.2f}", str(one["megabytes"]))
        for name, one in paper_numbers()["table7"].items()
    ]
    note = "a text query; median seconds of one forward pass; peak memory of a separate process"
    return Table(("one query", "tokens", "seconds", "MB"), (*rows, *papers), note)


@item("table9", "noisy instructions: typos, paraphrases, distractors", "wordings of each instruction")
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
    rows = [
        (
            name,
            *method_cells(row),
            accuracy(plain.rows[name].scores[Method.PATCH]),
            difference(row.minus(Method.PATCH, plain.rows[name], Method.PATCH)),
        )
        for name, row in chat.rows.items()
    ]
    header = ("task", *method_header(), "patch, Q and A", "patch - patch, Q and A")
    papers = _paper_rows(study, "table10", ("", "", *Method, "", "", "", ""))
    note = f"{study.data}; {which}, patched at layer {chat.layer}"
    return Table(header, (*rows, *papers), note, legend=legend(chat))


@item("table12", "all pairs of modalities", "a model with an image encoder")
def table12(study: Study) -> Table:
    if not study.engine.has_vision:
        raise NotApplicableError(f"table 12 needs a model with an image encoder; {study.engine.model.name} has none")
    paper = averages("table12")
    rows = []
    everything = study.evaluate("table12", replace(study.setup(), transfers=ALL_TRANSFERS))
    for found in everything:
        name = str(found.transfer)
        papers = [f"{numbers[name]:.2f}" if name in numbers else "" for numbers in paper.values()]
        rows.append((name, *method_cells(found.average), str(found.layer), *papers))
    header = ("pair", *method_header(), "layer", *(_paper_name(study, f"{model}, patch") for model in paper))
    return Table(header, tuple(rows), f"{study.data}; average over tasks", legend=legend(everything[-1]))


@item("table13", "tokens that vectors of instructions decode to", "six tasks")
def table13(study: Study) -> Table:
    layer = study.layer()
    rows = [
        (task.name, text, _tokens(study, task, Source.INSTRUCTION, Variant(wording=text)))
        for task in study.tasks
        for text in task.instructions("")
    ]
    return Table(("task", "instruction", "top tokens"), tuple(rows), f"what vectors decode to at layer {layer}")


def _tokens(study: Study, task: Task, source: Source, variant: Variant) -> str:
    layer = study.layer()
    vector = study.vector(task, source, variant)
    [tokens] = top_tokens(study.engine, vector.rows[layer : layer + 1], 5)
    return ", ".join(token.text.strip() or repr(token.text) for token in tokens)


def _rows(found: TransferResult) -> list[tuple[str, ...]]:
    return [(name, *method_cells(row)) for name, row in found.rows.items()]


def _paper_rows(study: Study, table: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The paper's averages, one line per model; `columns` names the number of each cell, or is empty."""
    return [(_paper_name(study, model), *_numbers(numbers, columns)) for model, numbers in averages(table).items()]


def _numbers(numbers: Mapping[str, float], columns: Sequence[str]) -> list[str]:
    return [f"{numbers[column]:.2f}" if column in numbers else "" for column in columns]


def _paper_name(study: Study, model: str) -> str:
    """The paper's row name; its numbers are comparable only on the paper's data."""
    return f"paper: {model}" if study.is_papers else f"paper: {model} (other data)"
