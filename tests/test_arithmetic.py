"""What is computed from vectors and residuals, against numbers that can be worked out by hand."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from conftest import Runner

from tvcli.cli.work.describe import describe_lines, describe_record, sparkline
from tvcli.cli.work.layers import parse_layer
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import DEFAULTS, FIRST_TOKEN, Answer, Decoding, ImageTokens, Patch, Token, tail
from tvcli.errors import UsageError, VectorError
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Modality
from tvcli.method import extract
from tvcli.method.extract import from_examples, from_instruction, mean_residuals
from tvcli.method.layers import check_layer, default_layer, layer_accuracy
from tvcli.method.lens import FUNCTION_WORDS, Decoded, decode, first_tokens, phases, task_words, top_tokens
from tvcli.method.projection import before_question, collect, project, silhouette
from tvcli.method.similarity import check_same_shape, similarity
from tvcli.metrics import Judge, Metric
from tvcli.prompts.prompt import Example, Prompt, QuestionAnswer, in_context, sample_in_context, zero_shot
from tvcli.vector import ModelInfo, Part, Provenance, TaskVector, save

SAMPLES = tuple(Sample(f"x{i}", (f"y{i}", "other")) for i in range(8))
EXAMPLES = [sample.example(Modality.TEXT) for sample in SAMPLES]
TASK = Task("made-capital", Path(), "d", "Say:", validation=SAMPLES, test=(Sample("never", ("read",)),))


def parts(prompts: Sequence[Prompt]) -> list[list[str | bytes]]:
    """What prompts are made of; pictures by their pixels."""
    return [[part if isinstance(part, str) else part.digest for part in prompt.parts] for prompt in prompts]


def vectors(*rows: Sequence[Sequence[float]]) -> list[TaskVector]:
    return [TaskVector(np.array(row, np.float32)) for row in rows]


class Listening(FakeEngine):
    """Keeps the prompts that are read, and how many a call."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Prompt] = []

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        assert len(prompts) == 1  # a residual then does not depend on its neighbours
        self.seen += prompts
        return super().read(prompts, patch)


def listed(seen: list[Any]) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """A progress that keeps what passes."""

    def progress(items: Sequence[Any]) -> Iterable[Any]:
        for item in items:
            seen.append(item)
            yield item

    return progress


# -- compare ----------------------------------------------------------------------------------------------


def test_similarity_is_the_cosine_of_each_pair_at_each_layer() -> None:
    found = similarity(vectors([[0.3, 0.4], [1, 0]], [[0.4, 0.3], [0, 2]]))
    assert found.dtype == np.float64
    assert found.tolist() == pytest.approx(np.array([[[1, 0.96], [0.96, 1]], [[1, 0], [0, 1]]]), abs=1e-7)


def test_a_vector_of_zeros_is_like_nothing() -> None:
    assert similarity(vectors([[0, 0]], [[1, 0]])).tolist() == [[[0, 0], [0, 1]]]


