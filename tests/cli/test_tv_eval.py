"""`tv eval`: its table, CSV and JSON, wrong arguments, and results files that answer for other data."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import Runner

from tvcli.cli.commands.options import EvaluationOptions
from tvcli.cli.work.planning import planned
from tvcli.engine.fake import FakeEngine
from tvcli.evaluation.setup import ALL_TRANSFERS, Transfer
from tvcli.inputs.tasks import OTHER_DATA, OWN_DATA, PAPERS_DATA, find_task, load_task, whose_data
from tvcli.kinds import Method
from tvcli.models.opening import Model
from tvcli.prompts.chat import Chat

# -- the command ----------------------------------------------------------------------------------------------


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


def test_answers_to_other_pixels_are_not_resumed(tv: Runner, tmp_path: Path) -> None:
    common = ["eval", "-T", "food-color", "--limit", 5, "--seeds", 1, "--samples", tmp_path / "a.jsonl"]
    first = tv(*common, "--picture", "paper")
    assert "; images as in the paper's code\n" in first.err
    assert tv(*common, "--picture", "paper", "--resume").out == first.out
    other = tv(*common, "--resume")
    assert (other.code, other.out) == (2, "")
    assert "was made with picture 'paper', not 'model'; name another file" in other.err


@pytest.mark.parametrize(
    ("options", "picture"),
    [([], "model"), (["--picture", "paper"], "paper"), (["--query", "text"], None), (["--pairs", "all"], "model")],
)
def test_the_record_says_which_pixels_of_images_were_used(tv: Runner, options: list[str], picture: str | None) -> None:
    record = json.loads(tv("eval", "-T", "food-color", "--limit", 5, "--seeds", 1, *options, "--json").out)
    assert record["picture"] == picture


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-T", "nope"], 3, "unknown task 'nope'"),
        (["--seeds", "1,x"], 2, "--seeds must be comma-separated integers"),
        (["--seeds", "1_0"], 2, "--seeds must be comma-separated integers"),
        (["--resume"], 2, "--resume needs the --samples file"),
        (["--layer", "6"], 2, "--layer 6 is outside 0 to 5"),
        (["--wording", "shouted", "--source", "instruction"], 2, "has no wordings of kind 'shouted'"),
        (["--override"], 2, "does not name the task that it overrides"),
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
    assert ran.err == f"tv: {file} has answers for other samples of the task mine; name another file\n"
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
    assert "has answers for other samples of the task mine" in ran.err


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
    other = tmp_path / "country-capital"
    source = find_task("country-capital").folder
    shutil.copytree(source, other)
    (tmp_path / "images").symlink_to(source.parent / "images")
    toml = (other / "task.toml").read_text("utf-8")
    (other / "task.toml").write_text(toml.replace('instruction = "', 'instruction = "Say: '), encoding="utf-8")
    assert tv(*shipped, "-T", "country-capital").code == 0
    ran = tv(*shipped, "-T", other)
    assert ran.code == 2
    assert "has answers for other samples of the task country-capital" in ran.err


@pytest.mark.parametrize(("name", "words"), [("mine", "the name of two tasks"), ("average", "the name of a table row")])
def test_a_name_stands_for_one_row(tv: Runner, tmp_path: Path, name: str, words: str) -> None:
    folders = [own_task(tmp_path / where, name, PAIRS) for where in "ab"]
    ran = tv(*EVAL, *(part for folder in folders for part in ("-T", folder)))
    assert ran.code == 2
    assert words in ran.err


def test_every_table_says_whose_data_it_is_of(tv: Runner, tmp_path: Path) -> None:
    shipped, mine = find_task("food-color"), load_task(own_task(tmp_path, "mine", PAIRS))
    assert whose_data([shipped]) == OWN_DATA
    assert whose_data([mine]) == whose_data([shipped, mine]) == OTHER_DATA
    assert "\ntv's own data; text → text, patched at" in tv(*EVAL[:-1], "-T", "food-color", "--limit", 6).err
    assert json.loads(tv(*EVAL, "-T", tmp_path / "mine").out)["data"] == OTHER_DATA


def test_the_papers_data_is_known_by_its_digest(tv: Runner, tmp_path: Path, picture: Path) -> None:
    folder = own_task(tmp_path, "country-capital", PAIRS, picture)
    digest = load_task(folder).digest
    toml = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(f'{toml}paper = "{digest}"\n')
    assert whose_data([load_task(folder)]) == PAPERS_DATA
    common = ["paper", "table2", "--json", "--seeds", 1, "-T", folder]
    labels = [row["task"] for row in json.loads(tv(*common).out)["rows"]]
    assert "paper: LLaVA-1.5-7B, average" in labels
    samples = folder / "examples.jsonl"
    samples.write_text(samples.read_text().replace('"a19"', '"b19"'))
    assert whose_data([load_task(folder)]) == OTHER_DATA
    labels = [row["task"] for row in json.loads(tv(*common).out)["rows"]]
    assert "paper: LLaVA-1.5-7B (other data), average" in labels
    assert "paper: Random (other data), average" in labels


def test_prompt_alone_needs_no_layer(tv: Runner) -> None:
    ran = tv("eval", "-T", "food-color", "--query", "text", "--seeds", 1, "--limit", 6, "--method", "prompt", "--json")
    [pair] = json.loads(ran.out)["pairs"]
    assert pair["layer"] is None
    assert set(pair["tasks"]["food-color"]) == {"n", "constant", "majority", "prompt"}


def test_all_pairs_leave_nothing_to_choose(tv: Runner) -> None:
    for option in (["--source", "instruction"], ["--query", "text"]):
        ran = tv("eval", "-T", "food-color", "--pairs", "all", *option)
        assert (ran.code, ran.out) == (2, "")
        assert "remove --source and --query" in ran.err


def test_a_model_without_a_chat_template_says_which_one_it_gets(tv: Runner) -> None:
    chat = [*EVAL, "--limit", "2", "--method", "prompt", "--chat"]
    assert "chat template of fake: ChatML, since the model has no template" in tv(*chat).err
    own = FakeEngine()
    own.chat_template = Chat("{% for m in messages %}{{ m.content }}{% endfor %}A:")
    for engine, known, name in ((FakeEngine(), "vicuna", "chat: vicuna"), (own, "vicuna", "chat")):
        options = EvaluationOptions(chat=True)
        assert planned(options, [])(Model(engine, "m", template=known)).template.name == name
