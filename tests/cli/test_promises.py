"""What the pages and the help promise in words, where no other test holds it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from conftest import DATA, PAIRS, ROOT, Ran, Runner, started

import tvcli
from tvcli.cli import app
from tvcli.cli.commands.options import EvaluationOptions, QueryOptions
from tvcli.engine.fake import FakeEngine
from tvcli.engine.gguf.control_vector import save as save_control_vector
from tvcli.kinds import Method, Modality, Source
from tvcli.metrics import Metric
from tvcli.models.opening import ModelRequest
from tvcli.paper.items import ITEMS
from tvcli.vector import TaskVector, save

FILES, MEASURE, MODELS = (
    " ".join((ROOT / "docs" / page).read_text("utf-8").split())
    for page in ("reference/files.md", "how-to/measure.md", "how-to/models.md")
)
SMALL = ["-T", "food-color", "--limit", "5", "--seeds", "1"]


def asked(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Every prompt that a method of the fake engine is given from here on, as text."""
    prompts: list[str] = []
    method = getattr(FakeEngine, name)

    def hear(self: FakeEngine, given: Any, *rest: Any, **named: Any) -> Any:
        prompts.extend("".join(part if isinstance(part, str) else "<image>" for part in one.parts) for one in given)
        return method(self, given, *rest, **named)

    monkeypatch.setattr(FakeEngine, name, hear)
    return prompts


# -- the shots are five -----------------------------------------------------------------------------------


