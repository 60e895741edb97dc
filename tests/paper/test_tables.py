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
from tvcli.evaluation.cells import accuracy, difference
from tvcli.evaluation.setup import ALL_TRANSFERS
from tvcli.inputs.tasks import find_task
from tvcli.kinds import Method, Source
from tvcli.metrics import Judge, Metric
from tvcli.paper import from_llm, tables
from tvcli.paper.items import ITEMS
from tvcli.paper.study import Study, Table
from tvcli.prompts.chat import CHATML, VICUNA, Chat
from tvcli.prompts.prompt import QA

MODELS = ("LLaVA-1.5-7B", "Mantis-Fuyu-8B", "Idefics2-8B", "Random")  # of the paper's table 2


def test_a_table_that_cannot_be_made_says_why(planted_folder: Path) -> None:
    blind = planted.Planted(planted_folder)
    blind.has_vision = False
    with pytest.raises(NotApplicableError, match=r"^table 12 needs a model with an image encoder; fake has none$"):
        tables.table12(study(planted_folder, engine=blind))


def test_wordings_of_every_kind_are_needed_and_the_first_missing_is_named(planted_folder: Path) -> None:
    toml = planted_folder / "beta" / "task.toml"
    toml.write_text("\n".join(line for line in toml.read_text().splitlines() if line[:4] not in ("typo", "dist")))
    with pytest.raises(NotApplicableError, match=r"^table 9 needs wordings of each kind; beta has no typo wordings$"):
        tables.table9(study(planted_folder))


def test_without_a_template_of_its_own_a_model_gets_chatml(planted_folder: Path) -> None:
    plain = planted.Planted(planted_folder)
    plain.chat_template = None
    known = study(planted_folder, engine=plain)
    assert tables.table10(known).note == "tv's own data; ChatML, since the model has no template, patched at layer 3"
    assert [setup.template for setup, *_ in known.done] == [QA, *[Chat(CHATML)] * 2]


def test_the_template_that_the_catalog_names_goes_before_chatml(planted_folder: Path) -> None:
    plain = planted.Planted(planted_folder)
    plain.chat_template = None
    known = study(planted_folder, engine=plain, template="vicuna")
    said = "the vicuna template that the catalog names, since the file has none"
    assert tables.table10(known).note.startswith(f"tv's own data; {said}, patched at layer ")
    assert [setup.template for setup, *_ in known.done] == [QA, *[Chat(VICUNA)] * 2]


def test_the_papers_numbers_are_of_other_data_unless_the_tasks_are_the_papers(planted_folder: Path) -> None:
    known = study(planted_folder, "alpha")
    said = [f"paper: {name} (other data), average" for name in MODELS]
    assert [row[0] for row in tables.table2(known).rows[-4:]] == said
    known.tasks = tuple(replace(task, paper=task.digest) for task in known.tasks)
    assert [row[0] for row in tables.table2(known).rows[-4:]] == [f"paper: {name}, average" for name in MODELS]


def test_the_papers_numbers_stand_beside_those_of_the_same_tasks(planted_folder: Path) -> None:
    """Under the names of the paper's tasks, its numbers come by task too, in the columns of the methods."""
    known = study(planted_folder)
    known.tasks = tuple(
        replace(task, name=name) for task, name in zip(known.tasks, ("animal-young", "country-capital"), strict=True)
    )
    two, three, ten, twelve = (make(known) for make in (tables.table2, of_llm(known), tables.table10, tables.table12))
    assert cells(two, "paper: Idefics2-8B (other data), animal-young") == {
        "no context": "0.00", "prompt": "0.13", "patch": "0.62", "image prompt": "0.12", "image patch": "0.03"
    }  # fmt: skip
    assert cells(two, "paper: LLaVA-1.5-7B (other data), country-capital") == {
        "no context": "0.00", "prompt": "0.02", "patch": "0.31"
    }  # fmt: skip
    assert cells(two, "paper: Random (other data), animal-young") == {"majority": "0.18"}
    assert cells(three, "paper: Mistral → Idefics2 (other data), country-capital") == {
        "from the LLM": "0.57", "from the VLM": "0.61"
    }  # fmt: skip
    assert cells(ten, "paper: Idefics2-8B (other data), country-capital")["image prompt"] == "0.74"
    [row] = [row for row in twelve.rows if row[:2] == ("image → text", "animal-young")]
    beside = dict(zip(twelve.header, row, strict=True))
    found = {name: beside[f"paper: {name}, patch (other data)"] for name in MODELS[:3]}
    assert found == {"LLaVA-1.5-7B": "", "Mantis-Fuyu-8B": "0.05", "Idefics2-8B": "0.04"}
    names = [row[0].split(", ")[1] for row in two.rows if row[0].startswith("paper: ")]
    assert names == ["animal-young", "country-capital", "average"] * 4


def of_llm(known: Study) -> Any:
    known.llm = "fake"
    return from_llm.table3


def cells(made: Table, row: str) -> dict[str, str]:
    """The cells of a row that are not empty, by column."""
    [found] = [one for one in made.rows if one[0] == row]
    return {column: cell for column, cell in list(zip(made.header, found, strict=True))[1:] if cell}


