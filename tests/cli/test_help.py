"""Help that teaches: every command has examples, and each of them runs."""

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from conftest import PAIRS, Ran, Runner
from parsing import parse
from PIL import Image as Pillow

from tvcli.cli import app, main
from tvcli.engine.gguf.control_vector import save as save_control_vector
from tvcli.inputs.tasks import find_task
from tvcli.vector import TaskVector, save

NEED_MORE = ("tv tasks pull", "tv tasks import", "tv models pull", "tv models add", "tv doctor")  # only parsed
WIDTH = 78  # of help on a terminal of 80 columns


def commands(group: typer.Typer, path: str = "tv") -> Iterator[tuple[str, str]]:
    """Every command with its docstring."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{path} {command.name or command.callback.__name__}", inspect.getdoc(command.callback) or ""
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, f"{path} {inner.name}")


def examples(docstring: str) -> list[str]:
    return re.findall(r"^ *(?:Examples?: )?(tv .+)$", docstring, re.MULTILINE)


COMMANDS = dict(commands(app))
EXAMPLES = [example for docstring in COMMANDS.values() for example in examples(docstring)]


@pytest.fixture
def folder(tmp_path: Path, vector: TaskVector, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples find the files that they name."""
    monkeypatch.chdir(tmp_path)
    Path("pairs.txt").write_text("".join(f"{x}\t{y}\n" for x, y in PAIRS))
    Path("queries.txt").write_text("Norway\n@flag.png\n")
    Path("flags").mkdir()
    for path in ("flag.png", "flags/fr.png", "flags/it.png"):
        Pillow.new("RGB", (8, 6), (200, 30, 60)).save(path)
    for number, name in enumerate(("capital", "currency", "difference", "instruction")):
        save(vector * (number + 1.0), f"{name}.npy")
    save_control_vector(vector, "capital.gguf")
    Path("my-task").symlink_to(find_task("country-capital").folder)
    return tmp_path


def expanded(word: str) -> list[str]:
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


def run(tv: Runner, line: str) -> Ran:
    """A pipeline of tv commands, with the shell's ``*`` and ``<``."""
    data = b""
    for stage in line.split(" | "):
        words, _, source = stage.partition(" < ")
        arguments = [name for word in shlex.split(words)[1:] for name in expanded(word)]
        ran = tv(*arguments, stdin=Path(source).read_bytes() if source else data)
        assert ran.code == 0, (stage, ran.err)
        data = ran.raw
    return ran


def test_an_example_that_is_only_parsed_is_still_checked() -> None:
    parse("tv tasks pull -o x")
    with pytest.raises(typer.TyperException, match="No such option"):
        parse("tv tasks pull --nowhere x")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_of_itself_that_fit_a_terminal(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*name.split()[1:], "--help"]) == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    found = examples(COMMANDS[name])
    assert found
    assert any(f"{name} " in f"{example} " for example in found)
    assert set(found) <= set(shown) | {line.removeprefix("Example: ") for line in shown}
    _, *more = COMMANDS[name].split("\n\n")  # only the first paragraph is filled
    assert all(len(line) <= WIDTH for paragraph in more for line in paragraph.splitlines())


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(tv: Runner, folder: Path, example: str) -> None:
    if example.startswith(NEED_MORE):
        parse(example)
    else:
        ran = run(tv, example)
        assert ran.out or ran.err


def test_tv_alone_says_where_to_start(tv: Runner) -> None:
    ran = tv()
    assert (ran.code, ran.out) == (2, "")
    assert "start with: tv demo\n" in ran.err
    assert "tv --help" in ran.err


@pytest.mark.parametrize("group", ["tasks", "tasks import", "models"])
def test_a_group_alone_prints_its_help_and_no_error(group: str, tv: Runner) -> None:
    ran = tv(*group.split())
    assert (ran.code, ran.err) == (2, "")
    assert f"Usage: tv {group} " in ran.out


def test_options_are_grouped(tv: Runner) -> None:
    text = tv("apply", "--help").out
    places = [text.index(f"─ {group} ─") for group in ("Arguments", "Options", "Queries", "Output", "Model")]
    assert places == sorted(places)
