"""A setup as JSON, and the words that it takes."""

from __future__ import annotations

from typing import Any

import pytest
from known_answers import PATCH, WORDS, made_task, setup_of

from tvcli.errors import UsageError
from tvcli.evaluation.setup import Setup, Transfer
from tvcli.kinds import Modality, Source
from tvcli.metrics import Judge, Metric


def test_a_setup_is_written_down_with_all_that_answers_depend_on() -> None:
    other = made_task("u")
    assert setup_of().to_json() == {
        "shots": 5,
        "prompts": None,
        "metric": "paper",
        "ignore_case": False,
        "layer": None,
        "limit": None,
        "template": "Q:{x}\nA:",
        "wording": "",
        "overridden": False,
        "judge": None,
        "tasks": {"t": made_task().digest},
    }
    full = setup_of(
        shots=3,
        prompts=2,
        judge=Judge(Metric.EXACT, True),
        layer=4,
        limit=7,
        wording="typo",
        against={"t": other},
        command="judge --strictly",
    )
    assert full.to_json() == {
        "shots": 3,
        "prompts": 2,
        "metric": "exact",
        "ignore_case": True,
        "layer": 4,
        "limit": 7,
        "template": "Q:{x}\nA:",
        "wording": "typo",
        "overridden": True,
        "judge": "judge --strictly",
        "tasks": {"t": made_task().digest, "u": other.digest},
    }


def test_a_setup_refuses_words_that_it_does_not_know() -> None:
    word: Any = "patsh"
    with pytest.raises(UsageError, match=r"^the method must be one of no context, prompt, patch, not 'patsh'$"):
        setup_of(methods=(PATCH, word))
    with pytest.raises(
        UsageError, match=r"^the source must be one of text, image, instruction, ensemble, not 'patsh'$"
    ):
        Transfer(word, Modality.TEXT)
    with pytest.raises(UsageError, match=r"^the modality must be one of text, image, not 'patsh'$"):
        Transfer(Source.TEXT, word)


def test_words_of_a_transfer_may_be_given_as_text() -> None:
    source, query = "ensemble", "image"
    given = Transfer(source, query)  # type: ignore[arg-type]
    assert given == Transfer(Source.ENSEMBLE, Modality.IMAGE)
    assert (given.source.modality, given.query) == (Modality.TEXT, Modality.IMAGE)
    assert str(given) == "ensemble → image"


def test_pictures_may_be_among_the_examples_or_the_queries() -> None:
    shown = {(source, query): Transfer(source, query).has_images for source in Source for query in Modality}
    assert [source for source in Source if shown[source, Modality.TEXT]] == [Source.IMAGE]
    assert all(shown[source, Modality.IMAGE] for source in Source)
    assert not setup_of().has_images
    assert Setup((), transfers=(WORDS, Transfer(Source.IMAGE, Modality.TEXT))).has_images
