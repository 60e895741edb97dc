"""The paper's tables and figures (ICML 2025 numbering), each a preset over the general evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvcli.chat import CHATML, Chat
from tvcli.engine.protocol import Engine
from tvcli.errors import UnavailableError, UsageError
from tvcli.experiments.cost import measure_cost
from tvcli.experiments.metrics import EXACT
from tvcli.experiments.run import Files, Meter, run
from tvcli.experiments.setup import ALL_PAIRS, ENSEMBLE, INSTRUCTION, METHODS, PATCH, Pair, Setup
from tvcli.loading import ModelChoice
from tvcli.tasks import IMAGE, TEXT, Task, find_task, load_task, task_folders

SHOTS = 5


@dataclass(frozen=True)
class Report:
    """One table: numbers of this model, and the paper's for its models where there are some."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass
class Study:
    """One model under study, with where its answers are kept; each evaluation runs once."""

    engine: Engine
    choice: ModelChoice
    llm: str | None  # the language model that `choice` was made from, for table 3
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    limit: int | None = None
    folder: Path | None = None
    meter: Meter | None = None
    done: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def queries(self) -> str:
        return IMAGE if self.engine.has_vision else TEXT

    def evaluate(self, name: str, *, source_model: ModelChoice | None = None, **setup: Any) -> list[dict[str, Any]]:
        """The records of `results.summary`, resumed from ``NAME.jsonl`` in the study's folder."""
        if name not in self.done:
            files = Files(self.folder / f"{name}.jsonl", resume=True) if self.folder else Files()
            defaults = {"tasks": self.tasks, "pairs": (self.pair(TEXT),), "seeds": self.seeds, "limit": self.limit}
            whole = Setup(**{**defaults, **setup})
            meter = {} if self.meter is None else {"meter": self.meter}
            self.done[name] = run(self.engine, whole, source_model=source_model, files=files, **meter)["pairs"]
        return self.done[name]

    def pair(self, source: str) -> Pair:
        return (source, self.queries)

    def layer(self) -> int:
        """The layer that validation chose in table 2: later experiments keep to it."""
        return int(self.evaluate("table2")[0]["layer"])


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


@dataclass(frozen=True)
class Item:
    """One of the paper's results."""

    title: str
    needs: str
    make: Callable[[Study], Report]


ITEMS: dict[str, Item] = {
    "table2": Item("no context, prompt and patch on image queries", "six tasks, three seeds", table2),
    "table3": Item("vectors from the language model, patched into the VLM", "the VLM's language model", table3),
    "table4": Item("visual questions as instruction vectors", "question sets", table4),
    "table5": Item("overriding the prompt's task, against a system prompt", "pairs of tasks", table5),
    "table7": Item("cost of a prompt with 30 examples against a patch", "one query", table7),
    "table9": Item("noisy instructions: typos, paraphrases, distractors", "wordings of each instruction", table9),
    "table10": Item("the chat template instead of Q and A", "six tasks, three seeds", table10),
    "table12": Item("all pairs of modalities", "a model that sees", table12),
    "figure6": Item("5 to 30 examples, with and without the instruction vector", "six tasks, three seeds", figure6),
}


def find_items(names: Sequence[str]) -> list[str]:
    """Names of tables and figures; ``all`` is every one.

    Raises:
        UsageError: an unknown name.
    """
    if list(names) == ["all"]:
        return list(ITEMS)
    for name in names:
        if name not in ITEMS:
            raise UsageError(f"the paper's results here are {', '.join(ITEMS)}, or all; not {name!r}")
    return list(names)


def make_folder(folder: Path) -> Path:
    """The folder to keep answers in. Raises UnavailableError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"folder {folder} cannot be made: {error.strerror}") from error
    return folder
