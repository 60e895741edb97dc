"""From answers to numbers: what a constant reaches, intervals, differences, and files that answer for other data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Runner

from tvcli.cli.work.records import score_record
from tvcli.engine.fake import FakeEngine
from tvcli.evaluation.bootstrap import RESAMPLES, Interval, interval, resampled
from tvcli.evaluation.cells import accuracy, difference, method_cells, method_header, short_matches
from tvcli.evaluation.results import AVERAGE, MAJORITY, Difference, Score, majority, transfer_result
from tvcli.evaluation.setup import Setup, Transfer, Variant
from tvcli.evaluation.store import Cell, Record, Store
from tvcli.inputs.tasks import OTHER_DATA, OWN_DATA, PAPERS_DATA, Sample, Task, find_task, load_task, whose_data
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.metrics import Judge, Metric
from tvcli.models.opening import ModelRequest
from tvcli.paper.study import Study

NO_CONTEXT, PROMPT, PATCH = Method
WORDS = Transfer(Source.TEXT, Modality.TEXT)


def task(name: str, validation: Sequence[tuple[str, ...]], test: Sequence[tuple[str, ...]]) -> Task:
    """A task of labels alone."""
    splits = [tuple(Sample(f"x{i}", labels) for i, labels in enumerate(split)) for split in (validation, test)]
    return Task(name, Path(), "d", "Say y:", validation=splits[0], test=splits[1])


def answered(tasks: Sequence[Task], hits: dict[str, dict[Method, list[list[int]]]], layer: int = 2) -> Store:
    """A store in which the methods are right as `hits` says: by task and method, for each seed, each query."""
    store = Store()
    for one in tasks:
        for method, seeds in hits[one.name].items():
            for seed, row in enumerate(seeds, 1):
                cell = Cell(one.name, Source.TEXT, Modality.TEXT, method, Split.TEST, Variant(seed))
                if method == NO_CONTEXT:
                    cell = Cell(one.name, None, Modality.TEXT, method, Split.TEST)
                for number, (right, sample) in enumerate(zip(row, one.test, strict=True)):
                    answer = sample.outputs[0] if right else "wrong"
                    at = layer if method == PATCH else None
                    store.add([Record(cell, number, at, sample.input, sample.outputs, answer, bool(right), 1.0)])
    return store


def setup(*tasks: Task, **more: object) -> Setup:
    return Setup(tasks, transfers=(WORDS,), seeds=(1, 2), **more)  # type: ignore[arg-type]


FOUR = [("a",), ("b",), ("a", "c"), ("d",)]


# -- the majority ---------------------------------------------------------------------------------------------


def test_the_majority_is_the_best_constant_on_validation_and_is_scored_on_test() -> None:
    one = task("t", [("a",), ("b",), ("b",)], [("a",), ("a",), ("b",), ("a",)])
    assert majority(setup(one), one, Modality.TEXT) == "b"
    store = answered([one], {"t": {m: [[0] * 4] * 2 for m in (PROMPT, PATCH)} | {NO_CONTEXT: [[0] * 4]}})
    row = transfer_result(store, setup(one), WORDS, 2).rows["t"]
    assert (row.constant, row.scores[MAJORITY].mean) == ("b", 0.25)
    assert row.scores[MAJORITY].std is None


def test_any_accepted_label_can_be_the_majority_and_the_metric_decides() -> None:
    one = task("t", [("a", "zz"), ("b", "zz"), ("c",)], FOUR)
    assert majority(setup(one), one, Modality.TEXT) == "zz"
    letters = task("t", [("c",), ("cub",), ("kid",), ("kid",)], FOUR)  # "c" is also right for "cub", and "cub" for "c"
    assert majority(setup(letters), letters, Modality.TEXT) == "kid"
    assert majority(setup(letters, judge=Judge(Metric.EXACT)), letters, Modality.TEXT) == "kid"
    three = task("t", [("c",), ("cub",), ("calf",), ("kid",), ("kid",)], FOUR)
    assert majority(setup(three), three, Modality.TEXT) == "c"
    cased = task("t", [("Red",), ("red",), ("red",), ("blue",), ("blue",), ("blue",)], FOUR)
    assert majority(setup(cased), cased, Modality.TEXT) == "blue"
    assert (
        majority(setup(cased, judge=Judge(ignore_case=True)), cased, Modality.TEXT) == "blue"
    )  # a tie: the commoner label


def test_a_task_without_labels_has_no_majority() -> None:
    one = Task("t", Path(), "d", "i:", pattern=".*", validation=(Sample("x", ()),), test=(Sample("y", ()),))
    store = answered([task("t", [], [("",)])], {"t": {PATCH: [[1], [1]]}})
    row = transfer_result(store, setup(one, methods=(PATCH,)), WORDS, 2).rows["t"]
    assert MAJORITY not in row.scores
    assert method_cells(row, (PATCH,))[1] == ""


# -- intervals ------------------------------------------------------------------------------------------------


def test_an_interval_has_the_width_that_theory_gives() -> None:
    """Of a share p of n queries the standard error is sqrt(p (1 - p) / n), and the interval 1.96 of them each way."""
    hits = np.array([[1.0] * 30 + [0.0] * 70])
    found = interval(resampled(hits, "t")[:, 0])
    error = 1.96 * np.sqrt(0.3 * 0.7 / 100)
    assert found.low == pytest.approx(0.3 - error, abs=0.02)
    assert found.high == pytest.approx(0.3 + error, abs=0.02)


def test_the_same_answers_give_the_same_interval_and_other_queries_are_drawn_independently() -> None:
    values = np.random.default_rng(0).random((2, 50))
    assert np.array_equal(resampled(values, "t"), resampled(values, "t"))
    one, other = resampled(values[:1], "t")[:, 0], resampled(values[:1], "u")[:, 0]
    assert one.shape == (RESAMPLES,)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1


def test_differences_are_paired() -> None:
    """Two methods right on the same queries but one differ by little, however uncertain each is."""
    one = task("t", FOUR * 10, FOUR * 10)
    same = [i % 2 for i in range(40)]
    better = [1, *same[1:]]
    store = answered([one], {"t": {PROMPT: [same] * 2, PATCH: [better] * 2, NO_CONTEXT: [[0] * 40]}})
    row = transfer_result(store, setup(one), WORDS, 2).rows["t"]
    gain = row.differences[PATCH, PROMPT]
    assert gain.mean == pytest.approx(1 / 40)
    assert gain.interval.low == 0
    assert gain.interval.high < 0.1
    assert row.scores[PATCH].interval.high - row.scores[PATCH].interval.low > 0.25
    against = row.differences[PATCH, MAJORITY]
    assert against.mean == pytest.approx(row.scores[PATCH].mean - row.scores[MAJORITY].mean)


def test_seeds_lie_within_queries() -> None:
    """Many seeds on few queries do not make the interval narrower: they are asked the same queries."""
    one = task("t", FOUR, FOUR)
    hits = [[1, 0, 0, 0]] * 2
    store = answered([one], {"t": {PATCH: hits}})
    few = transfer_result(store, setup(one, methods=(PATCH,)), WORDS, 2).rows["t"].scores[PATCH].interval
    assert (few.low, few.high) == (0.0, 0.75)


def test_the_spread_of_an_average_is_that_of_the_per_seed_averages() -> None:
    """Two tasks that go up and down against each other: each spreads, their average does not."""
    tasks = [task(name, FOUR, FOUR) for name in ("t", "u")]
    hits = {"t": {PATCH: [[1, 1, 0, 0], [0, 0, 0, 0]]}, "u": {PATCH: [[0, 0, 0, 0], [1, 1, 0, 0]]}}
    rows = transfer_result(answered(tasks, hits), setup(*tasks, methods=(PATCH,)), WORDS, 2).rows
    assert rows["t"].scores[PATCH].std == pytest.approx(np.std([0.5, 0], ddof=1))
    assert rows[AVERAGE].scores[PATCH].std == 0
    assert (rows[AVERAGE].n, rows[AVERAGE].scores[PATCH].mean) == (8, 0.25)
    assert rows[AVERAGE].constant == ""


def test_one_seed_has_no_spread() -> None:
    one = task("t", FOUR, FOUR)
    single = Setup((one,), transfers=(WORDS,), seeds=(1,), methods=(PATCH,))
    found = transfer_result(answered([one], {"t": {PATCH: [[1, 0, 0, 0]]}}), single, WORDS, 2).rows["t"].scores[PATCH]
    assert found.std is None
    assert "±" not in accuracy(found)
    assert "std" not in score_record(found)


def test_numbers_of_two_evaluations_of_the_same_queries_can_be_subtracted() -> None:
    one = task("t", FOUR, FOUR)
    first, second = (
        transfer_result(answered([one], {"t": {PATCH: [hits] * 2}}), setup(one, methods=(PATCH,)), WORDS, 2).rows["t"]
        for hits in ([1, 1, 1, 0], [1, 1, 0, 0])
    )
    gain = first.minus(PATCH, second, PATCH)
    assert (gain.mean, gain.interval.low) == (0.25, 0.0)
    assert first.minus(PATCH, first, PATCH).interval == Interval(0, 0)


# -- in words -------------------------------------------------------------------------------------------------


def test_a_difference_that_could_be_nothing_says_so() -> None:
    assert difference(Difference(0.04, Interval(-0.03, 0.11))) == "+0.04 [-0.03, +0.11] includes 0"
    assert difference(Difference(-0.1, Interval(-0.2, -0.01))) == "-0.10 [-0.20, -0.01]"
    assert accuracy(Score(0.18, Interval(0.12, 0.25), std=0.02)) == "0.18 ±0.02 [0.12, 0.25]"


def test_a_table_has_its_columns_in_one_order() -> None:
    assert method_header((NO_CONTEXT, PATCH)) == [
        "n",
        "majority",
        "no context",
        "patch",
        "patch - majority",
    ]
    assert method_header((PROMPT,)) == ["n", "majority", "prompt"]


@pytest.mark.parametrize(
    ("answer", "labels", "short"),
    [
        (" c", ("calf",), True),
        (" ca", ("calf",), True),
        (" cal", ("calf",), False),
        ("ox", ("ox",), False),  # the whole label
        (" x", ("calf",), False),  # wrong anyhow
        ("calf of a cow", ("calf",), False),
        (" K", ("kid", "K"), False),
    ],
)
def test_matches_of_one_or_two_letters_are_counted(answer: str, labels: tuple[str, ...], short: bool) -> None:
    assert Judge().short(answer, labels) is short


def test_the_share_of_short_matches_is_told() -> None:
    one = task("t", FOUR, [("calf",)] * 4)
    store = Store()
    for number, answer in enumerate(("c", "calf", "no", "ca")):
        cell = Cell("t", Source.TEXT, Modality.TEXT, PATCH, Split.TEST, Variant(1))
        record = Record(cell, number, 2, "x", ("calf",), answer, answer != "no", 1)
        store.add([record])
    found = transfer_result(store, Setup((one,), transfers=(WORDS,), seeds=(1,), methods=(PATCH,)), WORDS, 2)
    assert found.average.scores[PATCH].short == 0.5
    assert short_matches(found, (PATCH,)) == "right by a match of fewer than three letters: patch 0.50"


@pytest.mark.parametrize(
    ("answer", "cased", "ignoring"), [(" paris", False, True), (" PAR", False, True), (" Par", True, True)]
)
def test_letter_case_counts_unless_it_is_to_be_ignored(answer: str, cased: bool, ignoring: bool) -> None:
    assert Judge().correct(answer, ["Paris"]) is cased
    assert Judge(ignore_case=True).correct(answer, ["Paris"]) is ignoring


# -- whose data -----------------------------------------------------------------------------------------------


def own_task(folder: Path, name: str, pairs: Sequence[tuple[str, str]], image: Path | None = None) -> Path:
    """A task folder of words, half of them for validation; all with one picture, if it is given."""
    target = folder / name
    target.mkdir(parents=True)
    (target / "task.toml").write_text('description = "d"\ninstruction = "x:"\n')
    lines = [
        json.dumps(
            {"input": x, "output": y, "split": "validation" if i < len(pairs) // 2 else "test"}
            | ({"image": str(image)} if image else {})
        )
        for i, (x, y) in enumerate(pairs)
    ]
    (target / "examples.jsonl").write_text("\n".join(lines))
    return target


PAIRS = [(f"q{i}", f"a{i}") for i in range(20)]
EVAL = ["eval", "--query", "text", "--seeds", 1, "--json"]


def test_a_results_file_is_not_resumed_for_other_samples_of_the_same_name(tv: Runner, tmp_path: Path) -> None:
    first, second = own_task(tmp_path / "a", "mine", PAIRS), own_task(tmp_path / "b", "mine", PAIRS[::-1])
    file = tmp_path / "s.jsonl"
    assert tv(*EVAL, "-T", first, "--samples", file).code == 0
    before = file.read_bytes()
    ran = tv(*EVAL, "-T", second, "--samples", file, "--resume")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"tv: {file} has answers to other samples of the task mine; name another file\n"
    assert file.read_bytes() == before


@pytest.mark.parametrize("edit", ["inserted line", "label", "instruction", "picture"])
def test_a_results_file_is_not_resumed_after_its_task_was_edited(
    tv: Runner, tmp_path: Path, picture: Path, edit: str
) -> None:
    folder = own_task(tmp_path, "mine", PAIRS)
    samples = folder / "examples.jsonl"
    shutil.copy(picture, folder / "p.png")
    lines = samples.read_text().splitlines()
    lines[-1] = json.dumps({**json.loads(lines[-1]), "image": "p.png"})
    samples.write_text("\n".join(lines))
    file = tmp_path / "s.jsonl"
    assert tv(*EVAL, "-T", folder, "--samples", file).code == 0
    assert tv(*EVAL, "-T", folder, "--samples", file, "--resume").code == 0
    if edit == "inserted line":
        samples.write_text("\n".join([*lines[:10], '{"input": "NEW", "output": "new"}', *lines[10:]]))
    elif edit == "label":
        samples.write_text(samples.read_text().replace('"a19"', '"b19"'))
    elif edit == "instruction":
        (folder / "task.toml").write_text('description = "d"\ninstruction = "y:"\n')
    else:
        (folder / "p.png").write_bytes(picture.read_bytes() + b"\0")
    ran = tv(*EVAL, "-T", folder, "--samples", file, "--resume")
    assert ran.code == 2
    assert "has answers to other samples of the task mine" in ran.err


def test_a_results_file_is_not_resumed_by_another_version(tv: Runner, tmp_path: Path) -> None:
    folder, file = own_task(tmp_path, "mine", PAIRS), tmp_path / "s.jsonl"
    assert tv(*EVAL, "-T", folder, "--samples", file).code == 0
    first, *lines = file.read_text().splitlines()
    file.write_text("\n".join([json.dumps({**json.loads(first), "tv": "0.0.1"}), *lines]) + "\n")
    ran = tv(*EVAL, "-T", folder, "--samples", file, "--resume")
    assert ran.code == 2
    assert "was made with tv '0.0.1', not " in ran.err


def test_a_file_of_the_former_format_is_refused(tv: Runner, tmp_path: Path) -> None:
    folder, file = own_task(tmp_path, "mine", PAIRS), tmp_path / "s.jsonl"
    file.write_text('{"format": 2, "model": "fake"}\n')
    ran = tv(*EVAL, "-T", folder, "--samples", file, "--resume")
    assert (ran.code, ran.err) == (2, f"tv: {file} has the results format 2, this tv reads 3; name another file\n")


def test_tasks_may_be_added_to_a_results_file(tv: Runner, tmp_path: Path) -> None:
    one, two = own_task(tmp_path, "one", PAIRS), own_task(tmp_path, "two", PAIRS[::-1])
    file = tmp_path / "s.jsonl"
    assert tv(*EVAL, "-T", one, "--samples", file).code == 0
    lines = file.read_text().splitlines()
    assert tv(*EVAL, "-T", one, "-T", two, "--samples", file, "--resume").code == 0
    head, *records = file.read_text().splitlines()
    assert set(json.loads(head)["tasks"]) == {"one", "two"}
    assert records[: len(lines) - 1] == lines[1:]


def test_the_papers_folder_of_answers_is_not_used_for_other_data(tv: Runner, tmp_path: Path) -> None:
    """`tv paper -o` always resumes."""
    shipped = ["paper", "table2", "--json", "--limit", 6, "--seeds", 1, "-o", tmp_path / "answers"]
    other = own_task(tmp_path, "country-capital", PAIRS)
    assert tv(*shipped, "-T", "country-capital").code == 0
    ran = tv(*shipped, "-T", other)
    assert ran.code == 2
    assert "has answers to other samples of the task country-capital" in ran.err


@pytest.mark.parametrize(("name", "words"), [("mine", "the name of two tasks"), ("average", "the name of a row")])
def test_a_name_stands_for_one_row(tv: Runner, tmp_path: Path, name: str, words: str) -> None:
    folders = [own_task(tmp_path / where, name, PAIRS) for where in "ab"]
    ran = tv(*EVAL, *(part for folder in folders for part in ("-T", folder)))
    assert ran.code == 2
    assert words in ran.err


def test_every_table_says_whose_data_it_is_of(tv: Runner, tmp_path: Path) -> None:
    shipped, mine = find_task("food-color"), load_task(own_task(tmp_path, "mine", PAIRS))
    assert whose_data([shipped]) == OWN_DATA
    assert whose_data([mine]) == whose_data([shipped, mine]) == OTHER_DATA
    assert tv(*EVAL[:-1], "-T", "food-color", "--limit", 6).err.startswith("tv's own data; text → text, patched at")
    assert json.loads(tv(*EVAL, "-T", tmp_path / "mine").out)["data"] == OTHER_DATA


def test_the_papers_data_is_known_by_its_digest(tv: Runner, tmp_path: Path, picture: Path) -> None:
    folder = own_task(tmp_path, "country-capital", PAIRS, picture)
    digest = load_task(folder).digest
    toml = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(f'{toml}paper = "{digest}"\n')
    assert whose_data([load_task(folder)]) == PAPERS_DATA
    common = ["paper", "table2", "--json", "--seeds", 1, "-T", folder]
    labels = [row["task"] for row in json.loads(tv(*common).out)["rows"]]
    assert "paper: LLaVA-1.5-7B" in labels
    samples = folder / "examples.jsonl"
    samples.write_text(samples.read_text().replace('"a19"', '"b19"'))
    assert whose_data([load_task(folder)]) == OTHER_DATA
    labels = [row["task"] for row in json.loads(tv(*common).out)["rows"]]
    assert "paper: LLaVA-1.5-7B (other data)" in labels
    assert "paper: Random (other data)" in labels


def test_prompt_alone_needs_no_layer(tv: Runner) -> None:
    ran = tv("eval", "-T", "food-color", "--query", "text", "--seeds", 1, "--limit", 6, "--method", "prompt", "--json")
    [pair] = json.loads(ran.out)["pairs"]
    assert pair["layer"] is None
    assert set(pair["tasks"]["food-color"]) == {"n", "constant", "majority", "prompt"}


def test_all_pairs_leave_nothing_to_choose(tv: Runner) -> None:
    for option in (["--source", "instruction"], ["--query", "text"]):
        ran = tv("eval", "-T", "food-color", "--pairs", "all", *option)
        assert (ran.code, ran.out) == (2, "")
        assert "leave out --source and --query" in ran.err


def test_a_study_answers_again_when_the_same_item_is_asked_with_another_setup() -> None:
    one = find_task("food-color")
    study = Study(engine=FakeEngine(), request=ModelRequest("fake"), tasks=(one,), seeds=(1,), limit=6)
    prompted = replace(study.setup(), transfers=(WORDS,), methods=(PROMPT,))
    first = study.evaluate("table2", prompted)
    assert study.evaluate("another name", replace(prompted)) is first
    other = study.evaluate("table2", replace(prompted, methods=(NO_CONTEXT,)))
    assert set(other[0].average.scores) == {MAJORITY, NO_CONTEXT}
