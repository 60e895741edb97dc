"""The evaluation: planted answers come out as they must, and an interrupted run loses and redoes nothing."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Runner

from tvcli.cli.work.records import result_record, transfer_record
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Answer, Decoding, Patch
from tvcli.errors import UsageError, VectorError
from tvcli.evaluation.answering import Evaluation
from tvcli.evaluation.prompts import after, alone
from tvcli.evaluation.results import Score, TransferResult, best_layer, transfer_result
from tvcli.evaluation.run import Files, run
from tvcli.evaluation.setup import ALL_TRANSFERS, Setup, Transfer, Variant
from tvcli.evaluation.store import Store, open_store
from tvcli.evaluation.vectors import Shelf, read_vector
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Method, Modality, Source
from tvcli.metrics import Judge, Metric
from tvcli.models.opening import ModelRequest
from tvcli.prompts.prompt import Prompt
from tvcli.vector import TaskVector, load, save, to_bytes

NO_CONTEXT, PROMPT, PATCH = Method
WORDS = Transfer(Source.TEXT, Modality.TEXT)


def make_task(validation: int = 8, test: int = 40) -> Task:
    samples = [Sample(f"x{i}", (f"y{i}", f"z{i}")) for i in range(validation + test)]
    return Task("t", Path(), "d", "Say y:", validation=tuple(samples[:validation]), test=tuple(samples[validation:]))


TASK = make_task()


class Oracle(FakeEngine):
    """Answers right when patched at layer 2 with what it is given, when shown examples half of the time, else never."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def answer(
        self,
        prompts: Sequence[Prompt],
        patches: Sequence[Patch | None] = (None,),
        decoding: Decoding = Decoding(),  # noqa: B008
    ) -> list[list[Answer]]:
        self.calls += 1
        return [[self._say(str(prompt.parts[-1]), patch) for patch in patches] for prompt in prompts]

    def _say(self, text: str, patch: Patch | None) -> Answer:
        number = text.split("Q:x")[-1].split("\n")[0]
        shown = text.count("Q:") > 1 and int(number) % 2 == 0
        right = (patch is not None and patch.layer in (2, 4)) or (patch is None and shown)
        return Answer(f" y{number}" if right else " no", (1,), 1.0)


def evaluated(engine: FakeEngine, setup: Setup, store: Store) -> dict[Transfer, int | None]:
    return Evaluation(engine, setup, store, Shelf(engine, setup)).run()


def result(store: Store, setup: Setup, layer: int | None = 2) -> TransferResult:
    return transfer_result(store, setup, WORDS, layer)


def scores(store: Store, setup: Setup, layer: int | None = 2) -> dict[str, Score]:
    return dict(result(store, setup, layer).rows["t"].scores)


def test_planted_answers_give_the_table_that_they_must() -> None:
    setup, store = Setup((TASK,), transfers=(WORDS,)), Store()
    layers = evaluated(Oracle(), setup, store)
    assert layers == {WORDS: 2}  # 2 and 4 tie: the lowest
    found = result(store, setup)
    row = found.rows["t"]
    assert [row.scores[method].mean for method in Method] == [0.0, 0.5, 1.0]
    assert row.n == 40
    assert row.scores[PATCH].std == 0.0
    assert found.validation == (0, 0, 1, 0, 1, 0)


def test_a_given_layer_skips_validation_and_may_be_zero() -> None:
    setup, store = Setup((TASK,), transfers=(WORDS,), layer=0), Store()
    assert evaluated(Oracle(), setup, store) == {WORDS: 0}
    assert {cell.split for cell in store.cells()} == {"test"}
    assert scores(store, setup, 0)[PATCH].mean == 0.0


def test_the_query_alone_is_asked_once_for_all_seeds_and_sources() -> None:
    setup, store = Setup((TASK,), transfers=(WORDS, Transfer(Source.INSTRUCTION, Modality.TEXT))), Store()
    evaluated(Oracle(), setup, store)
    assert [(cell.source, cell.variant) for cell in store.cells() if cell.method == NO_CONTEXT] == [(None, Variant())]
    found = {source: {cell.variant for cell in store.cells() if cell.source == source} for source in Source}
    assert found[Source.TEXT] == {Variant(1), Variant(2), Variant(3)}
    assert found[Source.INSTRUCTION] == {Variant(wording="Say y:")}


