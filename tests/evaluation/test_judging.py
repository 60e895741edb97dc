"""A command judges the answers: a real one, in Python, that works, dies, is silent or writes something else."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Runner

from tvcli.errors import TvError, UnavailableError, UsageError
from tvcli.evaluation import judging
from tvcli.evaluation.judging import JudgeCommand, Verdict, arguments, open_judge

JUDGE = """
import json, sys, time
from pathlib import Path

here = Path(__file__).parent
way = (here / "way").read_text()
with (here / "started").open("a") as file:
    print(way, file=file)
held = []
for number, line in enumerate(sys.stdin):
    request = json.loads(line)
    with (here / "asked.jsonl").open("a") as file:
        file.write(line)
    verdict = {"id": request["id"], "correct": "o" in request["answer"], "why": "an o"}
    if request.get("overridden"):
        verdict["against"] = "e" in request["answer"]
    if way == "dies" and number == 20:
        print("no credit left", file=sys.stderr)
        sys.exit(7)
    if way == "silent" and number == 1:
        time.sleep(60)
    if way == "garbage":
        print("I think that it is right")
    elif way == "list":
        print("[1]")
    elif way == "words":
        print(json.dumps({"id": request["id"], "correct": "yes"}))
    elif way == "twice" and number == 1:
        print(json.dumps({**verdict, "id": 0}))
    elif way == "backwards":
        held.insert(0, json.dumps(verdict))
        if len(held) == 3:
            print("\\n".join(held))
    else:
        print(json.dumps(verdict))
if way == "more":
    print("done!")
"""
REQUESTS = [{"answer": word} for word in ("no", "yes", "one")]


class Judging:
    """The judge in a folder, and which way it goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "judge.py").write_text(JUDGE)
        self.command = shlex.join([sys.executable, str(folder / "judge.py")])
        self.goes("well")

    def goes(self, way: str) -> None:
        (self.folder / "way").write_text(way)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "asked.jsonl").read_text().splitlines()]

    @property
    def starts(self) -> int:
        path = self.folder / "started"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def judge(tmp_path: Path) -> Judging:
    (tmp_path / "judge").mkdir()
    return Judging(tmp_path / "judge")


@pytest.fixture
def running(judge: Judging) -> Iterator[JudgeCommand]:
    command = JudgeCommand(judge.command)
    yield command
    command.stop()


# -- the command alone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["well", "backwards"])
def test_each_request_gets_its_verdict_in_any_order(judge: Judging, way: str) -> None:
    judge.goes(way)
    with open_judge(judge.command) as running:
        assert running is not None
        found = dict(running.verdicts(REQUESTS))
    assert found == {i: Verdict(i, "o" in one["answer"]) for i, one in enumerate(REQUESTS)}


def test_it_is_started_once_and_only_when_it_is_asked(judge: Judging) -> None:
    with open_judge(judge.command):
        pass
    assert judge.starts == 0
    with open_judge(judge.command) as running:
        assert running is not None
        for _ in range(3):
            assert len(list(running.verdicts(REQUESTS))) == 3
    assert judge.starts == 1
    assert [one["id"] for one in judge.asked] == list(range(9))


def test_requests_larger_than_a_pipe_are_judged(running: JudgeCommand) -> None:
    large = [{"answer": "o" * 10_000} for _ in range(100)]
    assert all(verdict.correct for _, verdict in running.verdicts(large))


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("garbage", "wrote 'I think that it is right', which is no verdict;"),
        ("list", "wrote '[1]', which is no verdict: the data must be a table, not [1]"),
        ("words", "which is no verdict: the key correct cannot be 'yes'"),
        ("twice", "wrote a verdict with the id 0, which was not asked or is judged already"),
    ],
)
def test_what_is_no_verdict_is_an_error(judge: Judging, running: JudgeCommand, way: str, words: str) -> None:
    judge.goes(way)
    with pytest.raises(TvError) as caught:
        list(running.verdicts(REQUESTS))
    assert str(caught.value).startswith(f"the judge {judge.command!r} ")
    assert words in str(caught.value)


def test_a_judge_that_ends_early_is_an_error_that_has_its_last_words(judge: Judging, running: JudgeCommand) -> None:
    judge.goes("dies")
    words = r"ended with exit code 7 after 20 of 30 verdicts \(no credit left\); what it judged is kept"
    with pytest.raises(TvError, match=words):
        list(running.verdicts(REQUESTS * 10))


