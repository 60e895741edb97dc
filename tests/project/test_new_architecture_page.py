"""docs/new-architecture.md: its commands are commands, its Python runs, and it explains every check of `tv doctor`."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT
from parsing import parse

from tvcli.doctor.checks import CHECKS, LOADS

PAGE = (ROOT / "docs" / "new-architecture.md").read_text("utf-8")
COMMANDS = re.findall(r"^ {4}(tv .+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_tv_is_one(line: str) -> None:
    for word in parse(line):
        assert not word.startswith("tests/") or (ROOT / word).is_file()


def test_the_page_has_commands_of_all_its_steps() -> None:
    assert {line.split()[1] for line in COMMANDS} == {"doctor", "prompt", "extract", "apply"}
    assert "python -m pytest tests/engine/test_random_models.py -k NAME" in PAGE
    assert "python architectures.py NAME" in PAGE


def test_every_check_is_explained_and_in_the_order_of_the_output() -> None:
    assert re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)[1:9] == [
        *(LOADS, "one delimiter"),
        *CHECKS,
    ]


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r"`((?:tests|benchmarks|tvcli)/[\w./]+)`", PAGE)
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_its_python_shows_that_the_self_patch_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    [block] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    exec(compile(block.replace('"MODEL"', '"fake"'), "docs/new-architecture.md", "exec"), {})
    assert capsys.readouterr().out == "0.0\n"
