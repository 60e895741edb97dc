"""The paper's tables and figure 6, each a preset over the general evaluation."""

from __future__ import annotations

from typing import Any

from tvcli.chat import CHATML, Chat
from tvcli.errors import UsageError
from tvcli.experiments.cost import measure_cost
from tvcli.experiments.metrics import EXACT
from tvcli.experiments.setup import ALL_PAIRS, ENSEMBLE, INSTRUCTION, METHODS, PATCH
from tvcli.experiments.study import Report, Study
from tvcli.loading import ModelChoice
from tvcli.tasks import IMAGE, TEXT, find_task, load_task, task_folders

SHOTS = 5


def table2(study: Study) -> Report:
    [pair] = study.evaluate("table2")
    rows = [(name, *(_mean(row[method]) for method in METHODS)) for name, row in pair["tasks"].items()]
    papers = [
        ("paper: LLaVA-1.5-7B", "0.00", "0.18", "0.32"),
        ("paper: Mantis-Fuyu-8B", "0.00", "0.09", "0.31"),
        ("paper: Idefics2-8B", "0.01", "0.18", "0.51"),
    ]
    return Report(("task", *METHODS), (*rows, *papers), f"text → {study.queries}, patched at layer {pair['layer']}")


def table3(study: Study) -> Report:
    if study.llm is None:
        raise UsageError("table 3 needs the model's own language model; name it with --llm")
    [own] = study.evaluate("table2")
    [other] = study.evaluate("table3", source_model=ModelChoice(study.llm), methods=(PATCH,))
    rows = [(name, _mean(row[PATCH]), _mean(own["tasks"][name][PATCH])) for name, row in other["tasks"].items()]
    papers = [("paper: Vicuna → LLaVA-1.5", "0.37", "0.32"), ("paper: Mistral → Idefics2", "0.52", "0.51")]
    note = f"vectors read in {study.llm}, patched at layer {other['layer']}, beside those read in the model itself"
    return Report(("task", "from the LLM", "from the VLM"), (*rows, *papers), note)


def table4(study: Study) -> Report:
    tasks = tuple(load_task(folder) for folder in task_folders("vqa"))
    [pair] = study.evaluate("table4", tasks=tasks, pairs=(study.pair(INSTRUCTION),))
    by_name = {task.name: task.instruction for task in tasks}
    rows = [(by_name.get(n, n), *(_mean(row[m]) for m in METHODS)) for n, row in pair["tasks"].items()]
    return Report(("question", *METHODS), tuple(rows), f"instruction vectors, patched at layer {pair['layer']}")


def table5(study: Study) -> Report:
    """How often the output follows the vector's task, and in brackets the prompt's, which it is to override."""
    tasks = tuple(load_task(folder) for folder in task_folders("override"))
    against = {task.name: find_task(task.against) for task in tasks}
    pairs = (study.pair(INSTRUCTION),)
    [pair] = study.evaluate("table5", tasks=tasks, against=against, pairs=pairs, metric=EXACT, layer=study.layer())
    kinds = {task.name: f"{task.kind}: {task.name} against {task.against}" for task in tasks}
    rows = [
        (kinds.get(name, name), *(f"{_mean(row[m])} ({row[m]['against']:.2f})" for m in METHODS))
        for name, row in pair["tasks"].items()
    ]
    note = "follows the vector (follows the prompt); 'prompt' gives the same request as a system prompt"
    return Report(("kind", "prompt alone", "system prompt", "patch"), tuple(rows), note)


def table7(study: Study) -> Report:
    cost = measure_cost(study.engine, study.choice, study.tasks[0])
    rows = [(one.name, str(one.tokens), f"{one.seconds:.3f}", f"{one.megabytes:.0f}") for one in cost]
    rows.append(("ratio", f"{cost[0].tokens / cost[1].tokens:.0f} ×", f"{cost[0].seconds / cost[1].seconds:.0f} ×", ""))
    papers = [("paper: prompt, 30 long examples", "", "2.20", "20020"), ("paper: patch", "", "0.20", "8210")]
    note = "medians of one forward pass; peak memory of a process that does nothing else"
    return Report(("one query", "tokens", "seconds", "MB"), (*rows, *papers), note)


def table9(study: Study) -> Report:
    columns = {}
    for wording in ("", "question", "typo", "paraphrase", "distractor"):
        name = f"table9-{wording or 'plain'}"
        [columns[wording or "plain"]] = study.evaluate(
            name, pairs=(study.pair(INSTRUCTION),), wording=wording, methods=(PATCH,)
        )
    tasks = columns["plain"]["tasks"]
    rows = [(task, *(_mean(column["tasks"][task][PATCH]) for column in columns.values())) for task in tasks]
    return Report(("task", *columns), tuple(rows), "accuracy of instruction vectors, by wording of the instruction")


def table10(study: Study) -> Report:
    template = study.engine.chat_template
    [plain] = study.evaluate("table2")
    [chat] = study.evaluate("table10", form=Chat(template or CHATML))
    rows = [
        (name, *(_mean(row[m]) for m in METHODS), _mean(plain["tasks"][name][PATCH]))
        for name, row in chat["tasks"].items()
    ]
    own = "the model's own template" if template else "ChatML, since the model brings no template"
    return Report(("task", *METHODS, "patch, Q and A"), tuple(rows), f"{own}, patched at layer {chat['layer']}")


def table12(study: Study) -> Report:
    if not study.engine.has_vision:
        raise UsageError(f"table 12 needs a model that sees; {study.engine.model.name} has no image encoder")
    pairs = study.evaluate("table12", pairs=ALL_PAIRS)
    paper = {(IMAGE, IMAGE): "0.31", (TEXT, IMAGE): "0.51", (TEXT, TEXT): "0.65", (IMAGE, TEXT): "0.42"}
    rows = []
    for pair in pairs:
        average = pair["tasks"]["average"]
        scores = (_mean(average[method]) for method in METHODS)
        rows.append(
            (f"{pair['source']} → {pair['query']}", *scores, str(pair["layer"]), paper[pair["source"], pair["query"]])
        )
    return Report(("pair", *METHODS, "layer", "paper: Idefics2, patch"), tuple(rows), "average over tasks")


def figure6(study: Study) -> Report:
    layer = study.layer()
    rows: list[tuple[str, ...]] = []
    [alone] = study.evaluate("figure6-0", pairs=(study.pair(INSTRUCTION),), layer=layer, methods=(PATCH,))
    rows.append(("0", "", _spread(alone["tasks"]["average"][PATCH])))
    for prompts in range(1, 7):
        pairs = study.evaluate(
            f"figure6-{prompts * SHOTS}",
            pairs=(study.pair(TEXT), study.pair(ENSEMBLE)),
            layer=layer,
            prompts=prompts,
            methods=(PATCH,),
        )
        rows.append((str(prompts * SHOTS), *(_spread(pair["tasks"]["average"][PATCH]) for pair in pairs)))
    note = f"average over tasks, mean ± spread over seeds, patched at layer {layer}"
    return Report(("examples", "examples alone", "with the instruction vector"), tuple(rows), note)


def _mean(score: dict[str, Any]) -> str:
    return f"{score['mean']:.2f}"


def _spread(score: dict[str, Any]) -> str:
    return f"{score['mean']:.3f} ± {score['std']:.3f}"
