"""The paper's table 7: what a prompt with 30 examples costs, against a patch."""

from __future__ import annotations

import math

from tvcli.kinds import Modality
from tvcli.paper.cost import EXAMPLES, ROUNDS, Cost, measure_cost
from tvcli.paper.numbers import paper_numbers
from tvcli.paper.registry import item
from tvcli.paper.study import Study, Table

LEGEND = (
    f"seconds: median of {ROUNDS} forward passes, in each of which the query's image is encoded. "
    "seeing: the part of them that encodes it. MB: peak resident memory of a separate process with the same options, "
    "the mapped model file included, memory of a GPU not; the paper's is memory of a GPU"
)


@item(
    "table7",
    "cost of a prompt with 30 examples against a patch",
    "one query",
    differs="memory is that of a process; in the paper, of a GPU",
)
def table7(study: Study) -> Table:
    """On an image query if the model sees, as in the paper."""
    modality = study.query_modality
    cost = measure_cost(study.engine, study.request, study.tasks[0], modality, study.meter)
    prompt, patch = cost
    rows = [
        *(_row(one) for one in cost),
        (
            "ratio",
            _ratio(prompt.tokens / patch.tokens),
            _ratio(prompt.seconds / patch.seconds),
            "",
            _ratio(prompt.megabytes / patch.megabytes),
        ),
    ]
    known = paper_numbers()["table7"]
    papers = [
        (f"paper: {name}, Idefics2-8B on a GPU", "", f"{one['seconds']:.2f}", "", str(one["megabytes"]))
        for name, one in known["cost"].items()
    ]
    ratio = ("paper: ratio", "", _ratio(known["ratio"]["seconds"]), "", _ratio(known["ratio"]["megabytes"]))
    buffers = ", ".join(sorted(set(study.engine.buffers)))
    article = "an image" if modality == Modality.IMAGE else "a text"
    note = (
        f"{article} query of {study.tasks[0].name}, {EXAMPLES} text examples in the prompt; layers in {buffers} memory"
    )
    if "image encoder" in study.engine.identity:
        note += "; the image is encoded once, outside llama.cpp, and kept on disk: the seconds are without that"
    header = ("one query", "tokens", "seconds", "seeing", "MB")
    return Table(header, (*rows, *papers, ratio), note, legend=LEGEND)


def _row(one: Cost) -> tuple[str, ...]:
    memory = "" if math.isnan(one.megabytes) else f"{one.megabytes:.0f}"
    return (one.name, str(one.tokens), f"{one.seconds:.3f}", f"{one.seeing:.3f}", memory)


def _ratio(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f} ×"
