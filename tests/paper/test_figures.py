"""The paper's figures: what a picture is drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from planted import study

from tvcli import plots
from tvcli.engine.protocol import FIRST_TOKEN, Answer, Decoding, Patch
from tvcli.errors import NotApplicableError, UsageError
from tvcli.evaluation.prompts import few_shot_prompts
from tvcli.evaluation.setup import Variant
from tvcli.kinds import Modality, Split
from tvcli.method.projection import collect
from tvcli.paper import figures
from tvcli.prompts.prompt import Prompt, zero_shot


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What pictures would be drawn of."""
    calls: list[tuple[Any, ...]] = []
    for name in ("curves", "maps"):
        monkeypatch.setattr(plots, name, lambda *given, _name=name, **named: calls.append((_name, *given, named)))
    return calls


def test_the_map_draws_vectors_beside_contexts(
    planted_folder: Path, drawn: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def projected(rows: np.ndarray, method: str, seed: int) -> tuple[Any, ...]:
        return len(rows), rows.sum(), method, seed

    known = study(planted_folder, "alpha", "beta")
    known.seeds, layer = (2, 1), known.layer()
    known.tasks = tuple(replace(task, validation=task.validation * 2) for task in known.tasks)
    known.done = [(known.setup(), False, known.done[0][2])]
    monkeypatch.setattr(plots, "projection", lambda: "pca")
    monkeypatch.setattr(figures, "project", projected)
    draw = figures.figure2(known).draw
    assert draw is not None
    draw(tmp_path / "map.png")
    [(kind, path, panels, hues, markers, named)] = drawn
    both = collect(known.engine, known.tasks, [Modality.TEXT, Modality.IMAGE], layer, limit=10, seed=2)
    assert (kind, path, named) == ("maps", tmp_path / "map.png", {"title": f"pca, layer {layer}"})
    assert (hues, markers) == (both[0].tasks, both[0].modalities)
    names = ("task vectors", "context tokens")
    assert panels == {n: projected(p.rows, "pca", 2) for n, p in zip(names, both, strict=True)}
    assert len(hues) == 2 * 2 * 10


@pytest.mark.parametrize(
    ("make", "y", "digits"),
    [
        (figures.figure5, "cosine similarity", 2),
        (figures.layers, "validation accuracy", 2),
    ],
)
def test_a_picture_draws_the_numbers_of_its_table(
    planted_folder: Path, drawn: list[tuple[Any, ...]], tmp_path: Path, make: Any, y: str, digits: int
) -> None:
    made = make(study(planted_folder, llm="fake"))
    made.draw(tmp_path / "curves.png")
    [(kind, path, series, named)] = drawn
    assert (kind, path, named) == ("curves", tmp_path / "curves.png", {"x": "layer", "y": y})
    assert made.header[1:] == ("0", "1", "2", "3", "4", "5")
    assert made.rows == tuple((name, *(f"{v:.{digits}f}" for v in values)) for name, values in series.items())


def test_the_layers_are_those_of_table_2(planted_folder: Path) -> None:
    known = study(planted_folder)
    made = figures.layers(known)
    assert [setup for setup, *_ in known.done] == [known.setup()]
    assert made.header[0] == "vectors → queries"
    assert made.note == "patched at one layer at a time"
    [row] = made.rows
    accuracies = planted.evaluation(planted.EVALUATIONS[0])["printed"]["pairs"][1]["validation"]
    assert row == ("text → image", *(f"{value:.2f}" for value in accuracies))


def test_examples_have_the_pictures_of_their_queries(planted_folder: Path) -> None:
    made = figures.figure4(study(planted_folder))
    assert made.images == tuple(planted_folder / name / f"{i}.png" for name in ("alpha", "beta") for i in range(6, 10))
    assert [row[:2] for row in made.rows] == [(n, f"{n}{i}") for n in ("alpha", "beta") for i in range(6, 10)]


class Asked(planted.Planted):
    """Keeps what it was asked."""

    def __init__(self, tasks_folder: Path) -> None:
        super().__init__(tasks_folder)
        self.prompts: list[Prompt] = []
        self.tokens_asked_for: set[int] = set()

    def answer(
        self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,), decoding: Decoding = FIRST_TOKEN
    ) -> list[list[Answer]]:
        self.prompts += prompts
        self.tokens_asked_for.add(decoding.max_tokens)
        return super().answer(prompts, patches, decoding)


@pytest.mark.parametrize(("sees", "first"), [(True, 7), (False, 6)])
def test_the_examples_shown_are_words_and_the_queries_what_the_model_sees(
    planted_folder: Path, sees: bool, first: int
) -> None:
    samples = planted_folder / "alpha" / "examples.jsonl"
    text = samples.read_text()
    samples.write_text(text.replace(', "image": "0.png"', "").replace(', "image": "6.png"', ""))
    engine = Asked(planted_folder)
    engine.has_vision = sees
    known = study(planted_folder, "alpha", engine=engine)
    known.layer()
    engine.prompts.clear()
    engine.tokens_asked_for.clear()
    figures.figure4(known)
    [task] = known.tasks
    setup, modality = known.setup(), Modality.IMAGE if sees else Modality.TEXT
    make_prompt = few_shot_prompts(setup, task, setup.transfers[0], Variant(1))
    wanted = [
        [zero_shot(sample.load(modality)), make_prompt(number, sample), zero_shot(sample.load(modality))]
        for number, sample in enumerate(task.samples(Split.TEST, modality)[:4])
    ]
    assert task.samples(Split.TEST, modality)[0].input == f"alpha{first}"
    assert engine.tokens_asked_for == {6}
    assert list(map(str, engine.prompts)) == [str(prompt) for three in wanted for prompt in three]
    assert all(len(prompt.images) == sees for prompt in engine.prompts)  # the examples are words
    assert not any(f"alpha{i}\\n" in str(prompt) for prompt in engine.prompts for i in range(6))  # of the test split


def test_one_task_is_compared_with_no_other_and_a_lone_pair_is_not_centered(planted_folder: Path) -> None:
    rows = {name: values for name, *values in figures.figure5(study(planted_folder, "alpha")).rows}
    assert list(rows) == ["text and image vectors, same task", "text and image vectors, same task, centered"]
    assert len(set(map(tuple, rows.values()))) == 1


def test_too_few_pictures_for_a_vector_are_told_of_as_pictures(planted_folder: Path) -> None:
    samples = planted_folder / "beta" / "examples.jsonl"
    samples.write_text(samples.read_text().replace(', "image": "0.png"', "").replace(', "image": "1.png"', ""))
    with pytest.raises(UsageError) as caught:
        figures.figure5(study(planted_folder))
    assert str(caught.value) == "task beta has 4 validation samples with image, too few for 5 shots"


def test_a_blind_model_without_a_language_model_has_nothing_to_compare(planted_folder: Path) -> None:
    blind = planted.Planted(planted_folder)
    blind.has_vision = False
    with pytest.raises(NotApplicableError, match="figure 5 needs a model with an image encoder, or its language model"):
        figures.figure5(study(planted_folder, engine=blind))
