"""Tables 4 and 5 and figure 7: which tasks they take, and what they say if there are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import planted
import pytest
from conftest import Runner
from planted import study

from tvcli.errors import NotApplicableError
from tvcli.inputs.tasks import Task, find_task
from tvcli.kinds import Modality, Source
from tvcli.paper import questions
from tvcli.paper.study import Study


def imported(folder: Path, *names: str) -> Study:
    return study(folder, imported=tuple(map(find_task, names)))


def without_captions(task: Task) -> Task:
    validation, test = (tuple(replace(sample, input="") for sample in split) for split in (task.validation, task.test))
    return replace(task, validation=validation, test=test)


def test_without_imported_questions_the_tables_say_how_to_get_them(planted_folder: Path) -> None:
    for known in (study(planted_folder), imported(planted_folder, "zeta")):  # zeta is of OK-VQA
        with pytest.raises(
            NotApplicableError, match="make each with `tv tasks import vqav2` and name them with `task`"
        ):
            questions.table4(known)
    with pytest.raises(NotApplicableError, match="make them with `tv tasks import` and `override`, and name them"):
        questions.table5(imported(planted_folder, "epsilon"))


def test_a_model_without_eyes_has_neither_table(planted_folder: Path) -> None:
    known = imported(planted_folder, "epsilon", "zeta")
    known.engine.has_vision = False  # type: ignore[misc]
    for number, make in ((4, questions.table4), (5, questions.table5)):
        with pytest.raises(
            NotApplicableError, match=f"table {number} needs a model with an image encoder; fake has none"
        ):
            make(known)
    assert questions.figure7(known).note.startswith("tv's own data; ")


def test_without_captions_the_examples_are_images_only(planted_folder: Path) -> None:
    known = imported(planted_folder, "epsilon")
    both = questions.table4(known)
    assert [row[1] for row in both.rows] == ["captions", "captions", "images", "images"]
    known.imported = tuple(map(without_captions, known.imported))
    alone = questions.table4(known)
    assert [row[1] for row in alone.rows] == ["images", "images"]
    assert alone.note.endswith("; examples as captions need `captions` when the tasks are imported")
    assert [[transfer.source for transfer in setup.transfers] for setup, *_ in known.done] == [
        [Source.TEXT, Source.IMAGE],
        [Source.IMAGE],
    ]
    assert {transfer.query for setup, *_ in known.done for transfer in setup.transfers} == {Modality.IMAGE}


def test_figure_7_shows_the_images_of_its_queries(planted_folder: Path) -> None:
    made = questions.figure7(imported(planted_folder, "zeta"))
    assert len(made.rows) == len(made.images) == questions.EXAMPLES
    assert [row[1] for row in made.rows] == [path.name for path in made.images if path is not None]


def test_imported_tasks_do_not_replace_those_of_other_items(tv: Runner) -> None:
    with planted.planted():
        ran = tv("paper", "table2", "-T", "epsilon", "--seeds", 1, "--json")
        assert ran.code == 0
        assert "imported questions are for table4, table5, figure7; the others use alpha, beta" in ran.err
        assert '"alpha"' in ran.out
        assert '"epsilon"' not in ran.out
        assert tv("paper", "table4", "-T", "epsilon", "-T", "alpha", "--seeds", 1).code == 0