def test_a_vector_is_read_at_the_fifth_example_whose_answer_is_not_in_the_prompt(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = asked(monkeypatch, "read")
    assert tv("extract", "-e", DATA / "capitals.txt", "-o", tmp_path / "v.npy").code == 0
    lines = (DATA / "capitals.txt").read_text("utf-8").split()
    assert 0 < len(prompts) <= len(lines)
    for prompt in prompts:
        assert (prompt.count("Q:"), prompt.count("A:"), prompt[-2:]) == (5, 5, "A:")
        assert len(re.findall(r"A:\S", prompt)) == 4


@pytest.mark.parametrize("limit", [[], ["--limit", 20], ["--limit", 5], ["--limit", 1]])
def test_prompt_is_the_query_after_five_examples_whatever_the_limit(
    tv: Runner, monkeypatch: pytest.MonkeyPatch, limit: list[Any]
) -> None:
    prompts = asked(monkeypatch, "answer")
    command = ["eval", "-T", "country-capital", "--query", "text", "--method", "prompt", "--seeds", 1]
    assert tv(*command, *limit).code == 0
    assert {(prompt.count("Q:"), len(re.findall(r"A:\S", prompt))) for prompt in prompts} == {(6, 5)}
    if limit:
        assert len(prompts) == limit[1]


def test_the_defaults_are_those_that_the_help_and_the_readme_say() -> None:
    evaluation, query = EvaluationOptions(), QueryOptions()
    assert (evaluation.shots, evaluation.seeds, evaluation.metric) == (5, "1,2,3", Metric.PAPER)
    assert (evaluation.source, evaluation.query, evaluation.method, evaluation.pairs) == (None, None, None, "one")
    assert (query.max_tokens, query.multiline, query.modality) == (16, False, Modality.TEXT)
    assert "the query after five examples" in MEASURE
    assert "means over three seeds" in MEASURE


# -- files ------------------------------------------------------------------------------------------------

ENDINGS = {"LF": "\n", "CR LF": "\r\n", "CR": "\r"}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pairs_and_queries_have_any_line_endings(tv: Runner, tmp_path: Path, ending: str, encoding: str) -> None:
    path = tmp_path / "pairs.txt"
    path.write_bytes("".join(f"{x}\t{y}{ending}" for x, y in PAIRS).encode(encoding))
    assert [(pair.input, pair.output) for pair in tvcli.read_examples(str(path))] == PAIRS
    names = [x for x, _ in PAIRS]
    for ran in (tv("prompt", "--queries", path), tv("prompt", "--queries", "-", stdin=path.read_bytes())):
        assert ran.code == 0
        assert [line.split("\t")[0] for line in ran.out.splitlines()] == names
    records = "".join(json.dumps({"input": x, "output": y}) + ending for x, y in PAIRS).encode(encoding)
    (tmp_path / "pairs.jsonl").write_bytes(records)
    assert [pair.input for pair in tvcli.read_examples(str(tmp_path / "pairs.jsonl"))] == names


def test_a_vector_is_two_arrays_and_the_first_alone_is_one_too(tv: Runner, tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    assert tv("extract", "--instruction", "x", "-o", path).code == 0
    with path.open("rb") as file:
        rows, metadata = np.load(file), np.load(file)
        assert file.read() == b""
    assert (rows.dtype, rows.shape, metadata.dtype) == (np.float32, (6, 16), np.uint8)
    told = json.loads(metadata.tobytes().decode("utf-8"))
    assert {"model", "source", "template", "delimiter", "prompts", "shots", "seed", "layer"} <= told.keys()
    np.save(tmp_path / "bare.npy", rows)
    assert tv("apply", tmp_path / "bare.npy", "-t", "x").out == tv("apply", path, "-t", "x").out != ""


def test_an_answer_in_json_has_the_keys_of_its_page(tv: Runner, picture: Path) -> None:
    [sentence] = re.findall(r"\*\*`--json`\*\*: one object per line, with (.*?)\. ", FILES)
    keys = re.findall(r"`(\w+)`", sentence)
    for ran in (tv("prompt", "-t", "x", "-i", picture, "--json"), tv("prompt", "-t", "x", "--json")):
        for line in ran.out.splitlines():
            assert list(json.loads(line)) == keys


# -- `-` --------------------------------------------------------------------------------------------------


def words(command: Any, *path: str) -> list[tuple[str, str, str]]:
    """Command, parameter and its help, of every command."""
    if not hasattr(command, "commands"):
        return [(" ".join(path), parameter.name, getattr(parameter, "help", "") or "") for parameter in command.params]
    return [found for name, inner in command.commands.items() for found in words(inner, *path, name)]


HELP = words(typer.main.get_command(app))
PIPED: dict[tuple[str, str], Callable[[Runner, bytes, bytes, bytes, bytes], Ran]] = {
    ("apply", "vector"): lambda tv, v, p, g, q: tv("apply", "-", "-t", "x", stdin=v),
    ("apply", "image"): lambda tv, v, p, g, q: tv("apply", "v.npy", "-i", "-", stdin=p),
    ("apply", "images_from"): lambda tv, v, p, g, q: tv("apply", "v.npy", "--images-from", "-", stdin=b"picture.png"),
    ("apply", "queries"): lambda tv, v, p, g, q: tv("apply", "v.npy", "--queries", "-", stdin=q),
    ("prompt", "image"): lambda tv, v, p, g, q: tv("prompt", "-i", "-", stdin=p),
    ("prompt", "images_from"): lambda tv, v, p, g, q: tv("prompt", "--images-from", "-", stdin=b"picture.png"),
    ("prompt", "queries"): lambda tv, v, p, g, q: tv("prompt", "--queries", "-", stdin=q),
    ("extract", "output"): lambda tv, v, p, g, q: tv("extract", "--instruction", "x", "-o", "-"),
    ("combine", "vectors"): lambda tv, v, p, g, q: tv("combine", "-", "v.npy", "-o", "o.npy", stdin=v),
    ("combine", "output"): lambda tv, v, p, g, q: tv("combine", "v.npy", "-o", "-"),
    ("compare", "vectors"): lambda tv, v, p, g, q: tv("compare", "v.npy", "-", stdin=v),
    ("export", "vector"): lambda tv, v, p, g, q: tv("export", "-", "--control-vector", "o.gguf", stdin=v),
    ("export", "control_vector"): lambda tv, v, p, g, q: tv("export", "v.npy", "--control-vector", "-"),
    ("import", "file"): lambda tv, v, p, g, q: tv("import", "-", "-o", "o.npy", stdin=g),
    ("import", "output"): lambda tv, v, p, g, q: tv("import", "c.gguf", "-o", "-"),
    ("show", "vector"): lambda tv, v, p, g, q: tv("show", "-", stdin=v),
    ("lens", "vector"): lambda tv, v, p, g, q: tv("lens", "--vector", "-", stdin=v),
    ("lens", "image"): lambda tv, v, p, g, q: tv("lens", "-i", "-", stdin=p),
    ("report", "output"): lambda tv, v, p, g, q: tv("report", *SMALL, "-o", "-"),
}


def test_every_dash_that_the_help_names_is_tried() -> None:
    assert {
        (command, name) for command, name, said in HELP if re.search(r"(^|\s)- for std(in|out)|- for one", said)
    } == (PIPED.keys())


@pytest.mark.parametrize("case", PIPED, ids=" ".join)
def test_a_dash_is_standard_input_or_output(
    tv: Runner, vector: TaskVector, picture: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, str]
) -> None:
    monkeypatch.chdir(picture.parent)
    save(vector, "v.npy")
    save_control_vector(vector, "c.gguf")
    ran = PIPED[case](tv, Path("v.npy").read_bytes(), picture.read_bytes(), Path("c.gguf").read_bytes(), b"Cuba\n")
    assert ran.code == 0, ran.err
    assert not Path("-").exists()
    if case[1] in ("output", "control_vector"):
        assert ran.raw
    assert ran.out or Path("o.npy").exists() or Path("o.gguf").exists()


def test_examples_come_from_standard_input_too(tv: Runner, tmp_path: Path) -> None:
    pairs = "".join(f"{x}\t{y}\n" for x, y in PAIRS).encode()
    assert tv("prompt", "-t", "Cuba", "-e", "-", stdin=pairs).code == 0
    assert tv("extract", "-e", "-", "-o", tmp_path / "v.npy", stdin=pairs).code == 0


# -- what goes where --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo"],
        ["apply", "v.npy", "-t", "x"],
        ["prompt", "-t", "x"],
        ["show", "v.npy"],
        ["compare", "v.npy", "v.npy"],
        ["lens", "-t", "x"],
        ["lens", "-T", "food-color"],
        ["map", "-T", "food-color", "--limit", "5", "--method", "pca"],
        ["eval", *SMALL, "--query", "text"],
        ["paper", "table2", *SMALL],
        ["models", "list"],
        ["models", "info", "picto"],
        ["tasks", "list"],
        ["tasks", "show", "food-color"],
    ],
    ids=" ".join,
)
def test_data_go_to_stdout_and_nothing_else_does(
    tv: Runner, vector: TaskVector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """The same data with and without the notes; and with --json, where there is that, every line is an object."""
    monkeypatch.chdir(tmp_path)
    save(vector, "v.npy")
    ran = tv(*arguments)
    assert (ran.code, bool(ran.out)) == (0, True)
    options = tv(
        *[word for word in arguments if not word.startswith("-")][: 2 if arguments[0] in ("models", "tasks") else 1],
        "--help",
    )
    if "--quiet" in options.out:
        quiet = tv(*arguments, "-q")
        assert quiet.out == ran.out
        assert all(line.startswith("warning: ") for line in quiet.err.splitlines())
    if "--json" in options.out:
        lines = tv(*arguments, "--json").out.splitlines()
        assert lines
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_a_line_is_written_at_once(tmp_path: Path) -> None:
    """So that processes may share a file: one line longer than a pipe's atomic write, whole in one `write`."""
    path = tmp_path / "answers"
    text = "x" * 20_000
    with path.open("ab") as file:
        runs = [started("prompt", "-q", "-t", text, "-t", text, "--json", stdout=file) for _ in range(3)]
        assert [run.wait(60) for run in runs] == [0, 0, 0]
    assert [json.loads(line)["input"] for line in path.read_text().splitlines()] == [text] * 6


def test_verbose_tracebacks_only_with_tv_debug(tv: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in tv("show", "none.npy", "-v").err
    monkeypatch.setenv("TV_DEBUG", "1")
    assert "Traceback" in tv("show", "none.npy").err


# -- words of the pages that stand for lists in the code --------------------------------------------------


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("--source text|image|instruction|ensemble", set(Source)),
        ("--query text|image", set(Modality)),
        ("--modality text|image", set(Modality)),
    ],
)
def test_the_pages_name_all_values(text: str, known: set[str]) -> None:
    assert text in MEASURE + FILES
    assert set(text.split()[1].split("|")) == known


