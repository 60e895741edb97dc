"""``tv paper --plan``: what the items would take."""

from __future__ import annotations

from collections.abc import Sequence

from tvcli.cli.output import out
from tvcli.engine.counting import Work
from tvcli.paper.items import ITEMS
from tvcli.paper.plan import Planned, plan
from tvcli.paper.study import Study
from tvcli.timing import Spent, rounded

HEADER = ("item", "answers", "there", "tokens", "rows", "encodings", "time")
TOTAL = "together"
NOTE = (
    "What several items need is counted in the first of them. answers: of the evaluations; there: of those, how many "
    "the output folder has. tokens: prefilled. rows: positions with logits. encodings: images, or tiles of them. "
    "The time is computed from a few measurements on this machine; other programs that run beside tv change it"
)


def show(study: Study, names: Sequence[str], begun: Spent, *, json: bool) -> None:
    """`begun` is when the model began to load."""
    started = Spent.now() - begun
    planned = plan(study, {name: ITEMS[name].make for name in names}, study.opened, out.meter)
    every = [*planned, _together(planned, started)]
    if json:
        for one in every:
            out.record(_record(one))
        return
    model = study.engine.model.name
    out.table(f"plan: {study.data}; {model} on this machine", HEADER, [_row(one) for one in every])
    for one in planned:
        if one.skipped:
            out.note(f"{one.name} cannot be made: {one.skipped}")
    out.note(NOTE)


def _together(planned: Sequence[Planned], started: Spent) -> Planned:
    """All items, and the time until the first starts."""
    return Planned(
        TOTAL,
        sum((one.work for one in planned), Work()),
        sum(one.answers for one in planned),
        sum(one.there for one in planned),
        sum(one.processes for one in planned),
        sum((one.spent for one in planned), started),
    )


def _row(one: Planned) -> list[str]:
    counts = (one.answers, one.there, one.work.tokens, one.work.rows, one.work.encodings)
    return [one.name, *(f"{count:,}" for count in counts), rounded(one.spent.wall)]


def _record(one: Planned) -> dict[str, object]:
    return {
        "name": one.name,
        "answers": one.answers,
        "there": one.there,
        "tokens": one.work.tokens,
        "rows": one.work.rows,
        "encodings": one.work.encodings,
        "processes": one.processes,
        "seconds": round(one.spent.wall, 2),
        "cpu_seconds": round(one.spent.cpu, 2),
        "skipped": one.skipped,
    }