def test_each_vector_is_read_once() -> None:
    class Counting(Oracle):
        reads = 0

        def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
            Counting.reads += 1
            return super().read(prompts, patch)

    engine, setup = Counting(), Setup((TASK,), transfers=(WORDS, Transfer(Source.INSTRUCTION, Modality.TEXT)))
    shelf = Shelf(engine, setup)
    Evaluation(engine, setup, Store(), shelf).run()
    shelf.fill()
    assert len(shelf.held) == len(setup.seeds) + 1
    assert Counting.reads == len(setup.seeds) * len(TASK.validation) + 1  # a prompt at a time


@pytest.mark.parametrize("missing", ["prompt", "patch"])
def test_an_engine_that_answers_too_little_is_noticed_before_anything_is_kept(missing: str) -> None:
    class Short(Oracle):
        def answer(
            self,
            prompts: Sequence[Prompt],
            patches: Sequence[Patch | None] = (None,),
            decoding: Decoding = Decoding(),  # noqa: B008
        ) -> list[list[Answer]]:
            answers = super().answer(prompts, patches, decoding)
            return answers[:-1] if missing == "prompt" else [row[:-1] for row in answers]

    setup, store = Setup((TASK,), transfers=(WORDS,), layer=2), Store()
    with pytest.raises(ValueError, match="shorter"):
        evaluated(Short(), setup, store)
    assert store.cells() == []


def test_progress_adds_up_to_the_announced_rows() -> None:
    engine, setup = Oracle(), Setup((TASK,), transfers=(WORDS, Transfer(Source.ENSEMBLE, Modality.TEXT)))
    evaluation = Evaluation(engine, setup, Store(), Shelf(engine, setup))
    steps: list[int] = []
    evaluation.run(steps.append)
    assert sum(steps) == evaluation.total_rows()


def test_prompts_show_other_samples_and_never_the_querys_own_answer() -> None:
    setup = Setup((TASK,), transfers=(WORDS,), shots=5)
    ask = after(setup, TASK, WORDS, Variant(1))
    texts = [str(ask(n, sample).parts[0]) for n, sample in enumerate(TASK.test)]
    for text, sample in zip(texts, TASK.test, strict=True):
        assert text.count("Q:") == 6
        assert text.endswith(f"Q:{sample.input}\nA:")
        assert f"A:{sample.outputs[0]}\n" not in text
    assert len({text.rsplit("Q:", 1)[0] for text in texts}) > 30  # drawn anew for each
    again = after(setup, TASK, WORDS, Variant(1))
    assert str(again(3, TASK.test[3]).parts[0]) == texts[3]
    assert str(after(setup, TASK, WORDS, Variant(2))(3, TASK.test[3]).parts[0]) != texts[3]


def test_an_instruction_stands_before_the_query_that_it_prompts() -> None:
    setup = Setup((TASK,))
    told, both_ways = (Transfer(source, Modality.TEXT) for source in (Source.INSTRUCTION, Source.ENSEMBLE))
    [text] = after(setup, TASK, told, Variant(wording="Say y:"))(0, TASK.test[0]).parts
    assert text == f"Say y:\n\nQ:{TASK.test[0].input}\nA:"
    [both] = after(setup, TASK, both_ways, Variant(1, "Say y:"))(0, TASK.test[0]).parts
    assert str(both).startswith("Say y:\n\nQ:")
    assert str(both).count("Q:") == 6


def test_to_override_the_prompt_asks_the_other_task() -> None:
    other = Task("o", Path(), "d", "Say z:", test=tuple(Sample(s.input, (f"n{s.input}",)) for s in TASK.test))
    setup, store = Setup((TASK,), transfers=(WORDS,), layer=2, against={"t": other}), Store()
    assert alone(setup, TASK, Modality.TEXT)(0, TASK.test[0]).parts[0] == f"Say z:\n\nQ:{TASK.test[0].input}\nA:"
    evaluated(Oracle(), setup, store)
    patched = scores(store, setup)[PATCH]
    assert (patched.mean, patched.against) == (1.0, 0.0)


