"""The paper's tables: what they need, what they refuse, and under which name their answers are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import planted
import pytest
from planted import study

from tvcli.errors import NotApplicableError
from tvcli.evaluation.setup import ALL_TRANSFERS
from tvcli.inputs.tasks import find_task
from tvcli.kinds import Method
from tvcli.metrics import Judge, Metric
from tvcli.models.opening import ModelRequest
from tvcli.paper import tables
from tvcli.paper.cost import Cost
from tvcli.paper.items import ITEMS
from tvcli.prompts.chat import CHATML, Chat
from tvcli.prompts.prompt import QA

MODELS = ("LLaVA-1.5-7B", "Mantis-Fuyu-8B", "Idefics2-8B", "Random")  # of the paper's table 2


def test_a_table_that_cannot_be_made_says_why(planted_folder: Path) -> None:
    blind = planted.Planted(planted_folder)
    blind.has_vision = False
    with pytest.raises(NotApplicableError, match=r"^table 3 needs the model's own language model; name it with `llm`$"):
        tables.table3(study(planted_folder))
    with pytest.raises(NotApplicableError, match=r"^table 12 needs a model with an image encoder; fake has none$"):
        tables.table12(study(planted_folder, engine=blind))


def test_wordings_of_every_kind_are_needed_and_the_first_missing_is_named(planted_folder: Path) -> None:
    toml = planted_folder / "beta" / "task.toml"
    toml.write_text("\n".join(line for line in toml.read_text().splitlines() if line[:4] not in ("typo", "dist")))
    with pytest.raises(NotApplicableError, match=r"^table 9 needs wordings of each kind; beta has no typo wordings$"):
        tables.table9(study(planted_folder))


def test_without_a_template_of_its_own_a_model_gets_chatml(planted_folder: Path) -> None:
    plain = planted.Planted(planted_folder)
    plain.chat_template = ""
    known = study(planted_folder, engine=plain)
    assert tables.table10(known).note == "tv's own data; ChatML, since the model has no template, patched at layer 3"
    assert [setup.template for setup, *_ in known.done] == [QA, Chat(CHATML)]


def test_the_cost_of_both_ways_stands_above_their_ratio(planted_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def measured(*given: Any) -> list[Cost]:
        asked.append(given)
        return [Cost("prompt", 300, 2.0004, 2000.4), Cost("patch", 10, 0.25, 500.0)]

    monkeypatch.setattr(tables, "measure_cost", measured)
    known = study(planted_folder)
    made = tables.table7(known)
    assert asked == [(known.engine, known.request, known.tasks[0])]
    assert made.header == ("one query", "tokens", "seconds", "MB")
    assert made.rows == (
        ("prompt", "300", "2.000", "2000"),
        ("patch", "10", "0.250", "500"),
        ("ratio", "30 ×", "8 ×", ""),
        ("paper: prompt, 30 long examples, Idefics2-8B on a GPU", "", "2.20", "20020"),
        ("paper: patch, Idefics2-8B on a GPU", "", "0.20", "8210"),
    )


def test_the_papers_numbers_are_of_other_data_unless_the_tasks_are_the_papers(planted_folder: Path) -> None:
    known = study(planted_folder, "alpha")
    assert [row[0] for row in tables.table2(known).rows[-4:]] == [f"paper: {name} (other data)" for name in MODELS]
    known.tasks = tuple(replace(task, paper=task.digest) for task in known.tasks)
    assert [row[0] for row in tables.table2(known).rows[-4:]] == [f"paper: {name}" for name in MODELS]


def test_evaluations_are_kept_under_the_name_of_what_they_are_for(planted_folder: Path, tmp_path: Path) -> None:
    known = study(planted_folder, llm="fake", folder=tmp_path)
    known.imported = tuple(map(find_task, ("epsilon", "zeta")))
    asked = ("table4", "after-table4", "table5", "after-table5")
    for name in ("table2", "table3", *asked, "table9", "table10", "table12", "figure6"):
        ITEMS[name].make(known)
    nine = [f"table9-{name}" for name in ("plain", "question", "typo", "paraphrase", "distractor")]
    six = [f"figure6-{shots}" for shots in (0, 5, 10, 15, 20, 25, 30)]
    names = ["table2", "table3", *asked, *nine, "table10", "table12", *six]
    assert len(known.done) == len(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.jsonl" for name in names)
    settings = {name: setup for name, (setup, *_) in zip(names, known.done, strict=True)}
    assert [settings[name].prompts for name in six] == [None, 1, 2, 3, 4, 5, 6]
    assert {settings[name].layer for name in (*six, "table5", "after-table5")} == {3}
    assert [settings[name].wording for name in nine] == ["", "question", "typo", "paraphrase", "distractor"]
    assert settings["table12"].transfers == ALL_TRANSFERS
    alone = [name for name, setup in settings.items() if setup.methods == (Method.PATCH,)]
    assert alone == ["table3", *nine, *six]
    assert [name for name, setup in settings.items() if setup.judge == Judge(ignore_case=True)] == six
    assert [name for name, setup in settings.items() if setup.judge == Judge(Metric.EXACT)] == [
        "table5",
        "after-table5",
    ]
    assert [model for _, model, _ in known.done if model is not None] == [ModelRequest("fake")]
    heads = {name: json.loads((tmp_path / f"{name}.jsonl").read_text("utf-8").split("\n")[0]) for name in names}
    assert [name for name, head in heads.items() if head["source_model"] is not None] == ["table3"]
