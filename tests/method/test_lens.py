"""The lens: decoded residuals, the words of a task, and the three phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from listening import EXAMPLES, MADE_TASK, SAMPLES, Listening, listed, parts

from tvcli.engine.fake import WORDS, FakeEngine
from tvcli.engine.protocol import Patch, Token
from tvcli.inputs.tasks import Sample, Task, find_task
from tvcli.kinds import Modality
from tvcli.method.lens import (
    ANSWER,
    FUNCTION_WORDS,
    INPUT,
    TASK,
    Decoded,
    decode,
    first_tokens,
    phases,
    task_words,
    top_tokens,
)
from tvcli.prompts.prompt import Prompt, sample_in_context


def test_a_residual_decodes_to_the_softmax_of_the_heads_logits() -> None:
    class Head(FakeEngine):
        def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
            assert [prompt.parts for prompt in prompts] == [("Q:x\nA:",)]
            assert [patch and patch.layer for patch in patches] == [5] * len(patches)
            return np.array([[patch.row[:3] for patch in patches if patch]], np.float32)

    rows = np.log(np.array([[1, 1, 2], [1, 3, 4]], np.float32))
    found = decode(Head(), rows)
    assert found.dtype == np.float64
    assert found == pytest.approx(np.array([[0.25, 0.25, 0.5], [0.125, 0.375, 0.5]]))
    extreme = np.array([[1000, 1000, 0], [0, 0, -1000]], np.float32)
    assert decode(Head(), extreme).tolist() == [[0.5, 0.5, 0]] * 2
    best = top_tokens(Head(), rows, 2)
    assert [[token.text for token in tokens] for tokens in best] == [[" Lima", "\n"], [" Lima", " Paris"]]
    assert best[1] == [Decoded(" Lima", pytest.approx(0.5)), Decoded(" Paris", pytest.approx(0.375))]  # type: ignore[arg-type]


def test_tokens_of_one_probability_stand_in_the_vocabularys_order() -> None:
    class Undecided(FakeEngine):
        def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
            return np.array([[np.arange(100) % 2] * len(patches)], np.float32)

        def token_text(self, token: int) -> str:
            return str(token)

    [tokens] = top_tokens(Undecided(), np.zeros((1, 16), np.float32), 100)
    assert [token.text for token in tokens] == [*map(str, range(1, 100, 2)), *map(str, range(0, 100, 2))]


def test_the_phases_are_means_over_the_validation_samples_of_the_sum_over_first_tokens(picture: Path) -> None:
    samples = tuple(replace(sample, image=picture) for sample in SAMPLES)
    task = replace(MADE_TASK, validation=samples)
    for modality in Modality:
        engine, seen = Listening(), []  # type: ignore[var-annotated]
        curves = phases(engine, task, modality, progress=listed(seen))
        examples = [sample.example(modality) for sample in samples]
        assert parts(engine.seen) == parts(sample_in_context(examples, shots=5, prompts=None, seed=1))
        prompts = [prompt for _, prompt in seen]
        assert prompts == engine.seen
        assert [example for example, _ in seen] == EXAMPLES  # named in words
        words = {
            "input": [[sample.input] for sample in samples],
            "task": [["capital"]] * 8,
            "answer": [[sample.outputs[0]] for sample in samples],
        }
        assert list(curves) == list(words)
        for name, each in words.items():
            sums = [
                decode(engine, FakeEngine().read([prompt])[0])[:, first_tokens(engine, some)].sum(axis=1)
                for prompt, some in zip(prompts, each, strict=True)
            ]
            assert curves[name] == pytest.approx(np.mean(sums, axis=0)), name


def test_the_phases_take_their_shots_and_seed_and_no_more_examples_than_there_are() -> None:
    engine = Listening()
    phases(engine, MADE_TASK, Modality.TEXT, shots=3, seed=4)
    assert engine.seen == sample_in_context(EXAMPLES, shots=3, prompts=None, seed=4)
    few = Listening()
    phases(few, replace(MADE_TASK, validation=SAMPLES[:2]), Modality.TEXT)
    assert few.seen == sample_in_context(EXAMPLES[:2], shots=2, prompts=None, seed=1)


def test_the_words_of_a_task_are_long_lower_case_each_once_and_no_function_words() -> None:
    said = " ".join(["The tiny Capital, in ABC of x-ray2:", *FUNCTION_WORDS])
    assert task_words(replace(MADE_TASK, instruction=said)) == ["capital", "tiny"]
    assert task_words(replace(MADE_TASK, name="a-b-capital", instruction="city")) == ["capital", "city"]
    assert task_words(replace(MADE_TASK, name="color", instruction="i")) == ["color"]
    assert {"what", "which", "name", "word"} <= FUNCTION_WORDS


def test_the_words_that_a_task_gives_stand_for_those_of_its_instruction() -> None:
    given = replace(MADE_TASK, name="a-b-capital", instruction="The city:", words=("town", "capital", "about"))
    assert task_words(given) == ["capital", "town", "about"]
    assert task_words(replace(given, words=())) == ["capital"]


def test_a_first_token_is_that_of_each_spelling_once_and_in_order() -> None:
    class Spells(FakeEngine):
        known = ("new", " new", "New", " New", "york", " york", "York", " York")

        def tokens(self, text: str) -> list[Token]:
            return [Token(9 - self.known.index(text), text), Token(0, "")]

    assert first_tokens(Spells(), ["new"]) == [6, 7, 8, 9]
    assert first_tokens(Spells(), ["new", "york", "new"]) == [2, 3, 4, 5, 6, 7, 8, 9]


def test_the_lens_reads_what_the_head_would_say(engine: FakeEngine) -> None:
    rows = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    probabilities = decode(engine, rows)
    assert np.allclose(probabilities.sum(1), 1)
    expected = np.exp(rows @ engine._unembedding)
    assert np.allclose(probabilities, expected / expected.sum(1, keepdims=True), atol=1e-5)
    best = [tokens[0].text for tokens in top_tokens(engine, rows, 3)]
    assert best == [WORDS[i] for i in probabilities.argmax(1)]


def test_the_words_of_a_task_are_its_name_and_what_it_asks() -> None:
    assert task_words(find_task("country-capital")) == ["capital", "city"]
    assert "baby" in task_words(find_task("animal-young"))
    assert task_words(find_task("country-currency")) == ["currency"]
    assert task_words(find_task("food-flavor")) == ["flavor", "descriptor"]


def test_first_tokens_cover_case_and_space(engine: FakeEngine) -> None:
    tokens = first_tokens(engine, ["paris"])
    assert {engine.tokens(text)[0].id for text in ("paris", " paris", "Paris", " Paris")} == set(tokens)


def test_the_phases_are_of_what_they_are_called() -> None:
    """Layer 0 decodes to the input, layer 1 to a word of the task, layer 2 to the answer; the rest to nothing."""
    words = {"Greece": 1, "capital": 2, "Athens": 3}

    class Phased(FakeEngine):
        def __init__(self) -> None:
            super().__init__(n_layer=4, n_embd=4)

        def tokens(self, text: str):  # type: ignore[no-untyped-def]
            from tvcli.engine.protocol import Token

            return [Token(words.get(text, 0), text)]

        def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
            return np.tile(np.arange(4, dtype=np.float32)[:, None], (len(prompts), 1, 4))

        def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
            found = np.zeros((1, len(patches), 5), np.float32)
            for k, patch in enumerate(patches):
                assert patch is not None
                assert patch.layer == 3  # the last: the model's own norm and head read it
                found[0, k, int(patch.row[0]) + 1] = 50
            return found

    samples = tuple(Sample("Greece", ("Athens",)) for _ in range(3))
    task = Task("country-capital", Path(), "d", "The capital:", validation=samples, test=samples)
    curves = phases(Phased(), task, Modality.TEXT)
    assert {name: curve.round(6).tolist() for name, curve in curves.items()} == {
        INPUT: [1, 0, 0, 0],
        TASK: [0, 1, 0, 0],
        ANSWER: [0, 0, 1, 0],
    }