def test_the_ensemble_is_the_mean_of_examples_and_instruction() -> None:
    engine, setup = FakeEngine(), Setup((TASK,))
    both, examples, told = (
        read_vector(engine, setup, TASK, source, setup.variants(source, TASK)[0])
        for source in (Source.ENSEMBLE, Source.TEXT, Source.INSTRUCTION)
    )
    assert np.allclose(both.rows, (examples.rows + told.rows) / 2)


def test_fewer_samples_than_shots_are_refused() -> None:
    with pytest.raises(UsageError, match="2 validation samples with text, too few for 5 shots"):
        read_vector(FakeEngine(), Setup(()), make_task(validation=2), Source.TEXT, Variant(1))


@pytest.mark.parametrize(
    ("prediction", "labels", "paper", "strict"),
    [
        (" Kath", ["Kathmandu"], True, False),
        ("Paris, France", ["Paris"], True, True),
        ("Parisian", ["Paris"], True, False),
        ("paris", ["Paris"], False, True),
        ("", ["Paris"], False, False),
        ("  ", ["Paris"], False, False),
        ("B", ["Brasília", "Brasilia"], True, False),
        ("Brasilia", ["Brasília", "Brasilia"], True, True),
        ("London", ["Paris"], False, False),
        ("New York", ["New Delhi"], False, False),
    ],
)
def test_the_papers_metric_and_the_strict_one(prediction: str, labels: list[str], paper: bool, strict: bool) -> None:
    assert Judge(Metric.PAPER).correct(prediction, labels) is paper
    assert Judge(Metric.EXACT).correct(prediction, labels) is strict


# -- results files ----------------------------------------------------------------------------------------


class StoppedError(Exception):
    pass


def test_an_interrupted_run_resumes_without_redoing_or_losing_a_sample(tmp_path: Path) -> None:
    setup, whole = Setup((TASK,), transfers=(WORDS,)), Store()
    evaluated(Oracle(), setup, whole)
    expected = transfer_record(result(whole, setup))

    path = tmp_path / "answers.jsonl"
    calls = 0
    while True:
        engine = Oracle()

        def advance(rows: int, engine: Oracle = engine) -> None:
            if engine.calls >= 2:
                raise StoppedError

        try:
            with open_store(path, {}, resume=True) as store:
                Evaluation(engine, setup, store, Shelf(engine, setup)).run(advance)
            calls += engine.calls
            break
        except StoppedError:
            calls += engine.calls
    assert transfer_record(result(store, setup, best_layer(store, setup, WORDS))) == expected
    undisturbed = Oracle()
    evaluated(undisturbed, setup, Store())
    assert calls == undisturbed.calls
    lines = path.read_text().splitlines()
    assert len(lines) == len(set(lines))


def test_a_run_goes_on_with_its_file_where_that_is_asked_for(tmp_path: Path) -> None:
    setup, path, engine = Setup((TASK,), transfers=(WORDS,), layer=2), tmp_path / "results.jsonl", Oracle()
    first = run(Oracle(), setup, files=Files(path))
    again = run(engine, setup, files=Files(path, resume=True))
    assert (engine.calls, result_record(again)) == (0, result_record(first))
    with pytest.raises(UsageError, match="is there already; add `resume`"):
        run(engine, setup, files=Files(path))


def test_a_torn_last_line_is_dropped_and_made_again(tmp_path: Path) -> None:
    setup, path = Setup((TASK,), transfers=(WORDS,)), tmp_path / "answers.jsonl"
    with open_store(path, {}, resume=False) as store:
        evaluated(Oracle(), setup, store)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with open_store(path, {}, resume=True) as store:
        evaluated(Oracle(), setup, store)
    assert path.read_bytes() == whole


