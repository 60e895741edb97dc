"""The map: which tokens are read, both projections, and the silhouette."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import EXAMPLES, MADE_TASK, Listening, listed, parts

from tvcli.engine.fake import FakeEngine
from tvcli.errors import UsageError
from tvcli.inputs.tasks import Sample
from tvcli.kinds import Modality
from tvcli.method.projection import before_question, collect, project, silhouette
from tvcli.prompts.prompt import Example, Prompt, in_context, sample_in_context


def test_a_map_holds_each_prompts_delimiter_and_the_token_before_the_question() -> None:
    engine, seen, other = Listening(), [], replace(MADE_TASK, name="other")  # type: ignore[var-annotated]
    points, contexts = collect(
        engine, [MADE_TASK, other], [Modality.TEXT], 2, shots=3, limit=4, seed=5, progress=listed(seen)
    )
    prompts = sample_in_context(EXAMPLES[:4], shots=3, prompts=None, seed=5) * 2
    assert seen == prompts
    plain = FakeEngine()
    assert np.array_equal(points.rows, plain.read(prompts)[:, 2])
    assert np.array_equal(contexts.rows, plain.read([before_question(prompt) for prompt in prompts])[:, 2])
    assert points.tasks == contexts.tasks == ("made-capital",) * 4 + ("other",) * 4
    assert points.modalities == contexts.modalities == ("text",) * 8


def test_a_map_is_made_of_thirty_prompts_of_five_examples_of_each_modality(picture: Path) -> None:
    many = tuple(Sample(f"x{i}", ("y",), picture) for i in range(32))
    seen: list[Prompt] = []
    points, _ = collect(
        FakeEngine(), [replace(MADE_TASK, validation=many)], [Modality.IMAGE, Modality.TEXT], 0, progress=listed(seen)
    )
    expected = [
        sample_in_context([sample.example(kind) for sample in many[:30]], shots=5, prompts=None, seed=1)
        for kind in (Modality.IMAGE, Modality.TEXT)
    ]
    assert parts(seen) == parts([*expected[0], *expected[1]])
    assert points.modalities == ("image",) * 30 + ("text",) * 30


def test_a_map_needs_three_vectors() -> None:
    points, _ = collect(FakeEngine(), [MADE_TASK], [Modality.TEXT], 0, limit=3)
    assert points.rows.shape == (3, 16)
    with pytest.raises(UsageError) as caught:
        collect(FakeEngine(), [MADE_TASK], [Modality.TEXT], 0, limit=2)
    assert str(caught.value) == "a map needs at least 3 vectors, not 2"


def test_the_context_ends_after_the_last_input(picture: Path) -> None:
    sample = Sample("x", ("y",), picture).example(Modality.IMAGE)
    prompt = in_context([Example("a", "A: b"), sample])
    assert before_question(prompt).parts == (*prompt.parts[:-1], "\n")
    words = in_context([Example("a", "A: b"), Example("c", "C")])
    assert before_question(words).parts == ("Q:a\nA:A: b\n\nQ:c\n",)


def test_pca_gives_the_two_largest_directions_by_size() -> None:
    rows = np.array([[3, 1, 0], [-3, 1, 0], [0, 1, 2], [0, 1, -2]], np.float32) + 5
    points = project(rows, "pca")
    assert points.dtype == np.float64
    assert np.abs(points) == pytest.approx(np.array([[3, 0], [3, 0], [0, 2], [0, 2]]), abs=1e-6)
    assert points.sum(axis=0) == pytest.approx([0, 0], abs=1e-6)


def test_pca_of_many_points_makes_no_square_of_them() -> None:
    rows = np.random.default_rng(1).standard_normal((1000, 3)).astype(np.float32)
    tracemalloc.start()
    project(rows, "pca")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000  # bytes; a square would be 8 million


@pytest.mark.parametrize(("count", "perplexity"), [(4, 1), (90, 89 / 3), (91, 30), (120, 30)])
def test_tsne_looks_at_thirty_neighbors_or_a_third_of_what_there_is(
    monkeypatch: pytest.MonkeyPatch, count: int, perplexity: float
) -> None:
    import sklearn.manifold
    import threadpoolctl

    asked: list[Any] = []

    class Tsne:
        def __init__(self, **options: Any) -> None:
            asked.append(options)

        def fit_transform(self, rows: np.ndarray) -> list[list[float]]:
            asked.append(rows)
            return [[1, 2]] * len(rows)

    @contextmanager
    def threads(count: int) -> Iterator[None]:
        asked.append(count)
        yield

    monkeypatch.setattr(sklearn.manifold, "TSNE", Tsne)
    monkeypatch.setattr(threadpoolctl, "threadpool_limits", threads)
    rows = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    assert project(rows, "tsne").tolist() == [[1, 2]] * count
    limit, options, given = asked
    assert limit == 1
    assert options == {"perplexity": perplexity, "init": "pca", "random_state": 1}
    assert np.array_equal(given, rows - rows.mean(axis=0))
    project(rows, "tsne", 5)
    assert asked[4]["random_state"] == 5


def test_the_silhouette_is_rousseeuws() -> None:
    from sklearn.metrics import silhouette_score

    rng = np.random.default_rng(1)
    rows, labels = rng.standard_normal((9, 4)) + 3, ["a", "b", "a", "c", "b", "a", "c", "c", "a"]
    for chosen in (labels, ["z", *labels[1:]], ["a"] * 4 + ["b"] * 5):  # also with a label that one row has alone
        expected = silhouette_score(rows - rows.mean(0), chosen, metric="cosine")
        assert silhouette(rows, chosen) == pytest.approx(expected, abs=1e-9)
        assert silhouette(rows / 100, chosen) == pytest.approx(expected, abs=1e-9)


def test_the_silhouette_of_points_in_one_place_is_nothing() -> None:
    rows = np.array([[1, 0], [1, 0], [-1, 0], [-1, 0]], np.float32)
    assert silhouette(rows, ["a", "a", "b", "b"]) == pytest.approx(1)
    assert silhouette(rows * 0, ["a", "a", "b", "b"]) == 0
    assert silhouette(rows, ["a", "b", "c", "d"]) == 0
    assert silhouette(rows, ["a"] * 4) == 0


def test_a_planted_clustering_has_a_high_silhouette_and_chance_has_none() -> None:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((3, 16)) * 5
    labels = [str(i % 3) for i in range(60)]
    rows = np.array([centers[int(label)] for label in labels]) + rng.standard_normal((60, 16))
    assert silhouette(rows, labels) > 0.7
    assert abs(silhouette(rows, [str(i // 20) for i in range(60)])) < 0.1
    assert silhouette(rows, ["same"] * 60) == 0.0
    from sklearn.metrics import silhouette_score

    centered = rows - rows.mean(0)
    assert silhouette(rows, labels) == pytest.approx(silhouette_score(centered, labels, metric="cosine"), abs=1e-6)


def test_pca_keeps_the_largest_directions() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((50, 2)) * [30, 10]) @ np.linalg.qr(rng.standard_normal((16, 2)))[0].T
    points = project(rows.astype(np.float32), "pca")
    assert points.shape == (50, 2)
    assert np.allclose(np.linalg.norm(points, axis=1), np.linalg.norm(rows - rows.mean(0), axis=1), atol=1e-3)


def test_the_context_ends_before_the_answer_is_asked_for() -> None:
    prompt = in_context([Example("a", "A: b"), Example("c", "C")])
    assert before_question(prompt).parts == ("Q:a\nA:A: b\n\nQ:c\n",)
