"""How long an engine takes for what a `CountingEngine` counts, measured on this machine in seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tvcli.engine.counting import FEW, CountingEngine, Work
from tvcli.engine.protocol import Decoding, Engine, Patch
from tvcli.images import Image
from tvcli.method.lens import decode
from tvcli.progress import Meter, silent
from tvcli.prompts.prompt import Prompt, zero_shot
from tvcli.timing import Spent

PATCHES = 32  # rows that are decoded together, as in a sweep
LONG, LONGER = 100, 400  # words
MANY = 16  # prompts that are decoded together
ROUNDS, ENOUGH = 5, 1.5  # repeats, and seconds of them; the fastest counts, since other programs only slow down
COUNTED = ("decodes", "tokens", "rows", "few", "pairs", "probabilities", "encoded")


@dataclass(frozen=True)
class Rates:
    """Seconds for one of each of `COUNTED`: of the clock and of processors, float64 (2, 7)."""

    seconds: np.ndarray

    def spent(self, work: Work) -> Spent:
        wall, cpu = self.seconds @ _counts(work)
        return Spent(float(wall), float(cpu)) + work.prepared


@dataclass(frozen=True)
class _Sample:
    """An action on an engine, what it asks for, and how long that took."""

    work: Work
    spent: Spent


def measure(engine: Engine, images: Sequence[Image], meter: Meter = silent) -> Rates:
    """Run a few short and long prompts, with and without patches, and each of the `images` before and after it is
    encoded. The rates are the least non-negative ones that explain the times (`_fit`)."""
    actions = _actions(engine)
    samples: list[_Sample] = []
    with meter(len(actions) + len(images), "measured") as advance:
        actions[0](engine)  # the first decode also reserves memory
        for action in actions:
            samples.append(_sample(engine, action))
            advance(1)
        for image in images:
            samples += _samples_of_image(engine, image)
            advance(1)
    return _fit(samples)


def _actions(engine: Engine) -> list[Callable[[Engine], object]]:
    """Each varies one of the counts."""
    row = engine.read([zero_shot("x")])[0]
    patches = [Patch(layer % len(row), row[layer % len(row)]) for layer in range(PATCHES)]
    room = engine.limits.cells // 8  # words of up to four tokens must fit
    short, *others = [_words(3 + i % 5, i) for i in range(MANY)]
    long, longer = _words(min(LONG, room), 1), _words(min(LONGER, room), 2)
    many = [_words(min(LONG // 2, room // MANY), i) for i in range(MANY)]
    return [
        lambda one: one.answer([short], patches),
        lambda one: one.answer([short]),
        lambda one: one.answer([short], patches[:FEW]),
        lambda one: one.answer([short], patches[:FEW], Decoding(FEW, stop_at_newline=False)),
        lambda one: one.answer([short, *others], patches[:4]),
        lambda one: one.read([long]),
        lambda one: one.read([longer]),
        lambda one: one.answer(many),
        lambda one: decode(one, row),
    ]


def _words(count: int, seed: int) -> Prompt:
    return zero_shot(" ".join([f"text {seed}", *["word"] * count]))


def _sample(engine: Engine, action: Callable[[Engine], object]) -> _Sample:
    counting = CountingEngine(engine)
    action(counting)
    times = [Spent.by(lambda: action(engine))]
    while sum(spent.wall for spent in times) < ENOUGH and len(times) < ROUNDS:
        times.append(Spent.by(lambda: action(engine)))
    return _Sample(counting.work, min(times, key=lambda spent: spent.cpu))


def _samples_of_image(engine: Engine, image: Image) -> list[_Sample]:
    """The second time it is encoded already."""
    prompt, counting = zero_shot(image), CountingEngine(engine)
    engine.forget(image)
    found = []
    for _ in range(2):
        before, spent = counting.work + Work(), Spent.by(lambda: engine.answer([prompt]))
        counting.answer([prompt])
        work = counting.work - before
        found.append(_Sample(work, spent - work.prepared))
    return found


def _counts(work: Work) -> np.ndarray:
    return np.array([getattr(work, name) for name in COUNTED], float)


def _fit(samples: Sequence[_Sample]) -> Rates:
    counts = np.array([_counts(sample.work) for sample in samples])
    times = np.array([(sample.spent.wall, sample.spent.cpu) for sample in samples])
    return Rates(np.array([_not_negative(counts, column) for column in times.T]))


def _not_negative(counts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Least squares of relative errors without negative rates: those are set to 0 one by one. float64 (7,)."""
    seconds = np.maximum(seconds, 1e-6)
    weighted, used = counts / seconds[:, None], np.ones(counts.shape[1], bool)
    while True:
        rates = np.zeros(counts.shape[1])
        scale = np.maximum(weighted[:, used].max(axis=0, initial=0.0), 1e-300)  # counts differ by powers of ten
        rates[used] = np.linalg.lstsq(weighted[:, used] / scale, np.ones(len(seconds)), rcond=None)[0] / scale
        if (rates >= 0).all():
            return rates
        used[rates.argmin()] = False