def test_a_results_file_is_not_overwritten_mixed_or_shared(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    refused = pytest.raises(UsageError, match="another run is writing")
    with open_store(path, {"shots": 5}, resume=False), refused, open_store(path, {"shots": 5}, resume=True):
        pass
    with pytest.raises(UsageError, match="add `resume`"), open_store(path, {"shots": 5}, resume=False):
        pass
    with pytest.raises(UsageError, match="was made with shots 5, not 4"), open_store(path, {"shots": 4}, resume=True):
        pass


@pytest.mark.parametrize(
    "content",
    ["hello\n", "[]\n", "{}\n", '{"format": 3}\nnonsense\n', '{"format": 3}\n{"task": "t"}\n', '{"format": 1}\n'],
)
def test_a_file_that_is_no_results_file_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(UsageError), open_store(path, {}, resume=True):
        pass
    assert path.read_text() == content


# -- the command ------------------------------------------------------------------------------------------


def test_eval_prints_a_table_csv_or_json(tv: Runner, tmp_path: Path) -> None:
    common = ["eval", "-T", "country-capital", "--limit", 6, "--seeds", "1,2", "--query", "text"]
    ran = tv(*common, "--samples", tmp_path / "a.jsonl", "--vectors", tmp_path / "vectors")
    header = ["task", "n", "majority", *Method, "patch - prompt", "patch - majority"]
    assert ran.out.splitlines()[0].split("\t") == header
    assert len(ran.out.splitlines()) == 3
    head, row, _ = tv(*common, "--csv").out.splitlines()
    assert head.startswith("data,source,query,layer,task,n,majority,majority low,majority high,no context,")
    assert head.endswith("patch - majority,patch - majority low,patch - majority high")
    assert row.startswith("tv's own data,text,text,")
    assert row.count(",") == head.count(",")
    record = json.loads(tv(*common, "--json").out)
    assert list(record["pairs"][0]["tasks"]) == ["country-capital", "average"]
    assert sorted(p.name for p in (tmp_path / "vectors").iterdir()) == [
        "country-capital.text.1.npy",
        "country-capital.text.2.npy",
    ]
    head, first, *_ = map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())
    assert (head["format"], head["model"]) == (3, "fake 6 × 16")
    assert {"task", "method", "seed", "sample", "answer", "labels", "correct", "margin", "layer"} <= set(first)
    assert not (tmp_path / "a.jsonl.lock").exists()


def test_all_pairs_of_modalities_are_evaluated(tv: Runner) -> None:
    record = json.loads(tv("eval", "-T", "food-color", "--limit", 5, "--seeds", 1, "--pairs", "all", "--json").out)
    assert [Transfer(one["source"], one["query"]) for one in record["pairs"]] == list(ALL_TRANSFERS)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-T", "nope"], 3, "there is no task 'nope'"),
        (["--seeds", "1,x"], 2, "--seeds must be numbers"),
        (["--resume"], 2, "--resume needs the --samples file"),
        (["--layer", "6"], 2, "--layer 6 is outside 0 to 5"),
        (["--limit", "3"], 2, "3 validation samples with text, too few for 5 shots"),
        (["--wording", "shouted", "--source", "instruction"], 2, "has no wordings 'shouted'"),
        (["--override"], 2, "names no task that it overrides"),
        (["--method", "magic"], 2, "--method must be one of"),
        (["--samples", "no/such/folder.jsonl"], 3, "cannot be written"),
    ],
)
def test_bad_arguments_are_one_sentence(tv: Runner, arguments: list[str], code: int, words: str) -> None:
    ran = tv("eval", "-q", *(["-T", "country-capital"] if "-T" not in arguments else []), *arguments)
    assert ran.code == code
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_samples_without_an_image_are_skipped_and_counted(tv: Runner, tmp_path: Path, picture: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    records = [
        {"input": f"x{i}", "output": "y", "split": "validation" if i < 6 else "test"}
        | ({"image": str(picture)} if i % 2 or i < 6 else {})
        for i in range(12)
    ]
    (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, records)))
    ran = tv("eval", "-T", folder, "--query", "image", "--seeds", 1, "--json")
    assert "task mine: 3 samples have no image and are skipped" in ran.err
    assert json.loads(ran.out)["pairs"][0]["tasks"]["mine"]["n"] == 3


def test_models_of_different_sizes_do_not_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VectorError, match="must have the same size"):
        run(FakeEngine(n_layer=4), Setup((TASK,), transfers=(WORDS,)), source_model=ModelRequest("fake"))


def test_vectors_are_read_in_the_other_model_when_one_is_named(tv: Runner) -> None:
    common = ["eval", "-T", "food-color", "--limit", 5, "--seeds", 1, "--query", "text", "--json"]
    own, other = (json.loads(tv(*common, *more).out) for more in ([], ["--source-model", "fake"]))
    assert other["source_model"] == other["model"]
    assert other["pairs"] == own["pairs"]