def test_the_page_names_the_methods_and_metrics() -> None:
    assert all(f"*{method}*" in MEASURE for method in Method)
    assert f"`--metric {Metric.EXACT}`" in MEASURE


def test_picto_knows_as_many_drawings_as_its_card_says() -> None:
    rows = (ROOT / "models/picto/recipe/classes.tsv").read_text("utf-8").splitlines()
    [said] = set(re.findall(r"drawings of (\d+)", MODELS + (ROOT / "README.md").read_text("utf-8")))
    assert len([row for row in rows if row.strip()]) - 1 == int(said)


def test_the_examples_of_the_tour_are_not_among_the_pairs() -> None:
    known = {pair.input for pair in tvcli.read_examples(str(DATA / "capitals.txt"))}
    assert not known & {"France", "Italy", "Japan", "Egypt", "Brazil"}
    assert {path.stem for path in (DATA / "flags").glob("*.png")} >= {"fr", "jp"}


def test_paper_without_a_name_lists_all_items_also_as_json(tv: Runner) -> None:
    assert [line.split("\t")[0] for line in tv("paper").out.splitlines()[1:]] == list(ITEMS)
    assert [json.loads(line)["name"] for line in tv("paper", "--json").out.splitlines()] == list(ITEMS)


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda: tvcli.open_model("a\0b.gguf"),
        lambda: tvcli.open_model("~nobody-of-that-name/x.gguf"),
        lambda: tvcli.open_model(""),
        lambda: tvcli.load_image("a\0b"),
        lambda: tvcli.load("a\0b"),
        lambda: tvcli.save(TaskVector(np.ones((6, 16), np.float32)), "a\0b"),
        lambda: tvcli.save(TaskVector(np.ones((6, 16), np.float32)), "n" * 300),
        lambda: tvcli.save(TaskVector(np.ones((6, 16), np.float32)), "."),
        lambda: tvcli.read_examples("a\0b"),
        lambda: ModelRequest("fake\0").open(),
    ],
)
def test_from_python_errors_are_tvs_own(call: Callable[[], object]) -> None:
    with pytest.raises(tvcli.TvError):
        call()


def test_a_home_that_nobody_has_is_a_name_like_any_other(tv: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tv("prompt", "-t", "x", "-m", "~nobody-of-that-name/x.gguf")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "~nobody-of-that-name/x.gguf cannot be read" in ran.err


def test_each_exit_code_means_what_the_readme_says(tv: Runner, picture: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.ones((6, 17), np.float32))
    assert tv("prompt", "-t", "x").code == 0
    assert tv("tasks", "check", "tasks").code != 0
    assert tv("prompt", "--nothing").code == 2
    assert tv("prompt", "-i", picture, tmp_path / "none.png").code == 3
    assert tv("apply", tmp_path / "wide.npy", "-t", "x").code == 4