def test_centred_similarity_is_that_of_the_distances_from_the_mean() -> None:
    three = vectors([[2, 1]], [[1, 2]], [[0, 0]])
    half = -np.sqrt(0.5)
    assert similarity(three, centred=True)[0] == pytest.approx(np.array([[1, 0, half], [0, 1, half], [half, half, 1]]))
    assert similarity(three)[0, 0, 1] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("count", "centred", "words"),
    [(1, False, "comparing needs at least 2 vectors"), (2, True, "centring needs at least 3 vectors")],
)
def test_too_few_vectors_to_compare_are_refused(count: int, centred: bool, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        similarity(vectors([[1, 2]]) * count, centred=centred)
    assert str(caught.value) == words


def test_every_vector_must_have_the_shape_of_the_first() -> None:
    check_same_shape(vectors([[1, 2]], [[3, 4]]))
    with pytest.raises(VectorError) as caught:
        check_same_shape(vectors([[1, 2]], [[3, 4]], [[1, 2, 3], [4, 5, 6]]))
    assert str(caught.value) == "vectors of different shapes cannot be compared: 1 layers × 2 and 2 layers × 3"
    with pytest.raises(VectorError, match="1 layers × 2 and 1 layers × 3"):
        similarity(vectors([[1, 2]], [[1, 2, 3]]))


def test_two_vectors_are_compared_in_a_curve(tv: Runner, tmp_path: Path) -> None:
    two = save_all(tmp_path, [[0.3, 0.4], [1, 0]], [[0.4, 0.3], [0, 2]])
    assert tv("compare", *two).out == "curve\t0\t1\na and b\t0.9600\t0.0000\n"
    assert tv("compare", *two, "--json").out == '{"a and b": [0.96, 0.0]}\n'


def test_three_vectors_are_compared_in_matrices_at_a_layer(tv: Runner, tmp_path: Path) -> None:
    three = save_all(tmp_path, [[1, 0], [2, 1]], [[0, 1], [1, 2]], [[0, 0], [0, 0]])
    ran = tv("compare", *three)
    plain = "cosine\ta\tb\tc\na\t1.000\t0.800\t0.000\nb\t0.800\t1.000\t0.000\nc\t0.000\t0.000\t0.000\n"
    centred = "cosine\ta\tb\tc\na\t1.000\t0.000\t-0.707\nb\t0.000\t1.000\t-0.707\nc\t-0.707\t-0.707\t1.000\n"
    assert ran.out.replace("-0.000", "0.000") == plain + centred
    assert "layer 1\nlayer 1, centred\n" in ran.err


def save_all(folder: Path, *rows: Sequence[Sequence[float]]) -> list[Path]:
    paths = [folder / f"{name}.npy" for name, _ in zip("abc", rows, strict=False)]
    for path, vector in zip(paths, vectors(*rows), strict=True):
        save(vector, path)
    return paths


# -- layers -----------------------------------------------------------------------------------------------


def test_the_layer_comes_with_its_reason() -> None:
    vector = TaskVector(np.zeros((6, 2), np.float32))
    assert default_layer(vector.with_layer(0, ""), 4) == (0, "the vector's own")
    assert default_layer(vector.with_layer(5, "best"), 4) == (5, "best")
    assert default_layer(vector, 5) == (5, "the catalogue's for this model")
    assert default_layer(TaskVector(np.zeros((7, 2), np.float32)), None)[0] == 3
    assert default_layer(vector, 6) == (3, "half the depth, as nothing better is known; try `layer` all")


def test_a_layer_is_a_number_of_the_model_or_all() -> None:
    assert parse_layer("all", 3) == [0, 1, 2]
    assert [parse_layer(text, 3) for text in ("0", "2")] == [[0], [2]]
    for layer in (-1, 3):
        with pytest.raises(UsageError) as caught:
            check_layer(layer, 3)
        assert str(caught.value) == f"`layer` {layer} is outside 0 to 2"
    with pytest.raises(UsageError) as caught:
        parse_layer("ALL", 3)
    assert str(caught.value) == "--layer must be a number or 'all', not 'ALL'"


def test_each_layer_is_judged_by_its_own_row_on_the_bare_query() -> None:
    class Asked(FakeEngine):
        asked: ClassVar[list[Prompt]] = []

        def answer(
            self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,), decoding: Decoding = FIRST_TOKEN
        ) -> list[list[Answer]]:
            self.asked.extend(prompts)
            return super().answer(prompts, patches, decoding)

    vector = TaskVector(np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32) * 5)
    said = FakeEngine().answer([zero_shot("x0")], [Patch.of(vector, layer) for layer in range(6)])[0]
    seen: list[Example] = []
    asked = [Example("x0", said[2].text), Example("x1", "nothing of the kind")]
    found = layer_accuracy(Asked(), vector, asked, listed(seen))
    assert found.tolist() == [0.5 * (answer.text == said[2].text) for answer in said]
    assert seen == asked
    assert Asked.asked == [zero_shot("x0"), zero_shot("x1")]


