"""The paper's table 3 (per task: table 11): vectors of the language model that a VLM was made from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvcli.errors import NotApplicableError
from tvcli.evaluation.cells import accuracy, constant, difference, legend
from tvcli.evaluation.results import AVERAGE, MAJORITY
from tvcli.evaluation.setup import Variant
from tvcli.inputs.tasks import Task
from tvcli.kinds import Method, Source
from tvcli.method.similarity import similarity
from tvcli.paper.numbers import paper_numbers, paper_rows
from tvcli.paper.registry import item
from tvcli.paper.study import Study, Table


@item("table3", "vectors from the language model, patched into the VLM; per task, table 11", "the VLM's language model")
def table3(study: Study) -> Table:
    """At the layer of the VLM's own vectors, as in the paper's code, and at the layer that is best for the LLM's."""
    if study.llm is None:
        raise NotApplicableError("table 3 needs the model's own language model; name it with `llm`")
    own, layer, setup = study.table2(), study.layer(), replace(study.setup(), methods=(Method.PATCH,))
    [other] = study.evaluate("table3", replace(setup, layer=layer), of_llm=True)
    [free] = study.evaluate("table3-own-layer", setup, of_llm=True, own_layer=True)
    cosines = {task.name: cosine(study, task, layer) for task in study.tasks}
    cosines[AVERAGE] = float(np.mean(list(cosines.values())))
    rows = [
        (
            name,
            str(row.n),
            constant(row),
            accuracy(row.scores[Method.PATCH]),
            accuracy(own.rows[name].scores[Method.PATCH]),
            difference(row.minus(Method.PATCH, own.rows[name], Method.PATCH)),
            accuracy(free.rows[name].scores[Method.PATCH]),
            f"{cosines[name]:.2f}",
        )
        for name, row in other.rows.items()
    ]
    papers = paper_rows(study, "table3", ("", "", "llm", "vlm", "", "", ""))
    known = paper_numbers()["table3"]["cosine"]
    note = (
        f"{study.data}; vectors read with {study.llm}, patched at the VLM's layer, {layer}, and at their own,"
        f" {free.layer}; cosine at layer {layer}, in the paper {known['lowest']} to {known['highest']}"
    )
    header = ("task", "n", MAJORITY, "from the LLM", "from the VLM", "LLM - VLM", "from the LLM, own layer", "cosine")
    return Table(header, (*rows, *papers), note, legend=legend(other))


def cosine(study: Study, task: Task, layer: int) -> float:
    """Between the two models' vectors of a task at a layer, mean over seeds."""
    pairs = (
        [cache.get(task, Source.TEXT, Variant(seed)) for cache in (study.vector_cache, study.llm_vectors)]
        for seed in study.seeds
    )
    return float(np.mean([similarity(pair)[layer, 0, 1] for pair in pairs]))
