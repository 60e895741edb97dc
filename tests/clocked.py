"""A fake engine that takes known times, on a clock that only it moves: what is planned can be held against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tvcli.engine.counting import CountingEngine
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Patch
from tvcli.images import AnyImage
from tvcli.paper.rates import COUNTED, Rates
from tvcli.prompts.prompt import Prompt
from tvcli.timing import Spent

SECONDS = dict(zip(COUNTED, (0.02, 0.001, 0.004, 0.002, 1e-6, 0.003, 0.5), strict=True))


@dataclass
class Clock:
    """`cpu` runs twice as fast as `wall`, as with two threads."""

    seconds: float = 0.0
    rates: Rates = field(
        default_factory=lambda: Rates(np.array([list(SECONDS.values()), [2 * s for s in SECONDS.values()]]))
    )

    def now(self) -> Spent:
        return Spent(self.seconds, 2 * self.seconds)


class Clocked(FakeEngine):
    """Moves the clock by what its work takes."""

    def __init__(self, clock: Clock, **more: Any) -> None:
        super().__init__(**more)
        self.clock = clock
        self.counting = CountingEngine(FakeEngine(**more))

    def _take(self, name: str, *given: Any) -> None:
        before = self.clock.rates.spent(self.counting.work)
        getattr(self.counting, name)(*given)
        self.clock.seconds += (self.clock.rates.spent(self.counting.work) - before).wall

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        self._take("read", prompts, patch)
        return super().read(prompts, patch)

    def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
        self._take("logits", prompts, patches)
        return super().logits(prompts, patches)

    def answer(self, prompts: Sequence[Prompt], *given: Any) -> Any:
        self._take("answer", prompts, *given)
        return FakeEngine().answer(prompts, *given)

    def forget(self, image: AnyImage) -> None:
        self.counting.forget(image)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of `Spent.now`."""
    made = Clock()
    monkeypatch.setattr(Spent, "now", made.now)
    return made