def test_layers_are_judged_by_the_metric_that_is_given_with_as_many_tokens_as_it_takes() -> None:
    class Says(FakeEngine):
        asked: ClassVar[list[Decoding]] = []

        def answer(
            self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,), decoding: Decoding = FIRST_TOKEN
        ) -> list[list[Answer]]:
            self.asked.append(decoding)
            return [[Answer(" Kath", (1,), 1.0)] * len(patches)]

    vector, asked = TaskVector(np.zeros((6, 16), np.float32)), [Example("Nepal", "Kathmandu")]
    assert layer_accuracy(Says(), vector, asked).tolist() == [1] * 6
    assert layer_accuracy(Says(), vector, asked, judge=Judge(Metric.EXACT)).tolist() == [0] * 6
    assert [decoding.max_tokens for decoding in Says.asked] == [1, 12]


# -- extract ----------------------------------------------------------------------------------------------


def test_the_mean_is_that_of_all_prompts_in_double_precision() -> None:
    class Counts(Listening):
        def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
            super().read(prompts)
            return np.full((1, 6, 16), [2**24, 1, 1, 1][len(self.seen) - 1], np.float32)

    mean = mean_residuals(Counts(), [zero_shot("a")] * 4)
    assert mean.dtype == np.float32
    assert mean.shape == (6, 16)
    assert np.unique(mean).tolist() == [np.float32((2**24 + 3) / 4)]


def test_a_vector_of_examples_is_read_at_sampled_prompts_and_says_so() -> None:
    engine, seen, form = Listening(), [], QuestionAnswer("In:{x}\nOut:")  # type: ignore[var-annotated]
    vector = from_examples(engine, EXAMPLES, shots=3, prompts=4, seed=7, template=form, progress=listed(seen))
    assert engine.seen == seen == sample_in_context(EXAMPLES, shots=3, prompts=4, seed=7, template=form)
    assert vector.provenance == Provenance(
        model=engine.model,
        source="text examples",
        template="In:{x}\nOut:",
        delimiter_id=7,
        delimiter=":",
        prompts=4,
        shots=3,
        seed=7,
        tv_version=extract.tv_version(),
    )


def test_by_default_every_example_ends_one_prompt_of_five() -> None:
    engine = Listening()
    origin = from_examples(engine, EXAMPLES).provenance
    assert engine.seen == sample_in_context(EXAMPLES, shots=5, prompts=None, seed=1)
    assert (origin.prompts, origin.shots, origin.seed, origin.template) == (8, 5, 1, "Q:{x}\nA:")
    assert from_examples(engine, EXAMPLES[:2], shots=2).provenance.shots == 2
    assert from_examples(engine, EXAMPLES[:2]).provenance.shots == 2


def test_the_source_says_what_the_examples_are(picture: Path) -> None:
    seen = [Sample(f"x{i}", ("y",), picture).example(Modality.IMAGE) for i in range(2)]
    sources = [from_examples(FakeEngine(), some).provenance.source for some in (seen, [seen[0], EXAMPLES[0]])]
    assert sources == ["image examples", "mixed examples"]


@pytest.mark.parametrize(
    ("count", "shots", "words"),
    [
        (1, 5, "a task vector needs at least 2 examples: one before, one to read at"),
        (2, 1, "`shots` must be at least 2: the last example is the one to read at"),
    ],
)
def test_one_example_or_one_shot_is_too_few(count: int, shots: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_examples(FakeEngine(), EXAMPLES[:count], shots=shots)
    assert str(caught.value) == words


def test_a_vector_of_an_instruction_is_read_at_its_colon_and_says_so() -> None:
    engine = Listening()
    vector = from_instruction(engine, " Say it : ")
    assert [prompt.parts for prompt in engine.seen] == [("Say it:",)]
    assert vector.provenance == Provenance(
        model=engine.model,
        source="instruction",
        instruction="Say it:",
        delimiter_id=7,
        delimiter=":",
        prompts=1,
        tv_version=extract.tv_version(),
    )


def test_the_version_is_that_of_the_package_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "version", {"tvcli": "1.2"}.__getitem__)
    assert extract.tv_version() == "1.2"

    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(extract, "version", missing)
    assert extract.tv_version() == "unknown"


