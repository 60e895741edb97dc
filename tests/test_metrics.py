"""When an answer counts: the paper's metric, the strict one, letter case, patterns and short matches."""

from __future__ import annotations

import pytest
from known_answers import made_task

from tvcli.metrics import Judge, Metric, starts, whole


@pytest.mark.parametrize(
    ("prediction", "labels", "paper", "strict"),
    [
        (" Kath", ["Kathmandu"], True, False),
        ("Paris, France", ["Paris"], True, True),
        ("Parisian", ["Paris"], True, False),
        ("paris", ["Paris"], False, True),
        ("", ["Paris"], False, False),
        ("  ", ["Paris"], False, False),
        ("B", ["Brasília", "Brasilia"], True, False),
        ("Brasilia", ["Brasília", "Brasilia"], True, True),
        ("London", ["Paris"], False, False),
        ("New York", ["New Delhi"], False, False),
    ],
)
def test_the_papers_metric_and_the_strict_one(prediction: str, labels: list[str], paper: bool, strict: bool) -> None:
    assert Judge(Metric.PAPER).correct(prediction, labels) is paper
    assert Judge(Metric.EXACT).correct(prediction, labels) is strict


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


@pytest.mark.parametrize(
    ("answer", "cased", "ignoring"), [(" paris", False, True), (" PAR", False, True), (" Par", True, True)]
)
def test_letter_case_counts_unless_it_is_to_be_ignored(answer: str, cased: bool, ignoring: bool) -> None:
    assert Judge().correct(answer, ["Paris"]) is cased
    assert Judge(ignore_case=True).correct(answer, ["Paris"]) is ignoring


def test_the_metrics_compare_as_they_say() -> None:
    assert starts("Kath", "Kathmandu")
    assert starts("Kathmandu", "Kath")
    assert not starts("", "x")
    assert not starts("x", "")
    assert whole("PARIS, of course", "Paris")
    assert not whole("Parisian", "Paris")
    assert not whole("in Paris", "Paris")
    assert whole("a.b", "a.b")
    assert not whole("axb", "a.b")


def test_short_matches_and_patterns_regard_case_as_the_judge_does() -> None:
    assert not Judge().short("C", ["calf"])
    assert Judge(ignore_case=True).short(" C ", ["calf"])
    one = made_task(pattern="[a-z]+!")
    assert Judge().follows(" yes! and more", (), one.pattern)
    assert not Judge().follows("Yes", ("Yes",), one.pattern)
    assert [Judge(metric).max_tokens(task.pattern) for metric in Metric for task in (made_task(), one)] == [
        1,
        48,
        12,
        48,
    ]


def test_a_vowel_sign_belongs_to_the_word() -> None:
    """python/cpython#76379: दिल (heart) is not the whole of दिल्ली (Delhi)."""
    assert not whole("दिल्ली", "दिल")
    assert whole("दिल", "दिल")
    assert whole("दिल, दिल्ली", "दिल")


def test_a_number_is_whole_only_with_its_decimals() -> None:
    """UKGovernmentBEIS/inspect_ai#3916."""
    assert not whole("3.5", "3")
    assert not whole("1,000", "1")
    assert whole("3.5", "3.5")
    assert whole("3. It is", "3")
    assert whole("3, then 5", "3")
