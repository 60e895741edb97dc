"""Every option does something, or is refused in a sentence: what is empty, given twice, or without effect."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Runner

from tvcli.cli import app
from tvcli.cli.commands.strict import MAY_BE_EMPTY, StrictCommand
from tvcli.errors import UsageError
from tvcli.models.opening import open_model
from tvcli.vector import TaskVector, save


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name in inner:
        yield from commands(inner[name], *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))
PARAMETERS = [(path, parameter) for path, command in COMMANDS.items() for parameter in command.params]


def longest(parameter: Any) -> str:
    return str(max(parameter.opts, key=len))


def required(path: tuple[str, ...], but: Any) -> list[str]:
    """What a command cannot do without, apart from one parameter."""
    words: list[str] = []
    for parameter in COMMANDS[path].params:
        if parameter.required and parameter is not but:
            words += ["x"] if not parameter.opts[0].startswith("-") else [longest(parameter), "x"]
    return words


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_is_strict(path: tuple[str, ...]) -> None:
    assert isinstance(COMMANDS[path], StrictCommand)


# -- empty ------------------------------------------------------------------------------------------------

TAKES = [(path, p) for path, p in PARAMETERS if p.opts[0].startswith("-") and not getattr(p, "is_flag", False)]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [(path, p) for path, p in TAKES if p.name not in MAY_BE_EMPTY],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else longest(value),
)
def test_no_option_of_any_command_may_be_empty(tv: Runner, path: tuple[str, ...], parameter: Any) -> None:
    for words in ([longest(parameter), ""], [f"{longest(parameter)}="], [min(parameter.opts, key=len), ""]):
        ran = tv(*path, *required(path, parameter), *words)
        assert (ran.code, ran.out, ran.err) == (2, "", f"tv: {longest(parameter)} is empty\n")


@pytest.mark.parametrize(
    ("path", "parameter"),
    [(path, p) for path, p in PARAMETERS if not p.opts[0].startswith("-")],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value.name),
)
def test_no_argument_of_any_command_may_be_empty(tv: Runner, path: tuple[str, ...], parameter: Any) -> None:
    arguments = [p for p in COMMANDS[path].params if p.required and not p.opts[0].startswith("-")]
    before = len(arguments[: arguments.index(parameter)]) if parameter in arguments else 0
    words = required(path, parameter)
    ran = tv(*path, *words[:before], "", *words[before:])
    assert (ran.code, ran.err) == (2, f"tv: {parameter.name.upper()} is empty\n")


def test_one_of_several_names_may_not_be_empty_either(tv: Runner, picture: Path) -> None:
    assert tv("prompt", "-i", picture, "").err == "tv: --image is empty\n"
    assert tv("prompt", "-t", "x", "-t", "").err == "tv: --text is empty\n"
    assert tv("combine", "a.npy", "", "-o", "b.npy").err == "tv: VECTORS is empty\n"


def test_an_empty_system_text_is_none(tv: Runner) -> None:
    assert tv("prompt", "-t", "x", "--system", "").out == tv("prompt", "-t", "x").out != ""


def test_from_python_no_model_is_meant_by_an_empty_name() -> None:
    with pytest.raises(UsageError, match="`model` is empty"):
        open_model("")


# -- twice ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "parameter"),
    [(path, p) for path, p in TAKES if not p.multiple],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else longest(value),
)
def test_what_takes_one_value_is_not_given_two(tv: Runner, path: tuple[str, ...], parameter: Any) -> None:
    name, short = longest(parameter), min(parameter.opts, key=len)
    ran = tv(*path, *required(path, parameter), name, "1", short, "1")
    assert (ran.code, ran.err) == (2, f"tv: {name} is given 2 times; it takes one value\n")


def test_pictures_that_a_shell_expands_are_not_left_out_by_the_lens(tv: Runner) -> None:
    assert tv("lens", "--image", "a.png", "b.png", "c.png").err == "tv: --image is given 3 times; it takes one value\n"


def test_flags_and_lists_may_be_given_again(tv: Runner) -> None:
    assert tv("prompt", "-t", "x", "-t", "y", "--json", "--json").code == 0


# -- without effect ---------------------------------------------------------------------------------------

EVAL = ["eval", "-T", "food-color", "--query", "text", "--limit", "5"]
INSTRUCTION = [*EVAL, "--source", "instruction"]
ALONE = [*EVAL, "--method", "no context"]
PROMPT = [*EVAL, "--method", "prompt"]
OF_MODEL = {
    "--model": "fake",
    "--mmproj": "m",
    "--context": "512",
    "--threads": "1",
    "--gpu-layers": "1",
    "--rpc": "h:1",
    "--lora": "a.gguf",
}
PICTURE = ["--picture", "paper"]
IDLE: list[tuple[list[str], list[str], str]] = [
    (["apply", "v.npy", "-t", "x"], ["--modality", "text"], "without --queries"),
    (["apply", "v.npy", "-t", "x", "-q"], ["--verbose"], "with --quiet"),
    (["apply", "v.npy", "-t", "x", "--gpu-layers", "0"], ["--rpc", "h:1"], "with --gpu-layers 0"),
    (["apply", "v.npy", "-t", "x"], PICTURE, "without --image or --images-from or --queries"),
    (["prompt", "-t", "x"], PICTURE, "without --image or --images-from or --queries or --examples"),
    (["prompt", "-t", "x"], ["--shots", "5"], "without --examples"),
    (["prompt", "-t", "x"], ["--seed", "1"], "without --examples"),
    (["prompt", "-t", "x"], ["--modality", "image"], "without --examples or --queries"),
    (["compare", "v.npy", "w.npy"], ["--layer", "99"], "with two vectors"),
    *(
        (["extract", "--instruction", "x", "-o", "o.npy"], option, "without --examples")
        for option in (["--modality", "text"], ["--shots", "5"], ["--prompts", "3"], ["--seed", "1"], PICTURE)
    ),
    (["lens", "-t", "x"], ["--source", "text"], "without --task"),
    (["lens", "-t", "x"], ["--view", "words"], "without --task"),
    (["lens", "-t", "x"], ["--sets", "5"], "without --task"),
    (["lens", "-T", "food-color"], ["--top", "5"], "with --task"),
    (["lens", "-t", "x"], PICTURE, "without --image or --task"),
    (["lens", "-T", "food-color"], PICTURE, "with --source text"),
    (["map", "--source", "text"], PICTURE, "with --source text"),
    *((["show", "v.npy"], [*option], "without --decode") for option in OF_MODEL.items()),
    *(
        (["paper"], [*option], "without the name of a table or figure")
        for option in [
            *OF_MODEL.items(),
            ("--data", "paper"),
            PICTURE,
            ("--task", "food-color"),
            ("--seeds", "1"),
            ("--limit", "5"),
            ("--one-layer",),
            ("--llm", "fake"),
            ("--judge", "sh"),
            ("--output", "o"),
            ("--plan",),
        ]
    ),
    (INSTRUCTION, ["--seeds", "1"], "with --source instruction"),
    (INSTRUCTION, ["--shots", "5"], "with --source instruction"),
    (INSTRUCTION, ["--prompts", "5"], "with --source instruction"),
    *(
        (ALONE, option, "where only 'no context' is measured")
        for option in (["--source", "text"], ["--seeds", "1"], ["--shots", "5"], ["--wording", "typo"])
    ),
    (PROMPT, ["--prompts", "5"], "without the method patch, or --vectors"),
    (PROMPT, ["--source-model", "fake"], "without the method patch, or --vectors"),
    (PROMPT, ["--layer", "1"], "without the method patch"),
    (EVAL, PICTURE, "where neither examples nor queries are images"),
    (EVAL, ["--wording", "typo"], "without --source instruction or ensemble"),
    ([*EVAL, "--json"], ["--csv"], "with --json"),
    ([*EVAL, "--judge", "sh"], ["--metric", "exact"], "with --judge"),
    ([*EVAL, "--judge", "sh"], ["--ignore-case"], "with --judge"),
    *(
        (["tasks", "import", *files, "-o", "task", *given], option, when)
        for files in (["vqav2", "q", "a", "i"], ["okvqa", "q", "a", "i"], ["aokvqa", "a", "i"])
        for given, option, when in [
            (["--ask"], ["--second-questions", "q"], "without --override"),
            (["--ask"], ["--second-annotations", "a"], "without --override"),
            (["--override"], ["--ask"], "with --override"),
            (["--override", "--instruction", "x"], ["--second-questions", "q"], "with --instruction"),
            (["--override", "--instruction", "x"], ["--second-annotations", "a"], "with --instruction"),
            (["--ask"], ["--instruction", "x"], "with --ask"),
        ]
    ),
]


@pytest.fixture
def here(tmp_path: Path, vector: TaskVector, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(vector, "v.npy")
    save(vector, "w.npy")
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("words", "option", "when"), IDLE, ids=str)
def test_an_option_that_does_nothing_is_refused(tv: Runner, words: list[str], option: list[str], when: str) -> None:
    ran = tv(*words, *option)
    assert (ran.code, ran.out, ran.err) == (2, "", f"tv: {option[0]} does nothing {when}\n")


def test_every_rule_has_its_example() -> None:
    rules = {
        (" ".join(path), f"--{rule.option.replace('_', '-')}", rule.when)
        for path, command in COMMANDS.items()
        for rule in getattr(command.callback, "idle", ())
    }
    shared = {("--rpc", "with --gpu-layers 0"), ("--verbose", "with --quiet")}
    own = {rule for rule in rules if rule[1:] not in shared}
    assert {rule[1:] for rule in rules} >= shared
    paths = [" ".join(path) for path in COMMANDS]
    tried = [(" ".join(words), option[0], when) for words, option, when in IDLE]
    assert own <= {(path, *rest) for words, *rest in tried for path in paths if f"{words} ".startswith(f"{path} ")}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "words",
    [
        ["lens", "-t", "x", "--top", "2"],
        ["compare", "v.npy", "w.npy", "v.npy", "--layer", "1"],
        ["extract", "--instruction", "x", "-o", "o.npy"],
        ["show", "v.npy", "--decode", "--model", "fake"],
        ["paper", "--json"],
        [*PROMPT, "--prompts", "5", "--seeds", "1", "--vectors", "kept"],
        [*PROMPT, "--source-model", "fake", "--seeds", "1", "--vectors", "kept"],
        [*ALONE, "--source", "text", "--seeds", "1", "--vectors", "kept"],
        [*EVAL, "--source", "ensemble", "--wording", "typo", "--seeds", "1", "--layer", "1"],
    ],
    ids=str,
)
def test_where_it_does_something_it_is_taken(tv: Runner, words: list[str]) -> None:
    ran = tv(*words)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["paper", "table2", "--llm", "fake"], "--llm does nothing for table2; it is for table3 and figure5"),
        (["models", "info", "picto", "--quant", "Q8_0"], "--quant needs a repository on the hub"),
        (["models", "path", "gemma3-270m", "--quant", "Q8_0"], "gemma3-270m is not one"),
        (["models", "pull", "./x.gguf", "--quant", "Q8_0"], "--quant needs a repository"),
        (["models", "path", "o/r:Q8_0", "--quant", "Q4_0"], "o/r:Q8_0 asks for Q8_0, and --quant for Q4_0"),
        (["models", "pull", "picto", "--verify"], "--verify needs a model on the hub; picto is not one"),
        ([*EVAL, "--layer", "1", "--plot", "x.png"], "--plot draws the accuracy over layers"),
        ([*EVAL, "--pairs", "all"], "remove --source and --query"),
        ([*EVAL, "--resume"], "--resume needs the --samples file"),
        (["prompt", "-t", "x", "-0"], "--null needs --images-from"),
        (["lens", "-t", "x", "--plot", "x.png"], "--plot draws the curves of --task"),
        (["extract", "--instruction", "x", "-o", "x.npy", "--select-layer"], "--select-layer needs --examples"),
        (["tasks", "pull", "--images", "x"], "--annotations and --images must be given together"),
    ],
    ids=str,
)
def test_an_option_that_does_nothing_by_value_is_refused_too(tv: Runner, words: list[str], said: str) -> None:
    ran = tv(*words)
    assert ran.code == 2
    assert said in ran.err


def test_help_and_completion_ask_for_no_sense(tv: Runner) -> None:
    assert tv("lens", "--help", "-t", "x").code == 0
    command = COMMANDS["lens",]
    words = ["--text", "", "--text", "x", "--top", "3"]
    assert command.make_context("lens", words, resilient_parsing=True).params["text"] == "x"