# -- lens -------------------------------------------------------------------------------------------------


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
    task = replace(TASK, validation=samples)
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
    phases(engine, TASK, Modality.TEXT, shots=3, seed=4)
    assert engine.seen == sample_in_context(EXAMPLES, shots=3, prompts=None, seed=4)
    few = Listening()
    phases(few, replace(TASK, validation=SAMPLES[:2]), Modality.TEXT)
    assert few.seen == sample_in_context(EXAMPLES[:2], shots=2, prompts=None, seed=1)


def test_the_words_of_a_task_are_long_lower_case_each_once_and_no_function_words() -> None:
    said = " ".join(["The tiny Capital, in ABC of x-ray2:", *FUNCTION_WORDS])
    assert task_words(replace(TASK, instruction=said)) == ["capital", "tiny"]
    assert task_words(replace(TASK, name="a-b-capital", instruction="city")) == ["capital", "city"]
    assert task_words(replace(TASK, name="colour", instruction="i")) == ["colour"]
    assert {"what", "which", "name", "word"} <= FUNCTION_WORDS


def test_the_words_that_a_task_gives_stand_for_those_of_its_instruction() -> None:
    given = replace(TASK, name="a-b-capital", instruction="The city:", words=("town", "capital", "about"))
    assert task_words(given) == ["capital", "town", "about"]
    assert task_words(replace(given, words=())) == ["capital"]


def test_a_first_token_is_that_of_each_spelling_once_and_in_order() -> None:
    class Spells(FakeEngine):
        known = ("new", " new", "New", " New", "york", " york", "York", " York")

        def tokens(self, text: str) -> list[Token]:
            return [Token(9 - self.known.index(text), text), Token(0, "")]

    assert first_tokens(Spells(), ["new"]) == [6, 7, 8, 9]
    assert first_tokens(Spells(), ["new", "york", "new"]) == [2, 3, 4, 5, 6, 7, 8, 9]


# -- map --------------------------------------------------------------------------------------------------


def test_a_map_holds_each_prompts_delimiter_and_the_token_before_the_question() -> None:
    engine, seen, other = Listening(), [], replace(TASK, name="other")  # type: ignore[var-annotated]
    points, contexts = collect(
        engine, [TASK, other], [Modality.TEXT], 2, shots=3, limit=4, seed=5, progress=listed(seen)
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
        FakeEngine(), [replace(TASK, validation=many)], [Modality.IMAGE, Modality.TEXT], 0, progress=listed(seen)
    )
    expected = [
        sample_in_context([sample.example(kind) for sample in many[:30]], shots=5, prompts=None, seed=1)
        for kind in (Modality.IMAGE, Modality.TEXT)
    ]
    assert parts(seen) == parts([*expected[0], *expected[1]])
    assert points.modalities == ("image",) * 30 + ("text",) * 30


