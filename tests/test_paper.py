"""The paper's items: what is refused, what a picture is drawn from, and what a study does once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from conftest import Runner

import tvcli.models.opening
from tvcli import plots
from tvcli.cli.work.records import transfer_record
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import FIRST_TOKEN, Answer, Decoding, Patch, Settings
from tvcli.errors import NotApplicableError, UsageError, VectorError
from tvcli.evaluation.bootstrap import Interval
from tvcli.evaluation.cells import legend, meaning
from tvcli.evaluation.results import AVERAGE, Row, Score, TransferResult
from tvcli.evaluation.setup import ALL_TRANSFERS, Setup, Transfer, Variant
from tvcli.evaluation.vectors import Shelf, read_vector
from tvcli.inputs.tasks import Sample, Task, find_task
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.method.lens import phases
from tvcli.method.projection import collect
from tvcli.metrics import Judge, Metric
from tvcli.models.opening import Model, ModelRequest
from tvcli.paper import figures, tables
from tvcli.paper.cost import Cost
from tvcli.paper.items import ITEMS, find_items
from tvcli.paper.study import Study
from tvcli.prompts.chat import CHATML, Chat
from tvcli.prompts.prompt import QA, Example, Prompt, few_shot, zero_shot

WORDS = Transfer(Source.TEXT, Modality.TEXT)


@pytest.fixture
def folder() -> Iterator[Path]:
    with planted.planted() as tasks:
        yield tasks


def study(
    tasks_folder: Path, *names: str, engine: FakeEngine | None = None, llm: str | None = None, **more: Any
) -> Study:
    tasks = tuple(find_task(name) for name in names or ("alpha", "beta"))
    asked = engine or planted.Planted(tasks_folder)
    return Study(engine=asked, request=ModelRequest("fake"), llm=llm, tasks=tasks, seeds=(1, 2), **more)


# -- names ----------------------------------------------------------------------------------------------------


def test_items_are_found_by_name_and_all_are_every_one() -> None:
    assert find_items(["all"]) == list(ITEMS)
    assert find_items(["figure6", "table2"]) == ["figure6", "table2"]


@pytest.mark.parametrize("names", [["table99"], ["table2", "table99"]])
def test_an_unknown_item_is_refused_with_those_that_there_are(names: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        find_items(names)
    assert str(caught.value) == f"the paper's results here are {', '.join(ITEMS)}, or all; not 'table99'"


def test_the_list_of_items_says_what_each_is_and_needs(tv: Runner) -> None:
    assert tv("paper").out.splitlines() == [
        "name\twhat\tneeds",
        "table2\tno context, prompt and patch on image queries\tsix tasks, three seeds",
        "table3\tvectors from the language model, patched into the VLM\tthe VLM's language model",
        "table4\tvisual questions as instruction vectors\tquestion sets",
        "table5\toverriding the prompt's task, against a system prompt\tpairs of tasks",
        "table6\ttokens that vectors decode to\tsix tasks",
        "table7\tcost of a prompt with 30 examples against a patch\tone query",
        "table9\tnoisy instructions: typos, paraphrases, distractors\twordings of each instruction",
        "table10\tthe chat template instead of Q and A\tsix tasks, three seeds",
        "table12\tall pairs of modalities\ta model that sees",
        "figure2\tmap of task vectors and context tokens\tsix tasks",
        "figure4\texamples of the three methods\tsix tasks",
        "figure5\tsimilarity of text and image, LLM and VLM vectors\tsix tasks",
        "figure6\t5 to 30 examples, with and without the instruction vector\tsix tasks, three seeds",
        "figure8\tevolution of the delimiter: input, task, answer\tsix tasks",
    ]


# -- tables ---------------------------------------------------------------------------------------------------

MODELS = ("LLaVA-1.5-7B", "Mantis-Fuyu-8B", "Idefics2-8B", "Random")  # of the paper's table 2


def test_a_table_that_cannot_be_made_says_why(folder: Path) -> None:
    blind = planted.Planted(folder)
    blind.has_vision = False
    with pytest.raises(NotApplicableError, match=r"^table 3 needs the model's own language model; name it with `llm`$"):
        tables.table3(study(folder))
    with pytest.raises(NotApplicableError, match=r"^table 12 needs a model that sees; fake has no image encoder$"):
        tables.table12(study(folder, engine=blind))


def test_wordings_of_every_kind_are_needed_and_the_first_missing_is_named(folder: Path) -> None:
    toml = folder / "beta" / "task.toml"
    toml.write_text("\n".join(line for line in toml.read_text().splitlines() if line[:4] not in ("typo", "dist")))
    with pytest.raises(NotApplicableError, match=r"^table 9 needs wordings of each kind; beta has none of typo$"):
        tables.table9(study(folder))


def test_without_a_template_of_its_own_a_model_gets_chatml(folder: Path) -> None:
    plain = planted.Planted(folder)
    plain.chat_template = ""
    known = study(folder, engine=plain)
    assert tables.table10(known).note == "tv's own data; ChatML, since the model brings no template, patched at layer 3"
    assert [setup.template for setup, *_ in known.done] == [QA, Chat(CHATML)]


def test_the_cost_of_both_ways_stands_above_their_ratio(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def measured(*given: Any) -> list[Cost]:
        asked.append(given)
        return [Cost("prompt", 300, 2.0004, 2000.4), Cost("patch", 10, 0.25, 500.0)]

    monkeypatch.setattr(tables, "measure_cost", measured)
    known = study(folder)
    made = tables.table7(known)
    assert asked == [(known.engine, known.request, known.tasks[0])]
    assert made.header == ("one query", "tokens", "seconds", "MB")
    assert made.rows == (
        ("prompt", "300", "2.000", "2000"),
        ("patch", "10", "0.250", "500"),
        ("ratio", "30 ×", "8 ×", ""),
        ("paper: prompt, 30 long examples, Idefics2-8B on a GPU", "", "2.20", "20020"),
        ("paper: patch, Idefics2-8B on a GPU", "", "0.20", "8210"),
    )


def test_the_legend_tells_of_short_matches_where_there_are_some() -> None:
    def found(short: float) -> TransferResult:
        score = Score(0.5, Interval(0.4, 0.6), short=short)
        return TransferResult(WORDS, 2, (), {AVERAGE: Row(1, {Method.PATCH: score}, {}, {})})

    assert legend(found(0.0)) == meaning(Source.TEXT)
    short = "right by a match of fewer than three letters: patch 0.25"
    assert legend(found(0.25)) == f"{meaning(Source.TEXT)}. {short}"
    assert legend(found(0.25), (Method.PROMPT,)) == meaning(Source.TEXT)


def test_the_legend_says_what_the_spread_is_over() -> None:
    for source in Source:
        words = "over wordings." if source == Source.INSTRUCTION else "over seeds."
        found = TransferResult(Transfer(source, Modality.TEXT), 2, (), {})
        assert f"±: standard deviation {words} [ ]:" in legend(found)


def test_the_papers_numbers_are_of_other_data_unless_the_tasks_are_the_papers(folder: Path) -> None:
    known = study(folder, "alpha")
    assert [row[0] for row in tables.table2(known).rows[-4:]] == [f"paper: {name} (other data)" for name in MODELS]
    known.tasks = tuple(replace(task, paper=task.digest) for task in known.tasks)
    assert [row[0] for row in tables.table2(known).rows[-4:]] == [f"paper: {name}" for name in MODELS]


def test_evaluations_are_kept_under_the_name_of_what_they_are_for(folder: Path, tmp_path: Path) -> None:
    known = study(folder, llm="fake", folder=tmp_path)
    for name in ("table2", "table3", "table4", "table5", "table9", "table10", "table12", "figure6"):
        ITEMS[name].make(known)
    nine = [f"table9-{name}" for name in ("plain", "question", "typo", "paraphrase", "distractor")]
    six = [f"figure6-{shots}" for shots in (0, 5, 10, 15, 20, 25, 30)]
    names = ["table2", "table3", "table4", "table5", *nine, "table10", "table12", *six]
    assert len(known.done) == len(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.jsonl" for name in names)
    settings = {name: setup for name, (setup, *_) in zip(names, known.done, strict=True)}
    assert [settings[name].prompts for name in six] == [None, 1, 2, 3, 4, 5, 6]
    assert {settings[name].layer for name in (*six, "table5")} == {3}
    assert [settings[name].wording for name in nine] == ["", "question", "typo", "paraphrase", "distractor"]
    assert settings["table12"].transfers == ALL_TRANSFERS
    alone = [name for name, setup in settings.items() if setup.methods == (Method.PATCH,)]
    assert alone == ["table3", *nine, *six]
    assert [name for name, setup in settings.items() if setup.judge == Judge(ignore_case=True)] == six
    assert [name for name, setup in settings.items() if setup.judge == Judge(Metric.EXACT)] == ["table5"]
    assert [model for _, model, _ in known.done if model is not None] == [ModelRequest("fake")]
    heads = {name: json.loads((tmp_path / f"{name}.jsonl").read_text("utf-8").split("\n")[0]) for name in names}
    assert [name for name, head in heads.items() if head["source_model"] is not None] == ["table3"]


# -- figures --------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What pictures would be drawn of."""
    calls: list[tuple[Any, ...]] = []
    for name in ("curves", "maps"):
        monkeypatch.setattr(plots, name, lambda *given, _name=name, **named: calls.append((_name, *given, named)))
    return calls


