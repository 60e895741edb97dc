"""The paper's figures as numbers and, with matplotlib, as plots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tvcli import plots
from tvcli.engine.protocol import Decoding, Engine, Patch
from tvcli.errors import NotApplicableError
from tvcli.evaluation.cells import accuracy, constant, legend
from tvcli.evaluation.prompts import few_shot_prompts
from tvcli.evaluation.results import MAJORITY, TransferResult
from tvcli.evaluation.setup import Setup, Variant
from tvcli.kinds import Method, Source, Split
from tvcli.method.projection import collect, project, silhouette
from tvcli.method.similarity import similarity
from tvcli.metrics import Judge
from tvcli.paper.registry import item
from tvcli.paper.study import Study, Table
from tvcli.prompts.prompt import Prompt, zero_shot
from tvcli.vector import TaskVector

PROMPTS = 10  # per task and modality, in figure 2
EXAMPLES = 4  # per task, in figure 4
SHOTS = 5


@item(
    "figure2",
    "map of task vectors and context tokens",
    "six tasks",
    differs="adds silhouettes",
)
def figure2(study: Study) -> Table:
    layer = study.layer()
    both = collect(study.engine, study.tasks, study.modalities, layer, limit=PROMPTS, seed=study.seeds[0])
    names = ("task vectors", "context tokens")
    rows = [
        (name, f"{silhouette(points.rows, points.tasks):.2f}", f"{silhouette(points.rows, points.modalities):.2f}")
        for name, points in zip(names, both, strict=True)
    ]
    method = plots.projection()

    def draw(path: Path) -> None:
        panels = {n: project(p.rows, method, study.seeds[0]) for n, p in zip(names, both, strict=True)}
        plots.maps(path, panels, both[0].tasks, both[0].modalities, title=f"{method}, layer {layer}")

    note = f"silhouette at layer {layer}: in the paper, vectors cluster by task, context tokens by modality"
    return Table(("points", "by task", "by modality"), tuple(rows), note, draw)


@item("figure4", "examples of the three methods", "six tasks")
def figure4(study: Study) -> Table:
    """The first test queries of each task, answered by the three methods with the prompts of table 2."""
    layer, modality, seed, setup = study.layer(), study.query_modality, study.seeds[0], study.setup()
    [transfer] = setup.transfers
    rows, images = [], []
    for task in study.tasks:
        patch = Patch.of(study.vector(task, Source.TEXT, Variant(seed)), layer)
        make_prompt = few_shot_prompts(setup, task, transfer, Variant(seed))
        for number, sample in enumerate(setup.samples(task, Split.TEST, modality)[:EXAMPLES]):
            bare = zero_shot(sample.load(modality))
            asked = ((bare, None), (make_prompt(number, sample), None), (bare, patch))
            answers = (_answer(study.engine, *one) for one in asked)
            rows.append((task.name, sample.input, *answers, sample.outputs[0]))
            images.append(sample.image)
    header = ("task", "query", *Method, "label")
    return Table(header, tuple(rows), f"{study.data}; text vectors, patched at layer {layer}", images=tuple(images))


def _answer(engine: Engine, prompt: Prompt, patch: Patch | None) -> str:
    return engine.answer([prompt], [patch], Decoding(6))[0][0].text.strip()


@item(
    "figure5",
    "similarity of text and image, LLM and VLM vectors",
    "six tasks",
    differs="adds cosines after centering; vectors of the first seed",
)
def figure5(study: Study) -> Table:
    if not study.engine.has_vision and study.llm is None:
        raise NotApplicableError(
            "figure 5 needs a model with an image encoder, or its language model; name it with `llm`"
        )
    seed = study.seeds[0]
    series: dict[str, np.ndarray] = {}
    text = [study.vector(task, Source.TEXT, Variant(seed)) for task in study.tasks]
    if study.engine.has_vision:
        image = [study.vector(task, Source.IMAGE, Variant(seed)) for task in study.tasks]
        series |= _cosines("text and image vectors", text, image)
    if study.llm is not None:
        other = [study.llm_vectors.get(task, Source.TEXT, Variant(seed)) for task in study.tasks]
        series |= _cosines("LLM and VLM vectors", text, other)
    rows = [(name, *(f"{value:.2f}" for value in values)) for name, values in series.items()]
    layers = tuple(str(layer) for layer in range(study.engine.model.n_layer))

    def draw(path: Path) -> None:
        plots.curves(path, series, x="layer", y="cosine similarity")

    note = "mean over tasks of the cosine between a task's two vectors; centered by the mean of all vectors"
    return Table(("vectors", *layers), tuple(rows), note, draw)


def _cosines(name: str, ones: list[TaskVector], others: list[TaskVector]) -> dict[str, np.ndarray]:
    """Same task against each other, raw and centered, and different tasks centered, float64 (L,) each."""
    count = len(ones)
    together = [*ones, *others]
    raw, centered = (
        similarity(together)[:, :count, count:],
        similarity(together, centered=len(together) > 2)[:, :count, count:],
    )
    same = np.eye(count, dtype=bool)
    curves = {f"{name}, same task": raw[:, same].mean(1), f"{name}, same task, centered": centered[:, same].mean(1)}
    if count > 1:
        curves[f"{name}, other task, centered"] = centered[:, ~same].mean(1)
    return curves


@item("figure6", "5 to 30 examples, with and without the instruction vector", "six tasks, three seeds")
def figure6(study: Study) -> Table:
    """Letter case is ignored, as in the paper's code: an instruction does not show the case of answers."""
    layer = study.layer()

    def patched(*sources: Source) -> Setup:
        judge = Judge(ignore_case=True)
        return replace(study.setup(*sources), methods=(Method.PATCH,), layer=layer, judge=judge)

    def cells(found: TransferResult) -> str:
        return accuracy(found.average.scores[Method.PATCH])

    [instruction] = study.evaluate("figure6-0", patched(Source.INSTRUCTION))
    rows = [("0", str(instruction.average.n), constant(instruction.average), "", cells(instruction))]
    for prompts in range(1, 7):
        setup = replace(patched(Source.TEXT, Source.ENSEMBLE), prompts=prompts)
        examples, both = study.evaluate(f"figure6-{prompts * SHOTS}", setup)
        average = examples.average
        rows.append((str(prompts * SHOTS), str(average.n), constant(average), cells(examples), cells(both)))
    note = f"{study.data}; average over tasks, letter case ignored, patched at layer {layer}"
    header = ("examples", "n", MAJORITY, "examples alone", "with the instruction vector")
    return Table(header, tuple(rows), note, legend=legend(examples))


def layers(study: Study) -> Table:
    """Validation accuracy over layers."""
    found = study.table2()
    series = {str(found.transfer): np.array(found.validation)}
    rows = [(name, *(f"{value:.2f}" for value in values)) for name, values in series.items()]
    names = tuple(str(layer) for layer in range(study.engine.model.n_layer))

    def draw(path: Path) -> None:
        plots.curves(path, series, x="layer", y="validation accuracy")

    return Table(("vectors → queries", *names), tuple(rows), "patched at one layer at a time", draw)
