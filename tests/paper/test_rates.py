"""Rates are found from a few runs, and give the times of other work."""

from __future__ import annotations

import numpy as np
import pytest
from clocked import SECONDS, Clock, Clocked, clock  # noqa: F401 - a fixture

from tvcli.engine.counting import Work
from tvcli.engine.fake import FakeEngine
from tvcli.images import Image
from tvcli.paper.rates import COUNTED, measure
from tvcli.timing import Spent

PICTURES = [Image(np.full((4, 4, 3), gray, np.uint8), str(gray)) for gray in range(2)]


def test_what_was_measured_gives_the_time_of_other_work(clock: Clock) -> None:  # noqa: F811
    rates = measure(Clocked(clock), PICTURES)
    assert rates.seconds[0] == pytest.approx(list(SECONDS.values()), rel=1e-3)
    assert rates.seconds[1] == pytest.approx(2 * rates.seconds[0])
    work = Work(
        decodes=7, tokens=900, rows=120, few=40, pairs=40_000, probabilities=6, encoded=30, prepared=Spent(1.5, 2.5)
    )
    seconds = sum(SECONDS[name] * getattr(work, name) for name in COUNTED)
    assert rates.spent(work).wall == pytest.approx(seconds + 1.5, rel=1e-3)
    assert rates.spent(work).cpu == pytest.approx(2 * seconds + 2.5, rel=1e-3)


def test_a_model_without_images_is_measured_without_them(clock: Clock) -> None:  # noqa: F811
    rates = measure(Clocked(clock, vision=False), [])
    found = dict(zip(COUNTED, rates.seconds[0], strict=True))
    assert found.pop("encoded") == 0
    assert found == pytest.approx({name: SECONDS[name] for name in found}, rel=1e-3)


def test_no_rate_is_negative_whatever_the_times_are() -> None:
    rates = measure(FakeEngine(), PICTURES)
    assert (rates.seconds >= 0).all()
    assert rates.seconds.any(axis=1).all()
