"""A task, an engine that keeps what it reads, and a progress that keeps what passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Patch
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Modality
from tvcli.prompts.prompt import Prompt

SAMPLES = tuple(Sample(f"x{i}", (f"y{i}", "other")) for i in range(8))
EXAMPLES = [sample.example(Modality.TEXT) for sample in SAMPLES]
MADE_TASK = Task("made-capital", Path(), "d", "Say:", validation=SAMPLES, test=(Sample("never", ("read",)),))


def parts(prompts: Sequence[Prompt]) -> list[list[str | bytes]]:
    """What prompts are made of; pictures by their pixels."""
    return [[part if isinstance(part, str) else part.digest for part in prompt.parts] for prompt in prompts]


class Listening(FakeEngine):
    """Keeps the prompts that are read, and how many a call."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Prompt] = []

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        assert len(prompts) == 1  # a residual then does not depend on its neighbors
        self.seen += prompts
        return super().read(prompts, patch)


def listed(seen: list[Any]) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """A progress that keeps what passes."""

    def progress(items: Sequence[Any]) -> Iterable[Any]:
        for item in items:
            seen.append(item)
            yield item

    return progress
