"""Table 7: both costs above their ratio, and what its note says of the query and the machine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import planted
import pytest
from planted import study

from tvcli.kinds import Modality
from tvcli.paper import cost_table
from tvcli.paper.cost import Cost


def costs(monkeypatch: pytest.MonkeyPatch, megabytes: float = 500.0) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def measured(*given: Any) -> list[Cost]:
        asked.append(given)
        return [Cost("prompt", 300, 2.0004, 0.1, 4 * megabytes), Cost("patch", 10, 0.25, 0.1, megabytes)]

    monkeypatch.setattr(cost_table, "measure_cost", measured)
    return asked


def test_the_cost_of_both_ways_stands_above_their_ratio(planted_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, known = costs(monkeypatch), study(planted_folder)
    made = cost_table.table7(known)
    assert asked == [(known.engine, known.request, known.tasks[0], Modality.IMAGE, known.meter)]
    assert made.header == ("one query", "tokens", "seconds", "seeing", "MB")
    assert made.rows == (
        ("prompt", "300", "2.000", "0.100", "2000"),
        ("patch", "10", "0.250", "0.100", "500"),
        ("ratio", "30.0 ×", "8.0 ×", "", "4.0 ×"),
        ("paper: prompt, 30 long examples, Idefics2-8B on a GPU", "", "2.20", "", "20020"),
        ("paper: patch, Idefics2-8B on a GPU", "", "0.20", "", "8210"),
        ("paper: ratio", "", "11.0 ×", "", "2.4 ×"),
    )
    assert made.note == "an image query of alpha, 30 text examples in the prompt; layers in NumPy memory"


def test_of_an_image_encoder_outside_llama_cpp_the_table_says_that_it_is_not_measured(
    planted_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs(monkeypatch)
    identity = {"model": "planted", "image encoder": "id"}
    monkeypatch.setattr(planted.Planted, "identity", identity)
    made = cost_table.table7(study(planted_folder))
    assert made.note.endswith(
        "; the image is encoded once, outside llama.cpp, and kept on disk: the seconds are without that"
    )


def test_a_model_without_eyes_is_asked_in_words_and_the_table_says_so(
    planted_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, blind = costs(monkeypatch, math.nan), planted.Planted(planted_folder)
    blind.has_vision = False
    made = cost_table.table7(study(planted_folder, engine=blind))
    assert asked[0][3] == Modality.TEXT
    assert made.note.startswith("a text query of alpha, ")
    assert [row[4] for row in made.rows[:3]] == ["", "", ""]  # memory that is not known