def test_the_map_draws_vectors_beside_contexts(
    folder: Path, drawn: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def projected(rows: np.ndarray, method: str, seed: int) -> tuple[Any, ...]:
        return len(rows), rows.sum(), method, seed

    known = study(folder, "alpha", "beta")
    known.seeds, layer = (2, 1), known.layer()
    known.tasks = tuple(replace(task, validation=task.validation * 2) for task in known.tasks)
    known.done = [(known.setup(), None, known.done[0][2])]
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
        (figures.figure8, "probability at the delimiter", 3),
        (figures.layers, "validation accuracy", 2),
    ],
)
def test_a_picture_draws_the_numbers_of_its_table(
    folder: Path, drawn: list[tuple[Any, ...]], tmp_path: Path, make: Any, y: str, digits: int
) -> None:
    made = make(study(folder, llm="fake"))
    made.draw(tmp_path / "curves.png")
    [(kind, path, series, named)] = drawn
    assert (kind, path, named) == ("curves", tmp_path / "curves.png", {"x": "layer", "y": y})
    assert made.header[1:] == ("0", "1", "2", "3", "4", "5")
    assert made.rows == tuple((name, *(f"{v:.{digits}f}" for v in values)) for name, values in series.items())


def test_the_layers_are_those_of_table_2(folder: Path) -> None:
    known = study(folder)
    made = figures.layers(known)
    assert [setup for setup, *_ in known.done] == [known.setup()]
    assert made.header[0] == "vectors → queries"
    assert made.note == "patched at one layer at a time"
    [row] = made.rows
    accuracies = planted.evaluation(planted.EVALUATIONS[0])["printed"]["pairs"][1]["validation"]
    assert row == ("text → image", *(f"{value:.2f}" for value in accuracies))


