"""Data as dataclasses: what each type of a field takes, and each refusal word for word."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict

import pytest

from tvcli.files import parse_json
from tvcli.schema import SchemaError, build


class Side(Enum):
    LEFT = "left"


class Pair(TypedDict):
    one: int
    other: Any


@dataclass(frozen=True)
class Inner:
    text: str
    count: int | None = None


@dataclass(frozen=True)
class Outer:
    text: str = ""
    count: int = 0
    share: float = 0.0
    flag: bool | None = None
    path: Path | None = None
    side: Side = Side.LEFT
    inner: Inner | None = None
    pair: Pair | None = None
    some: tuple[str, ...] = ()
    either: str | tuple[int, ...] = ""
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    inners: tuple[Inner, ...] = ()
    anything: Any = None


@pytest.mark.parametrize(
    ("key", "value", "made"),
    [
        ("text", "\ud800", "\ud800"),
        ("count", 10**30, 10**30),
        ("share", 1, 1.0),
        ("share", 0.5, 0.5),
        ("share", math.inf, math.inf),
        ("flag", None, None),
        ("flag", True, True),
        ("path", "a\0b", Path("a\0b")),
        ("path", None, None),
        ("side", "left", Side.LEFT),
        ("inner", None, None),
        ("inner", {"text": "a"}, Inner("a")),
        ("pair", {"one": 1, "other": [None]}, {"one": 1, "other": [None]}),
        ("some", ["a", "b"], ("a", "b")),
        ("some", [], ()),
        ("either", "a", "a"),
        ("either", [1], (1,)),
        ("lists", {"a": ["b"], "c": []}, {"a": ("b",), "c": ()}),
        ("inners", [{"text": "a", "count": 1}], (Inner("a", 1),)),
        ("anything", {"a": [1, None]}, {"a": [1, None]}),
    ],
)
def test_a_field_takes_what_its_type_says(key: str, value: object, made: object) -> None:
    found = getattr(build(Outer, {key: value}), key)
    assert (found, type(found)) == (made, type(made))


REFUSED: dict[str, list[object]] = {
    "text": [1, None, ["a"], {}],
    "count": [True, 3.0, "3", None, math.nan],
    "share": [True, "1", None],
    "flag": [0, "true", []],
    "path": [1, []],
    "side": ["right", 1, None, ["left"]],
    "some": ["a", ["a", 1], {"a": "b"}, None],
    "either": [1, ["a"], [1, True]],
    "lists": [[], "a", {"a": "b"}, {"a": ["b", 1]}],
    "inners": [{"text": "a"}],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in REFUSED.items() for value in values])
def test_a_field_takes_nothing_else(key: str, value: object) -> None:
    with pytest.raises(SchemaError) as caught:
        build(Outer, {key: value})
    assert str(caught.value) == f"the key {key} cannot be {value!r}"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "the data must be a table, not []"),
        ({"more": 1}, "unknown key more"),
        ({"a\nb\ud800": 1}, "unknown key 'a\\nb\\ud800'"),
        ({"inner": 3}, "inner must be a table, not 3"),
        ({"inner": {}}, "the key text is missing in the table inner"),
        ({"inner": {"text": "a", "more": 1}}, "unknown key more in the table inner"),
        ({"inner": {"text": "a", "count": "b"}}, "the key count in the table inner cannot be 'b'"),
        ({"inners": [{"text": "a"}, 3]}, "inners must be a table, not 3"),
        ({"inners": [{"text": 1}]}, "the key text in the table inners cannot be 1"),
        ({"pair": {"other": 1}}, "the key one is missing in the table pair"),
        ({"made": 1}, "unknown key made"),
    ],
)
def test_a_refusal_names_the_key_and_its_table(data: object, sentence: str) -> None:
    with pytest.raises(SchemaError) as caught:
        build(Outer, data)
    assert str(caught.value) == sentence


def test_what_the_caller_makes_is_not_to_be_in_the_data() -> None:
    assert build(Inner, {"count": 1}, text="a") == Inner("a", 1)
    with pytest.raises(SchemaError, match=r"^unknown key text in the table t$"):
        build(Inner, {"text": "b"}, "t", text="a")


def test_unknown_keys_can_be_left_out_at_every_depth() -> None:
    data = {"text": "a", "more": 1, "inner": {"text": "b", "more": 1}, "pair": {"one": 1, "other": 2, "more": 3}}
    assert build(Outer, data, lenient=True) == Outer("a", inner=Inner("b"), pair={"one": 1, "other": 2})


def test_the_beginning_of_a_large_value_is_said_and_nothing_of_one_that_cannot_be() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    for value, shown in (("x" * 500, f"'{'x' * 199}…"), (1 << 100_000, "this int"), (nested, "this list")):
        for key in ("flag", "share"):
            with pytest.raises(SchemaError) as caught:
                build(Outer, {key: value})
            assert str(caught.value) == f"the key {key} cannot be {shown}"


@pytest.mark.parametrize("key", ["text", "some", "lists", "inner", "inners", "either", "anything", "more"])
def test_data_of_any_depth_that_json_can_have_are_read_or_refused(key: str) -> None:
    for depth in range(500, 1100, 7):
        for opened, closed in (("[", "]"), ('{"a":', "}")):
            text = f"{json.dumps({key: None})[:-5]}{opened * depth}1{closed * depth}}}"
            with suppress(ValueError):
                build(Outer, parse_json(text))
