"""Table 3: vectors of the language model, at which layer, and how much they are like the VLM's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import pytest
from planted import study

import tvcli.models.opening
from tvcli.errors import NotApplicableError
from tvcli.evaluation.cells import accuracy
from tvcli.evaluation.setup import Variant
from tvcli.evaluation.vectors import read_vector
from tvcli.kinds import Method, Source
from tvcli.paper import from_llm


def test_a_language_model_is_needed(planted_folder: Path) -> None:
    with pytest.raises(NotApplicableError, match=r"^table 3 needs the model's own language model; name it with `llm`$"):
        from_llm.table3(study(planted_folder))


def test_vectors_are_patched_at_the_vlms_layer_and_at_their_own(
    planted_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The VLM's own vectors work best at layer 3; those of the LLM are made to work best at layer 2."""

    class Other(planted.Planted):
        def read(self, *given: object, **more: object) -> np.ndarray:
            rows = super().read(*given, **more)  # type: ignore[arg-type]
            rows[:, 3, 0] = 99  # read in no layer: never right
            return rows

    known = study(planted_folder, llm="fake")
    with monkeypatch.context() as patched:
        patched.setattr(tvcli.models.opening, "FakeEngine", lambda: Other(planted_folder, llm=True))
        made = from_llm.table3(known)
    assert known.layer() == 3
    assert "patched at the VLM's layer, 3, and at their own, 2;" in made.note
    fixed, free = (
        known.evaluate("x", replace(known.setup(), methods=(Method.PATCH,), layer=layer), of_llm=True)[0]
        for layer in (3, None)
    )
    rows = {row[0]: dict(zip(made.header, row, strict=True)) for row in made.rows}
    for name in ("alpha", "beta", "average"):
        assert rows[name]["from the LLM"] == accuracy(fixed.rows[name].scores[Method.PATCH])
        assert rows[name]["from the LLM, own layer"] == accuracy(free.rows[name].scores[Method.PATCH])
    assert fixed.average.scores[Method.PATCH].mean == 0 < free.average.scores[Method.PATCH].mean


def test_the_cosine_is_of_the_two_models_vectors_at_the_vlms_layer(
    planted_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = planted.Planted(planted_folder, llm=True)
    known = study(planted_folder, llm="fake")
    with monkeypatch.context() as patched:
        patched.setattr(tvcli.models.opening, "FakeEngine", lambda: other)
        made = from_llm.table3(known)
    again, wanted = planted.Planted(planted_folder, llm=True), {}
    for task in known.tasks:
        values = []
        for seed in known.seeds:
            one, two = (
                read_vector(engine, known.setup(), task, Source.TEXT, Variant(seed)).rows[3].astype(float)
                for engine in (known.engine, again)
            )
            values.append(one @ two / np.linalg.norm(one) / np.linalg.norm(two))
        wanted[task.name] = np.mean(values)
    wanted["average"] = np.mean(list(wanted.values()))
    cosines = {row[0]: row[-1] for row in made.rows if not row[0].startswith("paper")}
    assert cosines == {name: f"{value:.2f}" for name, value in wanted.items()}
    assert made.note.endswith("cosine at layer 3, in the paper 0.89 to 0.95")