def test_kill_and_resume_end_in_the_same_table(tmp_path: Path) -> None:
    """A real `kill -9`, again and again until a run gets through."""
    path = tmp_path / "answers.jsonl"
    command = [
        sys.executable,
        "-m",
        "tvcli",
        "eval",
        "-m",
        "fake",
        "--query",
        "text",
        "--json",
        "-T",
        "country-capital",
    ]
    undisturbed = subprocess.run(command, capture_output=True, check=True).stdout
    resumed = [*command, "--samples", str(path), "--resume"]
    kills = 0
    for delay in (0.6, 0.9, 1.2, 1.5, 1.8):
        process = subprocess.Popen(resumed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        kills += process.wait() == -9
    assert kills
    assert subprocess.run(resumed, capture_output=True, check=True).stdout == undisturbed


# -- combine ----------------------------------------------------------------------------------------------


def test_combine_is_the_weighted_sum(tv: Runner, pairs_file: Path, tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in ("a.npy", "b.npy", "c.npy"))
    tv("extract", "-e", pairs_file, "-o", a)
    tv("extract", "--instruction", "x:", "-o", b)
    assert tv("combine", a, b, "-o", c).code == 0
    assert np.allclose(load(c).rows, (load(a).rows + load(b).rows) / 2, atol=1e-6)
    assert tv("combine", a, b, "-w", "1,-2.5", "-o", c).code == 0
    assert np.allclose(load(c).rows, load(a).rows - 2.5 * load(b).rows, atol=1e-5)
    assert [part["weight"] for part in load(c).provenance.parts] == [1.0, -2.5]
    assert tv("combine", a, "-", "-o", "-", stdin=b.read_bytes()).raw[:6] == b"\x93NUMPY"


@pytest.mark.parametrize(
    "option", [["-w", "-1,.5"], ["-w-1,.5"], ["--weights", "-1,.5"], ["--weights=-1,.5"], ["-w", " -1 , +5e-1 "]]
)
def test_a_negative_weight_is_no_option(tv: Runner, vector: TaskVector, tmp_path: Path, option: list[str]) -> None:
    save(vector, tmp_path / "v.npy")
    ran = tv("combine", *option, tmp_path / "v.npy", "-", "-o", "-", stdin=to_bytes(vector * 4))
    combined = load(ran.raw)
    assert np.array_equal(combined.rows, vector.rows)
    inner = {"weight": 4.0, "vector": vector.provenance.to_json()}
    assert [part["weight"] for part in combined.provenance.parts] == [-1.0, 0.5]
    assert combined.provenance.parts[1]["vector"]["parts"] == [inner]  # a combination of a combination


@pytest.mark.parametrize("weights", ["1", "1,2,3", "a,b", "nan,1", "inf,1", ""])
def test_combine_refuses_weights_that_do_not_fit(tv: Runner, pairs_file: Path, tmp_path: Path, weights: str) -> None:
    a = tmp_path / "a.npy"
    tv("extract", "-e", pairs_file, "-o", a)
    ran = tv("combine", a, a, "-w", weights, "-o", tmp_path / "c.npy")
    assert ran.code == 2
    assert "weights" in ran.err
    assert not (tmp_path / "c.npy").exists()


# -- the paper --------------------------------------------------------------------------------------------


def test_paper_lists_its_tables_and_refuses_unknown_ones(tv: Runner) -> None:
    names = [line.split("\t")[0] for line in tv("paper").out.splitlines()[1:]]
    assert {"table2", "table3", "table4", "table5", "table7", "table9", "table10", "table12", "figure6"} <= set(names)
    assert tv("paper", "table99").code == 2


@pytest.mark.parametrize(
    "name",
    [
        "table2",
        "table3",
        "table4",
        "table5",
        "table6",
        "table9",
        "table10",
        "table12",
        "figure2",
        "figure4",
        "figure5",
        "figure6",
        "figure8",
    ],
)
def test_every_table_runs_and_resumes(tv: Runner, tmp_path: Path, name: str) -> None:
    arguments = ["paper", name, "--json", "--limit", 6, "--seeds", "1,2", "-o", tmp_path / "answers"]
    first = tv(*arguments)
    assert first.code == 0
    record = json.loads(first.out)
    assert record["name"] == name
    assert record["rows"]
    assert tv(*arguments).out == first.out
