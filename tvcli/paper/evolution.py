"""The paper's figure 8: the probability of input, task and answer at the delimiter, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from tvcli import plots
from tvcli.evaluation.curves import Curve, curve
from tvcli.kinds import Source
from tvcli.method.phases import ANSWER, INPUT, PAPERS_INPUT, SETS, TASK, instruction_runs, phases
from tvcli.paper.registry import item
from tvcli.paper.study import Study, Table
from tvcli.progress import counted

PHASES = (INPUT, TASK, ANSWER)
LEGEND = (
    f"input: the token {PAPERS_INPUT}. task: the task's word. answer: the run's label. Mean over tasks. "
    "n: sets of examples drawn from the validation samples, or wordings of the instructions, which ask for no answer. "
    "[ ]: 95 % interval by bootstrap over them"
)


@item(
    "figure8",
    "evolution of the delimiter: input, task, answer",
    "six tasks",
    differs="a token counts with and without a leading space; which of them the paper means is not known",
)
def figure8(study: Study) -> Table:
    found = evolution(study)
    rows = [
        (source, str(curves[TASK].n), str(layer), *(curves[p].cell(layer) if p in curves else "" for p in PHASES))
        for source, curves in found.items()
        for layer in range(study.engine.model.n_layer)
    ]

    def draw(path: Path) -> None:
        series = {f"{phase}, {source}": one.mean for source, curves in found.items() for phase, one in curves.items()}
        plots.curves(path, series, x="layer", y="probability at the delimiter")

    note = f"{study.data}; highest for " + "; ".join(_highest(source, curves) for source, curves in found.items())
    return Table(("source", "n", "layer", *PHASES), tuple(rows), note, draw, legend=LEGEND)


def _highest(source: str, curves: Mapping[str, Curve]) -> str:
    return f"{source}: " + ", ".join(f"{p} at layer {one.peak} ({one.mean[one.peak]:.3f})" for p, one in curves.items())


def evolution(study: Study) -> dict[str, dict[str, Curve]]:
    """Curves by phase, for each source of prompts, from examples of the study's first seed."""
    sets = SETS if study.limit is None else min(SETS, study.limit)
    sources = [*(Source(modality) for modality in study.modalities), Source.INSTRUCTION]
    wordings = sum(len(instruction_runs(task)) for task in study.tasks)
    total = sets * len(study.tasks) * len(study.modalities) + wordings
    found: dict[str, dict[str, Curve]] = {}
    with study.meter(total, "decoded") as advance:
        progress = partial(counted, advance=advance)
        for source in sources:
            by_phase: dict[str, dict[str, np.ndarray]] = {}
            for task in study.tasks:
                values = phases(study.engine, task, source, sets=sets, seed=study.seeds[0], progress=progress)
                for phase, rows in values.items():
                    by_phase.setdefault(phase, {})[task.name] = rows
            found[str(source)] = {phase: curve(by_task) for phase, by_task in by_phase.items()}
    return found
