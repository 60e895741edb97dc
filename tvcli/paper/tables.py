"""The paper's tables and figure 6, each a preset over the general evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvcli.errors import NotApplicableError
from tvcli.evaluation.cells import LEGEND, accuracy, constant, difference, method_cells, method_header, short_matches
from tvcli.evaluation.results import MAJORITY, TransferResult
from tvcli.evaluation.setup import ALL_TRANSFERS, ENSEMBLE, INSTRUCTION, METHODS, NO_CONTEXT, PATCH, PROMPT
from tvcli.inputs.tasks import TEXT, find_task, load_task, task_folders
from tvcli.metrics import Judge, Metric
from tvcli.models.opening import ModelRequest
from tvcli.paper.cost import measure_cost
from tvcli.paper.numbers import averages, paper_numbers
from tvcli.paper.study import Study, Table
from tvcli.prompts.chat import CHATML, Chat

SHOTS = 5
WORDINGS = ("", "question", "typo", "paraphrase", "distractor")


def table2(study: Study) -> Table:
    [pair] = study.evaluate("table2")
    rows = [*_rows(pair, METHODS), *_paper_rows(study, "table2", ("", MAJORITY, *METHODS, "", ""))]
    return Table(("task", *method_header(METHODS)), tuple(rows), _note(study, pair), legend=_legend(pair))


def table3(study: Study) -> Table:
    if study.llm is None:
        raise NotApplicableError("table 3 needs the model's own language model; name it with --llm")
    [own] = study.evaluate("table2")
    [other] = study.evaluate("table3", source_model=ModelRequest(study.llm), methods=(PATCH,))
    rows = [
        (
            name,
            str(row.n),
            constant(row),
            accuracy(row.scores[PATCH]),
            accuracy(own.rows[name].scores[PATCH]),
            difference(row.minus(PATCH, own.rows[name], PATCH)),
        )
        for name, row in other.rows.items()
    ]
    papers = _paper_rows(study, "table3", ("", "", "llm", "vlm", ""))
    note = f"{study.data}; vectors read in {study.llm}, patched at layer {other.layer}, beside the model's own"
    header = ("task", "n", MAJORITY, "from the LLM", "from the VLM", "LLM - VLM")
    return Table(header, (*rows, *papers), note, legend=_legend(other))


def table4(study: Study) -> Table:
    tasks = tuple(load_task(folder) for folder in task_folders("vqa"))
    [pair] = study.evaluate("table4", tasks=tasks, pairs=(study.pair(INSTRUCTION),))
    by_name = {task.name: task.instruction for task in tasks}
    rows = [(by_name.get(name, name), *cells) for name, *cells in _rows(pair, METHODS)]
    note = f"instruction vectors, patched at layer {pair.layer}"
    return Table(("question", *method_header(METHODS)), tuple(rows), note, legend=_legend(pair))


def table5(study: Study) -> Table:
    """How often the output follows the vector's task, and in brackets the prompt's, which it is to override."""
    tasks = tuple(load_task(folder) for folder in task_folders("override"))
    against = {task.name: find_task(task.against) for task in tasks}
    pairs = (study.pair(INSTRUCTION),)
    [pair] = study.evaluate(
        "table5", tasks=tasks, against=against, pairs=pairs, judge=Judge(Metric.EXACT), layer=study.layer()
    )
    kinds = {task.name: f"{task.kind}: {task.name} against {task.against}" for task in tasks}
    rows = [(kinds.get(name, name), *cells) for name, *cells in _rows(pair, METHODS)]
    names = {NO_CONTEXT: "prompt alone", PROMPT: "system prompt"}
    header = [names.get(name, name) for name in method_header(METHODS)]
    note = "follows the vector (follows the prompt); 'system prompt' gives the same request as a system prompt"
    return Table(("kind", *header), tuple(rows), note, legend=_legend(pair))


def table7(study: Study) -> Table:
    cost = measure_cost(study.engine, study.request, study.tasks[0])
    rows = [(one.name, str(one.tokens), f"{one.seconds:.3f}", f"{one.megabytes:.0f}") for one in cost]
    rows.append(("ratio", f"{cost[0].tokens / cost[1].tokens:.0f} ×", f"{cost[0].seconds / cost[1].seconds:.0f} ×", ""))
    papers = [
        (f"paper: {name}, Idefics2-8B on a GPU", "", f"{one['seconds']:.2f}", str(one["megabytes"]))
        for name, one in paper_numbers()["table7"].items()
    ]
    note = "a query in words; medians of one forward pass; peak memory of a process that does nothing else"
    return Table(("one query", "tokens", "seconds", "MB"), (*rows, *papers), note)


def table9(study: Study) -> Table:
    for task in study.tasks:
        missing = [wording for wording in WORDINGS if wording and wording not in task.wordings]
        if missing:
            raise NotApplicableError(f"table 9 needs wordings of each kind; {task.name} has none of {missing[0]}")
    columns: dict[str, TransferResult] = {}
    for wording in WORDINGS:
        pairs, name = (study.pair(INSTRUCTION),), wording or "plain"
        [columns[name]] = study.evaluate(f"table9-{name}", pairs=pairs, wording=wording, methods=(PATCH,))
    rows = [
        (task, str(row.n), constant(row), *(accuracy(column.rows[task].scores[PATCH]) for column in columns.values()))
        for task, row in columns["plain"].rows.items()
    ]
    note = f"{study.data}; accuracy of instruction vectors, by wording of the instruction"
    legend = _legend(columns["plain"]).replace("over seeds", "over the wordings of a kind")
    return Table(("task", "n", MAJORITY, *columns), tuple(rows), note, legend=legend)


def table10(study: Study) -> Table:
    template = study.engine.chat_template
    [plain] = study.evaluate("table2")
    [chat] = study.evaluate("table10", template=Chat(template or CHATML))
    rows = [
        (
            name,
            *method_cells(row, METHODS),
            accuracy(plain.rows[name].scores[PATCH]),
            difference(row.minus(PATCH, plain.rows[name], PATCH)),
        )
        for name, row in chat.rows.items()
    ]
    own = "the model's own template" if template else "ChatML, since the model brings no template"
    header = ("task", *method_header(METHODS), "patch, Q and A", "patch - patch, Q and A")
    papers = _paper_rows(study, "table10", ("", "", *METHODS, "", "", "", ""))
    note = f"{study.data}; {own}, patched at layer {chat.layer}"
    return Table(header, (*rows, *papers), note, legend=_legend(chat))


def table12(study: Study) -> Table:
    if not study.engine.has_vision:
        raise NotApplicableError(f"table 12 needs a model that sees; {study.engine.model.name} has no image encoder")
    paper = averages("table12")
    rows = []
    for pair in study.evaluate("table12", pairs=ALL_TRANSFERS):
        name = f"{pair.source} → {pair.query}"
        papers = [f"{numbers[name]:.2f}" if name in numbers else "" for numbers in paper.values()]
        rows.append((name, *method_cells(pair.average, METHODS), str(pair.layer), *papers))
    header = ("pair", *method_header(METHODS), "layer", *(_paper_name(study, f"{model}, patch") for model in paper))
    return Table(header, tuple(rows), f"{study.data}; average over tasks", legend=_legend(pair))


def figure6(study: Study) -> Table:
    """Letter case is ignored here, as in the reference: nothing shows an instruction vector the case."""
    layer = study.layer()
    judge = Judge(ignore_case=True)
    [alone] = study.evaluate("figure6-0", pairs=(study.pair(INSTRUCTION),), layer=layer, methods=(PATCH,), judge=judge)
    rows: list[tuple[str, ...]] = []
    rows.append(("0", str(alone.average.n), constant(alone.average), "", accuracy(alone.average.scores[PATCH])))
    for prompts in range(1, 7):
        pairs = study.evaluate(
            f"figure6-{prompts * SHOTS}",
            pairs=(study.pair(TEXT), study.pair(ENSEMBLE)),
            layer=layer,
            prompts=prompts,
            methods=(PATCH,),
            judge=judge,
        )
        average = pairs[0].average
        cells = (accuracy(pair.average.scores[PATCH]) for pair in pairs)
        rows.append((str(prompts * SHOTS), str(average.n), constant(average), *cells))
    note = f"{study.data}; average over tasks, letter case ignored, patched at layer {layer}"
    header = ("examples", "n", MAJORITY, "examples alone", "with the instruction vector")
    return Table(header, tuple(rows), note, legend=_legend(alone))


def _rows(pair: TransferResult, methods: Sequence[str]) -> list[tuple[str, ...]]:
    return [(name, *method_cells(row, methods)) for name, row in pair.rows.items()]


def _note(study: Study, pair: TransferResult) -> str:
    return f"{study.data}; {pair.source} → {pair.query}, patched at layer {pair.layer}"


def _legend(pair: TransferResult) -> str:
    short = short_matches(pair, METHODS)
    return f"{LEGEND}. {short}" if short else LEGEND


def _paper_rows(study: Study, table: str, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The paper's averages, one line per model; `columns` names what stands in each cell, nothing for an empty one."""
    return [(_paper_name(study, model), *_numbers(numbers, columns)) for model, numbers in averages(table).items()]


def _numbers(numbers: Mapping[str, float], columns: Sequence[str]) -> list[str]:
    return [f"{numbers[column]:.2f}" if column in numbers else "" for column in columns]


def _paper_name(study: Study, model: str) -> str:
    """The paper's numbers are comparable on the paper's data alone."""
    return f"paper: {model}" if study.is_papers else f"paper: {model} (other data)"