def test_a_map_needs_three_vectors() -> None:
    points, _ = collect(FakeEngine(), [TASK], [Modality.TEXT], 0, limit=3)
    assert points.rows.shape == (3, 16)
    with pytest.raises(UsageError) as caught:
        collect(FakeEngine(), [TASK], [Modality.TEXT], 0, limit=2)
    assert str(caught.value) == "a map needs at least 3 vectors, here are 2"


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
def test_tsne_looks_at_thirty_neighbours_or_a_third_of_what_there_is(
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


# -- describe ---------------------------------------------------------------------------------------------

MODEL = ModelInfo("arch", "name", 2, 2, "Q4_0", "abc")
ORIGIN = Provenance(
    model=MODEL,
    source="text examples",
    template="Q:{x}\nA:",
    delimiter_id=7,
    delimiter=":",
    prompts=4,
    shots=3,
    seed=9,
    layer=1,
    layer_selection="best",
    accuracy=0.256,
    tv_version="1.2",
)
ROWS = np.array([[30, 40], [1 / 3, 0]], np.float32)


def test_a_vector_with_full_provenance_is_shown_line_by_line(tv: Runner, tmp_path: Path) -> None:
    save(TaskVector(ROWS, ORIGIN), tmp_path / "v.npy")
    ran = tv("show", tmp_path / "v.npy")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "shape       2 layers × 2, float32",
        "model       name (arch, 2 layers × 2) Q4_0",
        "source      text examples",
        "prompts     4 of 3 examples, seed 9",
        "template    Q:{x}\\nA:",
        "delimiter   : (token 7)",
        "layer       1 (best, 26%)",
        "norms       █▁ 0 to 50, layer 0 to 1",
        "written by  tv 1.2",
    ]
    whole = {
        "layers": 2,
        "width": 2,
        "norms": [50.0, 0.3333],
        "format": 1,
        "model": {
            "architecture": "arch",
            "name": "name",
            "n_layer": 2,
            "n_embd": 2,
            "quantization": "Q4_0",
            "digest": "abc",
        },
        "source": "text examples",
        "template": "Q:{x}\nA:",
        "instruction": "",
        "delimiter_id": 7,
        "delimiter": ":",
        "prompts": 4,
        "shots": 3,
        "seed": 9,
        "layer": 1,
        "layer_selection": "best",
        "accuracy": 0.256,
        "tv_version": "1.2",
        "parts": [],
    }
    assert describe_record(TaskVector(ROWS, ORIGIN)) == whole
    assert tv("show", tmp_path / "v.npy", "--json").code == 0


def test_a_vector_of_unknown_origin_has_four_lines() -> None:
    assert describe_lines(TaskVector(ROWS)) == [
        ("shape", "2 layers × 2, float32"),
        ("model", "not recorded"),
        ("source", "unknown"),
        ("layer", "none selected"),
        ("norms", "█▁ 0 to 50, layer 0 to 1"),
    ]


def test_what_is_known_of_an_instruction_or_a_combination_is_shown() -> None:
    told = Provenance(
        model=replace(MODEL, quantization=""), instruction="Say:", prompts=1, layer=0, layer_selection="x"
    )
    lines = dict(describe_lines(TaskVector(ROWS, told)))
    assert lines["model"] == "name (arch, 2 layers × 2)"
    assert (lines["instruction"], lines["prompts"], lines["layer"]) == ("Say:", "1", "0 (x)")
    summed: tuple[Part, ...] = ({"weight": 0.5, "vector": {"source": "instruction"}}, {"weight": -1.0, "vector": {}})
    made = describe_lines(TaskVector(ROWS, Provenance(parts=summed)))
    assert [line for line in made if line[0] == "part"] == [("part", "0.5 × instruction"), ("part", "-1 × unknown")]


def test_bars_rise_from_the_lowest_to_the_highest_value() -> None:
    assert sparkline(np.arange(8) + 3) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.array([3.0, 3.0])) == "▁▁"


# -- protocol ---------------------------------------------------------------------------------------------


def test_by_default_one_token_is_decoded_up_to_a_newline_and_the_machine_decides_the_rest() -> None:
    assert Decoding() == Decoding(max_tokens=1, stop_at_newline=True)
    assert (DEFAULTS.context, DEFAULTS.threads, DEFAULTS.gpu_layers, DEFAULTS.rpc) == (None, None, None, ())


def test_the_last_tokens_stop_at_a_picture() -> None:
    a, b, c = (Token(i, text) for i, text in enumerate("abc"))

    def last(layout: list[Token | ImageTokens], count: int) -> list[Token]:
        engine = FakeEngine()
        engine.layout = lambda prompt: layout  # type: ignore[method-assign]
        return tail(engine, zero_shot("x"), count)

    assert last([a, b, c], 2) == [b, c]
    assert last([a, b, c], 0) == []
    assert last([a, b, c], 5) == [a, b, c]
    assert last([a, ImageTokens(3), b, c], 5) == [b, c]
    assert last([a, ImageTokens(3)], 5) == []
