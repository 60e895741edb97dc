"""What the paper's items would take, before they are made.

Each item's own function runs on a `CountingEngine`, with the answers that the folder already has. So evaluations that
items share are counted once, and what is resumed is not counted. Of the time, what the engine would take is computed
from its measured rates; what the item's own code takes (decoding images, rendering prompts, intervals) is what it
took here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from tvcli.engine.counting import CountingEngine, Work
from tvcli.errors import NotApplicableError
from tvcli.images import Image
from tvcli.kinds import Modality, Split
from tvcli.models.catalog import FAKE, wanted_model
from tvcli.models.opening import Model, ModelRequest, opened_by
from tvcli.models.resolve import describe, is_here
from tvcli.paper.memory import measured_by
from tvcli.paper.rates import measure
from tvcli.paper.registry import Make
from tvcli.paper.study import Study
from tvcli.progress import Meter, silent
from tvcli.timing import Spent

IMAGES = 3  # to measure the encoder with


@dataclass(frozen=True)
class Planned:
    """What an item would take beyond those before it; `skipped` is why it cannot be made.

    `answers` are those of its evaluations, `there` those of them that the folder has; `processes` are further ones,
    which load the model again.
    """

    name: str
    work: Work
    answers: int = 0
    there: int = 0
    processes: int = 0
    spent: Spent = field(default_factory=Spent)
    skipped: str = ""


def plan(study: Study, items: Mapping[str, Make], opened: Spent, meter: Meter = silent) -> list[Planned]:
    """Plan items of a study; `opened` is the time that loading its model took.

    Raises what the items do, apart from NotApplicableError.
    """
    counting = CountingEngine(study.engine)
    dry = replace(study, engine=counting, read_only=True, meter=silent, vectors={}, done=[])
    found = []
    others = _Others(counting)
    with _quietly(), others, meter(len(items), "items counted") as advance:
        for name, make in items.items():
            found.append(_planned(dry, counting, others, name, make))
            advance(1)
    if not any(one.work.decodes for one in found):
        return found
    with _quietly():
        rates = measure(study.engine, list(_images(study)), meter)
    return [replace(one, spent=one.spent + rates.spent(one.work) + opened * one.processes) for one in found]


def _planned(study: Study, counting: CountingEngine, others: _Others, name: str, make: Make) -> Planned:
    work, inside, processes = counting.work + Work(), others.inside, others.processes
    answers, there, started = study.answers, study.there, Spent.now()
    skipped = ""
    try:
        make(study)
    except NotApplicableError as error:
        skipped = str(error)
    own = Spent.now() - started - (others.inside - inside)
    return Planned(
        name,
        counting.work - work,
        study.answers - answers,
        study.there - there,
        others.processes - processes,
        own,
        skipped,
    )


class _Others:
    """What items start besides the study's engine, in a ``with`` block: other models, which are loaded if they are on
    this machine and then count too, and processes, which are not started."""

    def __init__(self, counting: CountingEngine) -> None:
        self.processes = 0
        self._study, self._engines = counting, [counting]
        self._resources = ExitStack()

    @property
    def inside(self) -> Spent:
        return sum((engine.inside for engine in self._engines), Spent())

    def __enter__(self) -> _Others:
        self._resources.enter_context(opened_by(self._open))
        self._resources.enter_context(measured_by(self._measure))
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _open(self, request: ModelRequest) -> Model:
        wanted = wanted_model(request.name)
        if wanted == FAKE or is_here(describe(wanted)):
            model = request.load()
            self._resources.callback(model.close)
        else:  # of the same size, or its vectors would not fit
            model = Model(self._study.real, wanted)
            self.processes += 1
        counting = CountingEngine(model.engine, self._study.work)
        self._engines.append(counting)
        return replace(model, engine=counting)

    def _measure(self, command: Sequence[str]) -> float:
        self.processes += 1
        return 1.0


def _images(study: Study) -> Iterator[Image]:
    """A few of the study's images, of different tasks if possible."""
    if not study.engine.has_vision:
        return
    firsts = (task.samples(Split.VALIDATION, Modality.IMAGE)[:1] for task in study.tasks)
    for sample in islice((sample for some in firsts for sample in some), IMAGES):
        image = sample.load(Modality.IMAGE)
        if isinstance(image, Image):
            yield image


@contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings of what answers would mean: there are none."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