def test_image_examples_are_columns_of_their_own_where_the_model_takes_several_images(planted_folder: Path) -> None:
    known = study(planted_folder)
    made = tables.table2(known)
    [images] = known.evaluate("x", replace(known.setup(Source.IMAGE), methods=(Method.PROMPT, Method.PATCH)))
    for name, row in images.rows.items():
        shown = cells(made, name)
        assert [shown["image prompt"], shown["image patch"]] == [accuracy(row.scores[m]) for m in list(Method)[1:]]
        minus = known.table2().rows[name].minus(Method.PATCH, row, Method.PATCH)
        assert shown["patch - image patch"] == difference(minus)
    assert made.note.endswith(f"; image examples at layer {images.layer}")
    ten = tables.table10(known)
    chat = next(setup.template for setup, *_ in known.done if setup.template != QA)
    [prompted] = known.evaluate("y", replace(known.setup(Source.IMAGE), methods=(Method.PROMPT,), template=chat))
    assert cells(ten, "average")["image prompt"] == accuracy(prompted.average.scores[Method.PROMPT])


def test_a_model_that_takes_one_image_has_no_image_examples(planted_folder: Path) -> None:
    known = study(planted_folder, one_image=True)
    said = "no image examples, since the model takes one image per prompt"
    for make in (tables.table2, tables.table10, tables.table12):
        assert made_header(make(known)).isdisjoint({"image prompt", "image patch"})
        assert make(known).note.endswith(said)
    assert {transfer.source for setup, *_ in known.done for transfer in setup.transfers} == {Source.TEXT}
    assert {row[0] for row in tables.table12(known).rows} == {"text → image", "text → text"}
    blind = planted.Planted(planted_folder)
    blind.has_vision = False
    alone = tables.table2(study(planted_folder, engine=blind))
    assert made_header(alone).isdisjoint({"image prompt", "image patch"})
    assert said not in alone.note


def test_tasks_with_too_few_different_images_have_no_image_examples(planted_folder: Path) -> None:
    known = study(planted_folder)
    task = known.tasks[0]
    same = tuple(replace(sample, image=task.validation[0].image) for sample in task.validation)
    known.tasks = (replace(task, validation=same), *known.tasks[1:])
    made = tables.table2(known)
    assert f"; no image examples, since of the validation samples of task {task.name} with image some" in made.note
    assert made_header(made).isdisjoint({"image prompt", "image patch"})


def made_header(made: Table) -> set[str]:
    return set(made.header)


def test_evaluations_are_kept_under_the_name_of_what_they_are_for(planted_folder: Path, tmp_path: Path) -> None:
    known = study(planted_folder, llm="fake", folder=tmp_path)
    known.imported = tuple(map(find_task, ("epsilon", "zeta")))
    asked = ("table4", "after-table4", "table5", "after-table5")
    for name in ("table2", "table3", *asked, "table9", "table10", "table12", "figure6"):
        ITEMS[name].make(known)
    nine = [f"table9-{name}" for name in ("plain", "question", "typo", "paraphrase", "distractor")]
    six = [f"figure6-{shots}" for shots in (0, 5, 10, 15, 20, 25, 30)]
    images = ["table12", "table10-images"]
    names = ["table2", images[0], "table3", "table3-own-layer", *asked, *nine, "table10", images[1], "table12", *six]
    assert len(known.done) == len(names)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.jsonl" for name in names}
    settings = {name: setup for name, (setup, *_) in zip(names, known.done, strict=True)}
    assert [settings[name].prompts for name in six] == [None, 1, 2, 3, 4, 5, 6]
    assert {settings[name].layer for name in (*six, "table3", "table5", "after-table5")} == {3}
    assert settings["table3-own-layer"].layer is None
    assert [settings[name].wording for name in nine] == ["", "question", "typo", "paraphrase", "distractor"]
    assert settings["table12"].transfers == ALL_TRANSFERS
    alone = [name for name, setup in settings.items() if setup.methods == (Method.PATCH,)]
    assert alone == ["table3", "table3-own-layer", *nine, *six]
    assert [name for name, setup in settings.items() if setup.judge == Judge(ignore_case=True)] == six
    assert [name for name, setup in settings.items() if setup.judge == Judge(Metric.EXACT)] == [
        "table5",
        "after-table5",
    ]
    assert [setup for setup, of_llm, _ in known.done if of_llm] == [settings["table3"], settings["table3-own-layer"]]
    heads = {name: json.loads((tmp_path / f"{name}.jsonl").read_text("utf-8").split("\n")[0]) for name in names}
    assert [name for name, head in heads.items() if head["source_model"] is not None] == ["table3", "table3-own-layer"]


def test_the_papers_tokens_stand_beside_those_of_the_same_task(planted_folder: Path) -> None:
    known = study(planted_folder)
    known.tasks = (replace(known.tasks[0], name="animal-latin"), known.tasks[1])
    made = tables.table13(known)
    assert [row[3] for row in made.rows] == ["species, genus, ◇, animals, american", ""]
