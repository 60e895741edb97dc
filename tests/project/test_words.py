"""One spelling, and one word for one thing: American English, the glossary of CONTRIBUTING.md, rates with "per"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
PROSE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = [
    path
    for path in sorted((ROOT / "tvcli").rglob("*"))
    if path.suffix in {".py", ".toml", ".jinja", ".h"} and "_data" not in path.parts
]
TEXTS = [*PROSE, *CODE]

BRITISH = re.compile(
    r"(?<![a-z])(?:\w*_)?("
    r"analyse|artefact|behaviour|cancelled|catalogue|centre|centring|centred|cheque|colour|defence|dialogues? box"
    r"|favour|flavour(?!ings)|fulfil(?!l)|grey|honour|judgement|labell|learnt|licence|metre|modell|neighbour|practise"
    r"|programme(?!d|r)|sceptic|spelt|towards|travell|tyre|whilst"
    r"|(?:author|capital|final|general|initial|normal|minim|maxim|optim|organ|priorit|quant|recogn|summar|token|visual)is"
    r"(?:e|es|ed|er|ing|ation)\b"
    r")",
    re.IGNORECASE,
)
# British spellings that stay: keys of formats, which must not change, and the line that explains them
KEPT = {
    "tvcli/paper/numbers.toml": "colour",  # a token in the paper's table 13
    "tvcli/cli/work/compare.py": "centre",  # centred, in a key of `tv compare --json`
    "CONTRIBUTING.md": "centre",
}
# "one a line": a rate needs "per"
RATE = re.compile(
    r"\b(?:one(?: (?:JSON )?(?:object|line|record|sample|example|pair|query|answer|name|vector|prompt|token))?"
    r"|shots|tokens|answers|prompts|pictures|rows|a bar|a line|a record) an? "
    r"(?:line|pair|row|vector|prompt|layer|seed|example|query|sample|second|panel|curve|value|split|batch)\b"
)
GLOSSARY = re.compile(r"^\| word \| meaning \|\n\|---\|---\|\n((?:\|.*\n)+)", re.MULTILINE)


def lines() -> Iterator[tuple[str, int, str]]:
    for path in TEXTS:
        name = path.relative_to(ROOT).as_posix()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            yield name, number, line


def names(path: Path) -> Iterator[str]:
    """Every identifier that a module defines or uses, and the words of its closed sets."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def words_of(identifier: str) -> set[str]:
    """``few_shot_prompts`` and ``PromptMaker`` as single words, without a plural's s."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)
    return {form for part in parts for form in (part.lower(), part.lower().removesuffix("s"))}


@cache
def words_of_the_code() -> frozenset[str]:
    modules = (path for path in CODE if path.suffix == ".py")
    return frozenset(part for path in modules for name in names(path) for part in words_of(name))


def glossary() -> list[str]:
    found = GLOSSARY.search((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert found is not None
    return [word.strip() for row in found[1].splitlines() for word in row.split("|")[1].split(",")]


def test_spelling_is_american() -> None:
    found = [
        f"{name}:{number}: {match[1]}"
        for name, number, line in lines()
        for match in BRITISH.finditer(line)
        if KEPT.get(name) != match[1].lower()
    ]
    assert not found


@pytest.mark.parametrize("name", KEPT)
def test_what_is_excepted_is_still_there(name: str) -> None:
    assert KEPT[name] in (ROOT / name).read_text("utf-8")


def test_a_rate_has_per() -> None:
    assert not [f"{name}:{number}: {found[0]}" for name, number, line in lines() if (found := RATE.search(line))]


@pytest.mark.parametrize("word", glossary())
def test_a_word_of_the_glossary_is_one_of_the_code(word: str) -> None:
    assert {word, word.removesuffix("s")} & words_of_the_code()


def test_a_picture_is_an_image_in_the_code() -> None:
    """`picture` alone is an option's name, and what it chooses."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in CODE
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(r"pictures|\b(?:a|an|the|this|that|its|each|every|one|per|no|any) picture", line, re.IGNORECASE)
    ]
    assert not found


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("one JSON object a line", True),
        ("one a line", True),
        ("write one a line", True),
        ("Tokens a layer".lower(), True),
        ("shots a prompt", True),
        ("one JSON object per line", False),
        ("Print one line per answer", False),
        ("at one layer", False),
        ("one layer by a row of a vector", False),
    ],
)
def test_the_rates_that_are_found(text: str, matches: bool) -> None:
    assert (RATE.search(text) is not None) == matches


@pytest.mark.parametrize("text", ["colour", "COLOURS", "text_colour", "centred", "Labelled", "recognised", "towards"])
def test_the_british_words_that_are_found(text: str) -> None:
    assert BRITISH.search(text)


@pytest.mark.parametrize("text", ["color", "centered", "parameter", "diameter", "programmed", "promise", "precise"])
def test_other_words_are_not_british(text: str) -> None:
    assert not BRITISH.search(text)
