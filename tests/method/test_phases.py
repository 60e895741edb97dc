"""The phases of the delimiter: which prompts are read, which tokens count, and what comes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from listening import EXAMPLES, MADE_TASK, SAMPLES, Listening, listed, parts

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Patch, Token
from tvcli.errors import UsageError
from tvcli.inputs.tasks import Sample, Task, find_task, task_folders
from tvcli.kinds import Modality, Source, View
from tvcli.method.lens import decode
from tvcli.method.phases import (
    ANSWER,
    FUNCTION_WORDS,
    INPUT,
    TASK,
    first_tokens,
    instruction_runs,
    phases,
    task_words,
    tokens_of,
    word_tokens,
)
from tvcli.prompts.prompt import Prompt, instruction, sample_in_context


class Spells(FakeEngine):
    """Has the tokens in `known`; any other text is its characters. With `prefix`, a space has a token of its own."""

    known = ("auf", " auf", " capital", "new", " new", "New", " New", "old", " old", "Old", " Old")

    def __init__(self, prefix: bool = False) -> None:
        super().__init__()
        self.prefix = prefix

    def tokens(self, text: str) -> list[Token]:
        if self.prefix and text.startswith(" "):
            return [Token(999, " "), *self.tokens(text[1:])]
        if text in self.known:
            return [Token(self.known.index(text), text)]
        return [Token(100 + ord(letter), letter) for letter in text]


# -- the paper's view -----------------------------------------------------------------------------------------


def test_the_paper_looks_for_one_fixed_token_one_word_of_the_task_and_the_label() -> None:
    engine, task = Spells(), replace(MADE_TASK, words=("capital", "new"))
    found = tokens_of(engine, task, Sample("old", ("new york", "old")), View.PAPER)
    assert found == {INPUT: [0, 1], TASK: [2], ANSWER: [100 + ord("n")]}
    assert tokens_of(engine, task, None, View.PAPER) == {INPUT: [0, 1], TASK: [2]}


def test_the_six_words_are_the_papers() -> None:
    words = [task_words(find_task(str(folder)))[0] for folder in task_folders("paper")]
    assert words == ["capital", "currency", "species", "baby", "color", "flavor"]


def test_a_whole_word_counts_and_else_what_it_begins_with() -> None:
    assert word_tokens(Spells(), "auf") == [0, 1]
    assert word_tokens(Spells(), "capital") == [2]  # without a space it is several tokens
    assert word_tokens(Spells(), "xyz") == [100 + ord("x")]


def test_a_space_of_its_own_is_no_beginning_of_a_word() -> None:
    assert word_tokens(Spells(prefix=True), "auf") == [0]
    assert first_tokens(Spells(prefix=True), ["xyz", " xyz"]) == [100 + ord("x")]
    assert first_tokens(Spells(prefix=True), [" ", ""]) == []


def test_every_set_of_examples_is_a_run_of_its_own(picture: Path) -> None:
    samples = tuple(replace(sample, image=picture) for sample in SAMPLES)
    task = replace(MADE_TASK, validation=samples)
    for source in (Source.TEXT, Source.IMAGE):
        engine, seen = Listening(), []  # type: ignore[var-annotated]
        found = phases(engine, task, source, sets=11, seed=4, progress=listed(seen))
        examples = [sample.example(Modality(source.value)) for sample in samples]
        prompts = sample_in_context(examples, shots=5, prompts=11, seed=4)
        assert parts(engine.seen) == parts(prompts)
        assert [run.prompt for run in seen] == engine.seen
        for number, (prompt, run) in enumerate(zip(engine.seen, seen, strict=True)):
            probabilities = decode(engine, FakeEngine().read([prompt])[0])
            for phase, tokens in tokens_of(engine, task, run.sample, View.PAPER).items():
                assert found[phase][number] == pytest.approx(probabilities[:, tokens].sum(axis=1)), phase
        assert {phase: rows.shape for phase, rows in found.items()} == dict.fromkeys((INPUT, TASK, ANSWER), (11, 6))


def test_the_answer_of_a_run_is_the_label_of_its_last_example() -> None:
    seen = []  # type: ignore[var-annotated]
    phases(Listening(), MADE_TASK, Source.TEXT, sets=20, progress=listed(seen))
    asked = [re.findall(r"Q:(\w+)\nA:$", str(run.prompt.parts[0]))[0] for run in seen]
    assert asked == [run.sample.input for run in seen]
    assert len(set(asked)) == len(SAMPLES)


def test_an_instruction_is_read_in_all_its_wordings_and_asks_for_no_answer() -> None:
    task = replace(MADE_TASK, wordings={"typo": ("Sya:", "Say:"), "question": ("What?",)})
    engine = Listening()
    found = phases(engine, task, Source.INSTRUCTION, sets=50)
    assert engine.seen == [instruction(text) for text in ("Say:", "Sya:", "What?")]
    assert {phase: rows.shape for phase, rows in found.items()} == {INPUT: (3, 6), TASK: (3, 6)}
    assert [run.sample for run in instruction_runs(task)] == [None] * 3


def test_no_more_examples_than_there_are() -> None:
    few = Listening()
    phases(few, replace(MADE_TASK, validation=SAMPLES[:2]), Source.TEXT, sets=3)
    assert few.seen == sample_in_context(EXAMPLES[:2], shots=2, prompts=3, seed=1)
    with pytest.raises(UsageError, match=r"^task made-capital has no validation samples with image$"):
        phases(few, MADE_TASK, Source.IMAGE)


# -- tv's own view --------------------------------------------------------------------------------------------


def test_the_words_view_looks_for_the_examples_word_and_all_words_in_every_spelling() -> None:
    task = replace(MADE_TASK, words=("old", "auf"))
    found = tokens_of(Spells(), task, Sample("new", ("old", "auf")), View.WORDS)
    assert found == {INPUT: [3, 4, 5, 6], TASK: sorted([7, 8, 9, 10, 0, 1, 100 + ord("A")]), ANSWER: [7, 8, 9, 10]}
    assert list(tokens_of(Spells(), task, None, View.WORDS)) == [TASK]
    picture = Sample("", ("old",), Path("x.png"), where="t, line 3")
    with pytest.raises(UsageError, match=r"^t, line 3: the sample has no text input to look for$"):
        tokens_of(Spells(), task, picture, View.WORDS)


def test_a_sample_without_labels_has_no_answer() -> None:
    assert list(tokens_of(Spells(), MADE_TASK, Sample("new", ()), View.WORDS)) == [INPUT, TASK]
    assert list(tokens_of(Spells(), MADE_TASK, Sample("new", ()), View.PAPER)) == [INPUT, TASK]


def test_the_words_of_a_task_are_long_lower_case_each_once_and_no_function_words() -> None:
    said = " ".join(["The tiny Capital, in ABC of x-ray2:", *FUNCTION_WORDS])
    assert task_words(replace(MADE_TASK, instruction=said)) == ["capital", "tiny"]
    assert task_words(replace(MADE_TASK, name="a-b-capital", instruction="city")) == ["capital", "city"]
    assert task_words(replace(MADE_TASK, name="color", instruction="i")) == ["color"]
    assert {"what", "which", "name", "word"} <= FUNCTION_WORDS


def test_the_words_that_a_task_gives_stand_for_those_of_its_name_and_instruction() -> None:
    given = replace(MADE_TASK, name="a-b-capital", instruction="The city:", words=("town", "capital", "about"))
    assert task_words(given) == ["town", "capital", "about"]
    assert task_words(replace(given, words=())) == ["capital"]


def test_the_phases_are_of_what_they_are_called() -> None:
    """Layer 0 decodes to the input, layer 1 to a word of the task, layer 2 to the answer; the rest to nothing."""
    words = {"auf": 1, "capital": 2, "Athens": 3}

    class Phased(FakeEngine):
        def __init__(self) -> None:
            super().__init__(n_layer=4, n_embd=4)

        def tokens(self, text: str) -> list[Token]:
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
    curves = phases(Phased(), task, Source.TEXT, sets=2)
    assert {name: rows.round(6).tolist() for name, rows in curves.items()} == {
        INPUT: [[1, 0, 0, 0]] * 2,
        TASK: [[0, 1, 0, 0]] * 2,
        ANSWER: [[0, 0, 1, 0]] * 2,
    }
