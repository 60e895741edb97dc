"""No query stands behind its own answer: not in a prompt, and not in what a vector is read from."""

import json
import logging
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Runner
from hypothesis import given
from hypothesis import strategies as st
from listening import Listening
from PIL import Image as Pillow

from tvcli.engine.fake import FakeEngine
from tvcli.errors import UsageError
from tvcli.evaluation.prompts import few_shot_prompts
from tvcli.evaluation.run import run
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.vectors import read_vector
from tvcli.images import Image, load_image
from tvcli.inputs.examples import read_examples
from tvcli.inputs.tasks import Sample, Task, load_task
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.method.extract import from_examples
from tvcli.method.layers import layer_accuracy
from tvcli.method.phases import phases
from tvcli.method.projection import collect
from tvcli.paper import figures
from tvcli.paper.study import Study
from tvcli.prompts.prompt import Example, Prompt, few_shot, identities, most_shots, sample_in_context

FORMS = (
    lambda word: word,
    str.upper,
    lambda word: f" {word}  ",
    lambda word: unicodedata.normalize("NFD", word),
    lambda word: word.replace(" ", "\u00a0 "),
)
WORDS = ("Perú", "Côte d'Ivoire", "Straße", "東京", "São Tomé", "Curaçao", "Åland")
word_of = st.tuples(st.sampled_from(range(len(WORDS))), st.sampled_from(FORMS))


def turns_of(prompt: Prompt) -> list[tuple[object, str]]:
    """What was asked and answered, the last answer open; a picture by its pixels."""
    text = "".join(part if isinstance(part, str) else f"<{part.digest.hex()}>" for part in prompt.parts)
    return [(x, y) for x, y in re.findall(r"Q:(.*?)\nA:(.*?)(?:\n\n|$)", text, re.DOTALL)]


def leaks(prompt: Prompt) -> bool:
    """Answers are planted: one of word number n is ``answer n``, or ``answer n something``."""
    *shown, (asked, _) = turns_of(prompt)
    numbers = [n for n, word in enumerate(WORDS) if identities(word) == identities(str(asked))]
    return any(answer.split()[1] == str(n) for _, answer in shown for n in numbers)


def planted(words: Sequence[tuple[int, Callable[[str], str]]]) -> list[Example]:
    return [Example(form(WORDS[n]), f"answer {n} {i}") for i, (n, form) in enumerate(words)]


@given(st.lists(word_of, min_size=1, max_size=12), word_of, st.integers(1, 8), st.integers(0, 99))
def test_no_few_shot_prompt_holds_the_querys_answer(
    words: list[tuple[int, Callable[[str], str]]], asked: tuple[int, Callable[[str], str]], shots: int, seed: int
) -> None:
    examples, x = planted(words), asked[1](WORDS[asked[0]])
    prompt = few_shot(x, examples, shots=shots, seed=seed)
    assert not leaks(prompt)
    assert len(turns_of(prompt)) == 1 + min(shots, sum(n != asked[0] for n, _ in words))


@given(
    st.lists(word_of, min_size=1, max_size=12), st.integers(2, 8), st.none() | st.integers(1, 20), st.integers(0, 99)
)
def test_no_prompt_of_a_vector_holds_the_last_examples_answer(
    words: list[tuple[int, Callable[[str], str]]], shots: int, prompts: int | None, seed: int
) -> None:
    examples = planted(words)
    made = sample_in_context(examples, shots=shots, prompts=prompts, seed=seed)
    assert len(made) == (len(examples) if prompts is None else prompts)
    assert not any(map(leaks, made))
    least = min(len(words) - sum(m == n for m, _ in words) for n, _ in words)
    assert most_shots(examples) == 1 + least
    assert all(len(turns_of(prompt)) >= min(shots, 1 + least) for prompt in made)


def test_without_repeats_the_choice_is_what_it_was() -> None:
    examples = [Example(f"x{i}", f"y{i}") for i in range(9)]
    import random

    rng = random.Random(7)
    wanted = [[*rng.sample([i for i in range(9) if i != last], 4), last] for last in range(9)]
    made = sample_in_context(examples, shots=5, prompts=None, seed=7)
    assert [[int(str(x)[1:]) for x, _ in turns_of(prompt)] for prompt in made] == wanted