def test_examples_have_the_pictures_of_their_queries(folder: Path) -> None:
    made = figures.figure4(study(folder))
    assert made.images == tuple(folder / name / f"{i}.png" for name in ("alpha", "beta") for i in range(6, 10))
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
def test_the_examples_shown_are_words_and_the_queries_what_the_model_sees(folder: Path, sees: bool, first: int) -> None:
    samples = folder / "alpha" / "examples.jsonl"
    text = samples.read_text()
    samples.write_text(text.replace(', "image": "0.png"', "").replace(', "image": "6.png"', ""))
    engine = Asked(folder)
    engine.has_vision = sees
    known = study(folder, "alpha", engine=engine)
    known.layer()
    engine.prompts.clear()
    engine.tokens_asked_for.clear()
    figures.figure4(known)
    [task] = known.tasks
    examples = [Example(sample.input, sample.outputs[0]) for sample in task.validation]
    queries = [sample.load(Modality.IMAGE if sees else Modality.TEXT) for sample in task.test[first - 6 : first - 2]]
    wanted = [[zero_shot(x), few_shot(x, examples, shots=5, seed=1), zero_shot(x)] for x in queries]
    assert engine.tokens_asked_for == {6}
    assert list(map(str, engine.prompts)) == [str(prompt) for three in wanted for prompt in three]