def test_a_judge_that_is_silent_is_not_waited_for_for_ever(
    judge: Judging, running: JudgeCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge.goes("silent")
    monkeypatch.setattr(judging, "PATIENCE", 3.0)
    with pytest.raises(TvError, match=r"was silent for 3 seconds after 1 of 3 verdicts; it must write each line at"):
        list(running.verdicts(REQUESTS))


def test_a_judge_that_writes_more_than_it_was_asked_is_an_error(judge: Judging) -> None:
    judge.goes("more")
    with open_judge(judge.command) as running:
        assert running is not None
        list(running.verdicts(REQUESTS))
        with pytest.raises(TvError, match="wrote more lines than it was asked for, such as 'done!'"):
            running.finish()


def test_no_shell_runs_and_what_cannot_run_is_refused(tmp_path: Path) -> None:
    assert arguments("echo '$HOME' > x; ls") == ["echo", "$HOME", ">", "x;", "ls"]
    with pytest.raises(UnavailableError, match="cannot be started: there is no program 'no-such-judge'"):
        arguments("no-such-judge --strict")
    with pytest.raises(UsageError, match="cannot be split into words: no closing quotation"):
        arguments("python 'judge.py")
    with pytest.raises(UsageError, match="the judge is empty"):
        arguments("  ")
    (tmp_path / "text").write_text("no program")
    with pytest.raises(UnavailableError, match="cannot be started"):
        arguments(str(tmp_path / "text"))


# -- an evaluation ----------------------------------------------------------------------------------------------


EVALUATION = ("eval", "-T", "override-factual", "--override", "--source", "instruction", "-l", 2, "--limit", 12)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_answer_is_judged_by_the_command(tv: Runner, tmp_path: Path, judge: Judging) -> None:
    ran = tv(*EVALUATION, "--judge", judge.command, "--samples", tmp_path / "s.jsonl", "--json")
    assert ran.code == 0, ran.err
    head, *records = lines_of(tmp_path / "s.jsonl")
    assert head["judge"] == judge.command
    assert len(records) == 36 == len(judge.asked)
    assert judge.starts == 1
    for record in records:
        assert (record["correct"], record["against"]) == ("o" in record["answer"], "e" in record["answer"])
    first = judge.asked[0]
    assert first["follow"] == "The last word of the official currency of the country:"
    assert first["overridden"] == "The capital city of the country:"
    assert first["labels"]
    assert first["overridden_labels"]
    assert Path(first["image"]).is_file()
    assert "method" not in first  # a judge must not know how the answer came about
    [pair] = json.loads(ran.out)["pairs"]
    rate = sum(record["correct"] for record in records if record["method"] == "patch") / 12
    assert pair["tasks"]["override-factual"]["patch"]["mean"] == pytest.approx(rate, abs=1e-4)
    assert "majority" not in pair["tasks"]["override-factual"]  # it would be judged by labels
    assert f"judged by {judge.command}" in ran.err


def test_a_judge_that_fails_loses_nothing_and_is_asked_for_the_rest(tv: Runner, tmp_path: Path, judge: Judging) -> None:
    arguments = (*EVALUATION, "--judge", judge.command, "--samples", tmp_path / "s.jsonl")
    judge.goes("dies")
    ran = tv(*arguments)
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("tv: the judge ")
    assert "no credit left" in ran.err
    assert "what it judged is kept, and --resume continues" in ran.err
    before = lines_of(tmp_path / "s.jsonl")
    assert len(before) == 1 + 20
    judge.goes("well")
    whole = tv(*arguments, "--resume", "--json")
    assert whole.code == 0
    after = lines_of(tmp_path / "s.jsonl")
    assert after[:21] == before
    assert len(after) == 1 + 36
    assert len(judge.asked) == 21 + 16
    again = tv(*arguments, "--resume", "--json")
    assert again.out == whole.out
    assert judge.starts == 2  # the third run had nothing to ask


@pytest.mark.parametrize("other", [[], ["--judge", shlex.join([sys.executable, "-c", "print(3)"])]])
def test_verdicts_of_two_judges_are_not_mixed(tv: Runner, tmp_path: Path, judge: Judging, other: list[str]) -> None:
    samples = ("--samples", tmp_path / "s.jsonl")
    assert tv(*EVALUATION, "--judge", judge.command, *samples).code == 0
    kept = (tmp_path / "s.jsonl").read_bytes()
    ran = tv(*EVALUATION, *other, *samples, "--resume")
    assert ran.code == 2
    assert "was made with judge " in ran.err
    assert (tmp_path / "s.jsonl").read_bytes() == kept


def test_the_paper_asks_a_judge_about_overriding_only(tv: Runner, judge: Judging) -> None:
    arguments = ("--limit", 6, "--seeds", 1, "--judge", judge.command, "--json")
    ran = tv("paper", "after-table5", *arguments)
    assert ran.code == 0
    assert f"judged by {judge.command}" in json.loads(ran.out)["note"]
    assert {one["task"] for one in judge.asked} == {
        f"override-{k}" for k in ("creative", "factual", "semantic", "syntax")
    }
    ran = tv("paper", "table2", *arguments)
    assert ran.code == 2
    assert "--judge does nothing for table2; it is for table5 and after-table5" in ran.err


def test_a_judge_that_is_not_there_is_refused_before_a_model_is_loaded(tv: Runner) -> None:
    ran = tv(*EVALUATION, "--judge", "no-such-judge", "-m", "no-such-model.gguf")
    assert ran.code == 3
    assert "there is no program 'no-such-judge'" in ran.err