# -- pictures ---------------------------------------------------------------------------------------------


@pytest.fixture
def flags(tmp_path: Path) -> list[Path]:
    """Four pictures, and the first once more in another file and format."""
    paths = [tmp_path / f"{n}.png" for n in range(4)]
    for n, path in enumerate(paths):
        Pillow.new("RGB", (4, 3), (40 * n, 9, 9)).save(path)
    again = tmp_path / "again.bmp"
    Pillow.open(paths[0]).save(again)
    return [*paths, again]


def test_a_picture_is_known_by_its_pixels(flags: list[Path]) -> None:
    examples = [Example(load_image(path), f"answer {n}") for n, path in enumerate(flags)]
    assert load_image(flags[0]) != load_image(flags[0])  # as objects
    prompt = few_shot(load_image(flags[0]), examples, shots=9, seed=1)
    assert [answer for _, answer in turns_of(prompt)][:-1] != []
    assert sorted(answer for _, answer in turns_of(prompt)) == ["", "answer 1", "answer 2", "answer 3"]
    for made in sample_in_context(examples, shots=9, prompts=None, seed=1):
        *shown, (asked, _) = turns_of(made)
        assert asked not in [x for x, _ in shown]


def test_two_pictures_of_one_word_do_not_stand_before_each_other(tmp_path: Path, flags: list[Path]) -> None:
    words = ["Japan", "Perú", "Chile", "japan "]
    lines = [json.dumps({"input": w, "image": p.name, "output": w}) for w, p in zip(words, flags, strict=False)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    examples = read_examples(str(tmp_path / "p.jsonl"), Modality.IMAGE)
    assert [example.word for example in examples] == ["Japan", "Perú", "Chile", "japan"]
    for made in sample_in_context(examples, shots=9, prompts=None, seed=1):
        assert len(turns_of(made)) == 4 - (made.images[-1] in (examples[0].input, examples[3].input))
    shown = few_shot("JAPAN", examples, shots=9, seed=1)
    assert sorted(y for _, y in turns_of(shown)) == ["", "Chile", "Perú"]


# -- everywhere that examples are chosen ------------------------------------------------------------------


def repeating(pictures: Sequence[Path] = ()) -> Task:
    """Every word twice in each split, in two forms, and the same words in both; each with its own answer."""

    def some(split: str) -> tuple[Sample, ...]:
        return tuple(
            Sample(form(word).strip(), (f"answer {n} {split} {kind}",), pictures[n] if pictures else None)
            for kind, form in enumerate(FORMS[:2])
            for n, word in enumerate(WORDS[: len(pictures) or None])
        )

    return Task("repeating-words", Path("nowhere"), "d", "Say:", validation=some("v"), test=some("t"))


@pytest.mark.parametrize(
    "read",
    [
        lambda engine, task: from_examples(engine, [s.example(Modality.TEXT) for s in task.validation], shots=9),
        lambda engine, task: read_vector(engine, Setup((task,)), task, Source.TEXT, Variant(1)),
        lambda engine, task: phases(engine, task, Source.TEXT, sets=2 * len(WORDS), shots=9),
    ],
    ids=["extract", "evaluation", "lens"],
)
def test_no_residual_is_read_behind_its_own_answer(read: Callable[[Any, Task], object]) -> None:
    engine = Listening()
    read(engine, repeating())
    assert len([prompt for prompt in engine.seen if len(turns_of(prompt)) > 1]) == 2 * len(WORDS)
    assert not any(map(leaks, engine.seen))


def test_no_point_of_a_map_is_read_behind_its_own_answer() -> None:
    engine = Listening()
    collect(engine, [repeating()], [Modality.TEXT], 1, shots=9)
    delimiters = engine.seen[::2]
    assert len(delimiters) == 2 * len(WORDS)
    assert not any(map(leaks, delimiters))


@pytest.mark.parametrize("limit", [None, 3, 9])
@pytest.mark.parametrize("source", [Source.TEXT, Source.ENSEMBLE])
def test_no_prompt_of_an_evaluation_holds_the_querys_answer(limit: int | None, source: Source) -> None:
    task = repeating()
    setup = Setup((task,), limit=limit)
    for seed in range(20):
        wording = "Say:" if source == Source.ENSEMBLE else None
        ask = few_shot_prompts(setup, task, Transfer(source, Modality.TEXT), Variant(seed, wording))
        for number, sample in enumerate(setup.samples(task, Split.TEST, Modality.TEXT)):
            prompt = ask(number, sample)
            assert not leaks(prompt)
            assert len(turns_of(prompt)) == 6


def test_across_modalities_a_sample_is_known_by_its_text_and_its_picture(flags: list[Path]) -> None:
    words = [Sample("Japan", ("a",), flags[0]), Sample("Nippon", ("b",), flags[4]), Sample("Perú", ("c",), flags[1])]
    task = Task("t", Path(), "d", "i:", test=(*words, Sample("PERÚ", ("d",), flags[2]), Sample("x", ("e",), flags[3])))

    def shown(source: Source, query: Modality, number: int) -> list[str]:
        ask = few_shot_prompts(Setup((task,), shots=4), task, Transfer(source, query), Variant(1))
        return sorted(y for _, y in turns_of(ask(number, task.test[number])) if y)

    for source in (Source.TEXT, Source.IMAGE):
        assert shown(source, Modality.IMAGE, 0) == ["c", "d", "e"]
        assert shown(source, Modality.IMAGE, 2) == ["a", "b", "e"]
    assert shown(Source.IMAGE, Modality.TEXT, 1) == ["c", "d", "e"]
    assert shown(Source.TEXT, Modality.TEXT, 0) == ["b", "c", "d", "e"]  # no picture is seen


@pytest.mark.parametrize("modality", Modality)
def test_no_prompt_of_figure_4_holds_the_querys_answer(
    monkeypatch: pytest.MonkeyPatch, flags: list[Path], modality: Modality
) -> None:
    seen: list[Prompt] = []

    def kept(*given: Any) -> Callable[[int, Sample], Prompt]:
        make_prompt = few_shot_prompts(*given)

        def keep(number: int, sample: Sample) -> Prompt:
            seen.append(make_prompt(number, sample))
            return seen[-1]

        return keep

    monkeypatch.setattr(figures, "few_shot_prompts", kept)
    engine = FakeEngine()
    monkeypatch.setattr(Study, "query_modality", modality)
    request: Any = None
    figures.figure4(Study(engine=engine, request=request, tasks=(repeating(flags[:4]),), seeds=(1,)))
    assert len(seen) == figures.EXAMPLES
    for number, prompt in enumerate(seen):
        assert len(turns_of(prompt)) > 1
        assert not any(answer.startswith(f"answer {number} ") for _, answer in turns_of(prompt))


def test_layers_are_tried_on_each_input_once() -> None:
    asked: list[Example] = []

    def keep(examples: Sequence[Example]) -> Sequence[Example]:
        asked.extend(examples)
        return examples

    engine = FakeEngine()
    vector = from_examples(engine, [Example(word, "x") for word in WORDS])
    accuracy = layer_accuracy(engine, vector, planted([(0, FORMS[0]), (1, FORMS[0]), (0, FORMS[1])]), keep)
    assert [example.input for example in asked] == [WORDS[0], WORDS[1]]
    assert accuracy.shape == (vector.n_layer,)
    twice = layer_accuracy(engine, vector, planted([(0, FORMS[0]), (1, FORMS[0])]) * 2)
    assert np.array_equal(twice, layer_accuracy(engine, vector, planted([(0, FORMS[0]), (1, FORMS[0])])))


# -- what is left when repeats are left out ---------------------------------------------------------------


def test_all_prompts_of_a_vector_have_as_many_examples() -> None:
    engine = Listening()
    vector = from_examples(engine, planted([(0, FORMS[0]), (0, FORMS[1]), (1, FORMS[0]), (2, FORMS[0])]), shots=4)
    assert vector.provenance.shots == 3
    assert [len(turns_of(prompt)) for prompt in engine.seen] == [3] * 4


def test_one_input_alone_makes_no_vector() -> None:
    with pytest.raises(UsageError) as caught:
        from_examples(FakeEngine(), planted([(0, form) for form in FORMS]))
    sentence = "the 5 examples have the same input, so that none can be shown before it; a task vector needs"
    assert str(caught.value) == f"{sentence} at least 2 different inputs"


def test_too_few_samples_that_differ_make_no_vector() -> None:
    task = replace(repeating(), validation=repeating().validation[:4] * 2)
    with pytest.raises(UsageError) as caught:
        read_vector(FakeEngine(), Setup((task,), shots=8), task, Source.TEXT, Variant(1))
    assert str(caught.value) == (
        "of the validation samples of task repeating-words with text some repeat others, which leaves 7,"
        " too few for 8 shots"
    )


# -- what is said -----------------------------------------------------------------------------------------


def test_repeats_of_a_pairs_file_are_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "p.txt"
    path.write_text("Japan\tTokyo\nPerú\tLima\n\nJAPAN\tKyoto\nperú\tLima\n", "utf-8")
    read_examples(str(path))
    told = "2 of 4 examples repeat the input of an earlier one (the first: line 4)"
    assert caplog.messages == [f"{path}: {told}; no prompt contains the answer to its query"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    caplog.clear()
    path.write_text("Japan\tTokyo\nPerú\tLima\nJapan\tTokyo\n", "utf-8")
    read_examples(str(path))
    assert caplog.messages[0].startswith(f"{path}: 1 of 3 examples repeats the input")


def test_repeats_of_a_task_are_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [
        {"input": word, "output": f"answer {n}", "split": split}
        for split in ("validation", "test")
        for n, word in enumerate(WORDS)
    ]
    (tmp_path / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    (tmp_path / "examples.jsonl").write_text("\n".join(map(json.dumps, [*lines, lines[0]])))
    setup = Setup((load_task(tmp_path),), transfers=(Transfer(Source.TEXT, Modality.TEXT),), seeds=(1,), layer=1)
    for _ in range(2):
        run(FakeEngine(), setup)
    assert caplog.messages == [
        f"task {tmp_path.name}: 8 of 15 samples repeat the text of an earlier one, and 7 test samples are also in the"
        " validation split, from which vectors are read; `tv tasks check` lists them"
    ]


def test_a_task_without_repeats_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    task = replace(repeating(), validation=(), test=repeating().test[: len(WORDS)])
    setup = Setup((task,), transfers=(Transfer(Source.TEXT, Modality.TEXT),), seeds=(1,), methods=(Method.PROMPT,))
    run(FakeEngine(), setup)
    assert caplog.messages == []


# -- shots ------------------------------------------------------------------------------------------------


def numbered(count: int, name: str = "limited") -> Task:
    samples = tuple(Sample(f"x{n}", (f"y{n}",)) for n in range(2 * count))
    return Task(name, Path("nowhere"), "d", "i:", validation=samples[:count], test=samples[count:])


@pytest.mark.parametrize("limit", [1, 3, 5, 6, 9])
def test_a_limit_cuts_what_is_asked_and_no_shots(limit: int) -> None:
    task, engine = numbered(12), Listening()
    setup = Setup((task,), transfers=(Transfer(Source.TEXT, Modality.TEXT),), seeds=(1,), limit=limit)
    [result] = run(engine, setup).transfers
    assert result.average.n == limit
    assert all(len(turns_of(prompt)) == 5 for prompt in engine.seen)
    assert len(engine.seen) == max(limit, 5)
    ask = few_shot_prompts(setup, task, setup.transfers[0], Variant(1))
    for number, sample in enumerate(task.test[:limit]):
        assert len(turns_of(ask(number, sample))) == 6


def test_the_limit_of_a_map_cuts_points_and_no_shots(caplog: pytest.LogCaptureFixture) -> None:
    engine = Listening()
    points, _ = collect(engine, [numbered(12)], [Modality.TEXT], 1, limit=3)
    assert len(points.tasks) == 3
    assert [len(turns_of(prompt)) for prompt in engine.seen[::2]] == [5] * 3
    assert caplog.messages == []


@pytest.mark.parametrize(
    "read",
    [
        lambda engine, task, modality: phases(engine, task, Source(modality.value)),
        lambda engine, task, modality: collect(engine, [task], [modality], 1),
    ],
)
def test_fewer_shots_of_a_lens_or_a_map_are_told_of(
    read: Callable[..., object], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    task = replace(numbered(4), folder=tmp_path)
    read(FakeEngine(), task, Modality.TEXT)
    assert caplog.messages == [
        "task limited: the validation samples with text allow 4 examples per prompt instead of 5"
    ]


def test_a_task_with_too_few_samples_to_show_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    task = numbered(5, "short")
    for seed in range(3):
        ask = few_shot_prompts(Setup((task,)), task, Transfer(Source.TEXT, Modality.TEXT), Variant(seed))
        assert len(turns_of(ask(0, task.test[0]))) == 5
    assert caplog.messages == ["task short: only 4 test samples with text to show before a query instead of 5"]


# -- as a shell sees it -----------------------------------------------------------------------------------


def prompts_of(monkeypatch: pytest.MonkeyPatch) -> list[Prompt]:
    seen: list[Prompt] = []
    told = FakeEngine.answer

    def answer(self: FakeEngine, prompts: Sequence[Prompt], *rest: Any) -> Any:
        seen.extend(prompts)
        return told(self, prompts, *rest)

    monkeypatch.setattr(FakeEngine, "answer", answer)
    return seen


@pytest.mark.parametrize("query", ["Japan", "Japan ", "japan\r", "\tJAPAN"])
def test_a_text_on_the_command_line_is_that_of_the_file(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    seen = prompts_of(monkeypatch)
    (tmp_path / "t.txt").write_text("Japan\tBanana\n" * 5)
    ran = tv("prompt", "-t", query, "-e", tmp_path / "t.txt", "--json")
    assert ran.code == 0
    assert [prompt.parts for prompt in seen] == [(f"Q:{query.strip()}\nA:",)]
    assert "4 of 5 examples repeat the input of an earlier one (the first: line 2)" in ran.err
    assert "only 5 examples, of which 5 repeat the query: 0 shots per prompt instead of 5" in ran.err


def test_a_picture_does_not_see_its_own_label(
    tv: Runner, flags: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = prompts_of(monkeypatch)
    (tmp_path / "i.txt").write_text(f"@{flags[0].name}\tBanana\n@{flags[1].name}\tB\n@{flags[2].name}\tC\n")
    assert tv("prompt", "-i", flags[4], "-e", tmp_path / "i.txt").code == 0
    assert sorted(y for _, y in turns_of(seen[0])) == ["", "B", "C"]
    assert all(isinstance(part, str | Image) for part in seen[0].parts)


def test_fewer_examples_than_shots_are_noted(tv: Runner, pairs_file: Path) -> None:
    ran = tv("prompt", "-t", "Nowhere", "-t", "Elsewhere", "-e", pairs_file, "--shots", 3000)
    count = len(pairs_file.read_text("utf-8").splitlines())
    assert ran.code == 0
    assert ran.err.count(f"only {count} examples: {count} shots per prompt instead of 3000") == 1


def test_an_evaluation_warns_of_repeats(tv: Runner, tmp_path: Path) -> None:
    lines = [
        {"input": word, "output": f"answer {n}", "split": split}
        for split in ("validation", "test")
        for n, word in enumerate(WORDS)
    ]
    (tmp_path / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    (tmp_path / "examples.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ran = tv("eval", "-T", tmp_path, "--query", "text", "--seeds", 1, "--layer", 1, "-q")
    assert ran.code == 0
    assert "warning: task " in ran.err
    assert ": 7 of 14 samples repeat the text of an earlier one, and 7 test samples are also in the" in ran.err