def test_the_examples_shown_are_validation_samples_and_the_queries_test_samples(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = study(folder, "alpha")
    known.vector(known.tasks[0], Source.TEXT, Variant(1))
    known.layer()
    asked: list[tuple[Split, Modality]] = []
    real = Task.samples

    def samples(task: Task, split: Split, modality: Modality) -> list[Sample]:
        asked.append((split, modality))
        return real(task, split, modality)

    monkeypatch.setattr(Task, "samples", samples)
    figures.figure4(known)
    assert asked == [(Split.VALIDATION, Modality.TEXT), (Split.TEST, Modality.IMAGE)]


def test_the_phases_are_means_over_tasks_of_the_first_seed(folder: Path) -> None:
    known = study(folder)
    known.seeds = (2, 1)
    curves = [phases(known.engine, task, Modality.IMAGE, seed=2) for task in known.tasks]
    found = figures.mean_phases(known)
    assert len(found) == 2 * len(curves[0])
    for name in curves[0]:
        assert np.allclose(found[f"{name}, image examples"], np.mean([curve[name] for curve in curves], axis=0))


def test_one_task_is_compared_with_no_other_and_a_lone_pair_is_not_centred(folder: Path) -> None:
    rows = {name: values for name, *values in figures.figure5(study(folder, "alpha")).rows}
    assert list(rows) == ["text and image vectors, same task", "text and image vectors, same task, centred"]
    assert len(set(map(tuple, rows.values()))) == 1


def test_too_few_pictures_for_a_vector_are_told_of_as_pictures(folder: Path) -> None:
    samples = folder / "beta" / "examples.jsonl"
    samples.write_text(samples.read_text().replace(', "image": "0.png"', "").replace(', "image": "1.png"', ""))
    with pytest.raises(UsageError) as caught:
        figures.figure5(study(folder))
    assert str(caught.value) == "task beta has 4 validation samples with image, too few for 5 shots"


def test_a_blind_model_without_a_language_model_has_nothing_to_compare(folder: Path) -> None:
    blind = planted.Planted(folder)
    blind.has_vision = False
    assert figures.figure5(study(folder, engine=blind)).rows == ()


# -- the study ------------------------------------------------------------------------------------------------


def test_an_evaluation_is_done_once_for_its_setup(folder: Path) -> None:
    known = study(folder)
    first = known.evaluate("table2", known.setup())
    assert known.evaluate("any name", known.setup()) is first
    assert known.table2() is first[0]
    fixed = replace(known.setup(), layer=1)
    other = known.evaluate("table2", fixed)
    assert (first[0].layer, other[0].layer) == (3, 1)
    moved = known.evaluate("table2", fixed, source_model=ModelRequest("fake"))
    assert moved is not other
    assert known.evaluate("table2", fixed) is other


def test_a_study_goes_on_with_what_is_in_its_folder(folder: Path, tmp_path: Path) -> None:
    first, again = (known.evaluate("a", known.setup()) for known in (study(folder, folder=tmp_path) for _ in range(2)))
    assert list(map(transfer_record, first)) == list(map(transfer_record, again))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_study_tells_its_meter(folder: Path) -> None:
    told: list[tuple[int, str]] = []

    @contextmanager
    def meter(total: int, what: str) -> Iterator[Any]:
        told.append((total, what))
        yield lambda steps: None

    known = study(folder, meter=meter)
    known.evaluate("table2", replace(known.setup(), layer=1))
    assert told == [(2 * (8 + 2 * 8 + 2 * 8), "answered")]


def test_a_study_asks_with_pictures_where_the_model_sees(folder: Path) -> None:
    sees, blind = study(folder), study(folder, engine=FakeEngine(vision=False))
    assert (sees.queries, sees.modalities) == (Modality.IMAGE, [Modality.TEXT, Modality.IMAGE])
    assert (blind.queries, blind.modalities) == (Modality.TEXT, [Modality.TEXT])
    told = sees.setup(Source.INSTRUCTION, Source.ENSEMBLE).transfers
    assert told == tuple(Transfer(source, Modality.IMAGE) for source in (Source.INSTRUCTION, Source.ENSEMBLE))
    assert blind.setup().transfers == (WORDS,)


def test_a_study_hands_on_its_settings(folder: Path) -> None:
    known = study(folder, limit=5)
    seen = Transfer(Source.TEXT, Modality.IMAGE)
    assert known.setup() == Setup(known.tasks, transfers=(seen,), seeds=(1, 2), limit=5)
    assert (known.data, known.is_papers) == ("tv's own data", False)
    told = Variant(wording="Say beta:")
    found = known.vector(known.tasks[1], Source.INSTRUCTION, told)
    assert known.vector(known.tasks[1], Source.INSTRUCTION, told) is found
    assert known.shelf.held == {("beta", Source.INSTRUCTION, told): found}
    assert (known.shelf.engine, known.shelf.setup) == (known.engine, known.setup())


def test_vectors_of_the_language_model_are_read_there_and_must_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, other = study(folder, llm="fake"), planted.Planted(folder, llm=True)
    with monkeypatch.context() as patched:
        patched.setattr(tvcli.models.opening, "FakeEngine", lambda: other)
        found = known.vectors_of_llm("fake", 2)
        patched.setattr(tvcli.models.opening, "FakeEngine", lambda: FakeEngine(n_layer=4))
        with pytest.raises(VectorError, match="the vector has 4 layers"):
            known.vectors_of_llm("fake", 2)
    again = planted.Planted(folder, llm=True)
    wanted = [read_vector(again, known.setup(), task, Source.TEXT, Variant(2)) for task in known.tasks]
    assert all(np.array_equal(one.rows, two.rows) for one, two in zip(found, wanted, strict=True))


def test_the_language_model_is_loaded_as_the_model_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[ModelRequest] = []
    real = ModelRequest.open

    def opening(request: ModelRequest) -> Model:
        opened.append(request)
        return real(request)

    known = study(folder)
    known.request = ModelRequest("fake", Path("eyes.gguf"), Settings(threads=3))
    monkeypatch.setattr(ModelRequest, "open", opening)
    known.vectors_of_llm("fake", 1)
    assert opened == [ModelRequest("fake", None, Settings(threads=3))]


# -- vectors --------------------------------------------------------------------------------------------------


def plain_task() -> Task:
    samples = tuple(Sample(f"x{i}", (f"y{i}",)) for i in range(5))
    said = {"typo": ("one:", "two:")}
    return Task("t", Path(), "d", "Say:", wordings=said, validation=samples, test=samples)


def test_a_shelf_holds_what_the_setup_needs_once() -> None:
    one = plain_task()
    transfers = (WORDS, Transfer(Source.INSTRUCTION, Modality.TEXT), Transfer(Source.TEXT, Modality.IMAGE))
    shelf = Shelf(FakeEngine(), Setup((one,), transfers, seeds=(1, 4), wording="typo"))
    shelf.fill()
    seeds, said = [Variant(1), Variant(4)], [Variant(wording="one:"), Variant(wording="two:")]
    assert list(shelf.held) == [
        *(("t", Source.TEXT, variant) for variant in seeds),
        *(("t", Source.INSTRUCTION, variant) for variant in said),
    ]
    assert shelf.get(one, Source.INSTRUCTION, said[1]).provenance.instruction == "two:"
    assert shelf.get(one, Source.TEXT, seeds[1]).provenance.seed == 4


def test_a_vector_is_read_as_the_setup_says() -> None:
    setup = Setup((plain_task(),), shots=5, prompts=3)
    origin = read_vector(FakeEngine(), setup, plain_task(), Source.TEXT, Variant(2)).provenance
    assert (origin.shots, origin.prompts, origin.seed, origin.template) == (5, 3, 2, "Q:{x}\nA:")
    with pytest.raises(UsageError) as caught:
        read_vector(FakeEngine(), Setup((), shots=6), plain_task(), Source.TEXT, Variant(1))
    assert str(caught.value) == "task t has 5 validation samples with text, too few for 6 shots"


def test_a_vector_is_read_from_what_the_source_names_in_the_setups_form(folder: Path) -> None:
    [task] = study(folder, "alpha").tasks
    setup = Setup((task,), shots=3, template=Chat(CHATML))
    for source in (Source.TEXT, Source.IMAGE):
        origin = read_vector(planted.Planted(folder), setup, task, source, Variant(1)).provenance
        assert (origin.source, origin.shots, origin.template) == (f"{source} examples", 3, "chat")
