"""The paper's figures and table 6: what the eye should see, as numbers and, with matplotlib, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tvcli import plots
from tvcli.engine.protocol import Decoding, Engine, Patch
from tvcli.inputs.tasks import IMAGE, TEST, TEXT, VALIDATION
from tvcli.method.lens import phases, top_tokens
from tvcli.method.projection import collect, project, silhouette
from tvcli.method.similarity import similarity
from tvcli.paper.study import Study, Table
from tvcli.prompts.prompt import few_shot, zero_shot
from tvcli.vector import TaskVector

PROMPTS = 10  # of a task and modality, in figure 2
EXAMPLES = 4  # of a task, in figure 4


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

    note = f"silhouette at layer {layer}: in the paper vectors cluster by task, contexts by modality"
    return Table(("points", "by task", "by modality"), tuple(rows), note, draw)


def figure4(study: Study) -> Table:
    """A few test queries with the answers of the three methods."""
    layer, modality, seed = study.layer(), study.queries, study.seeds[0]
    rows, pictures = [], []
    for task in study.tasks:
        patch = Patch.of(study.vector(task, TEXT, seed), layer)
        examples = [sample.example(TEXT) for sample in task.samples(VALIDATION, TEXT)]
        for sample in task.samples(TEST, modality)[:EXAMPLES]:
            x = sample.load(modality)
            shown = few_shot(x, examples, shots=5, seed=seed)
            answers = (
                _say(study.engine, zero_shot(x), None),
                _say(study.engine, shown, None),
                _say(study.engine, zero_shot(x), patch),
            )
            rows.append((task.name, sample.input, *answers, sample.outputs[0]))
            pictures.append(sample.image)
    header = ("task", "query", "no context", "prompt", "patch", "label")
    return Table(header, tuple(rows), f"{study.data}; text vectors, patched at layer {layer}", images=tuple(pictures))


def _say(engine: Engine, prompt: object, patch: Patch | None) -> str:
    return engine.answer([prompt], [patch], Decoding(6))[0][0].text.strip()  # type: ignore[list-item]


def figure5(study: Study) -> Table:
    seed = study.seeds[0]
    series: dict[str, np.ndarray] = {}
    text = [study.vector(task, TEXT, seed) for task in study.tasks]
    if study.engine.has_vision:
        image = [study.vector(task, IMAGE, seed) for task in study.tasks]
        series |= _pairwise("text and image vectors", text, image)
    if study.llm is not None:
        other = study.vectors_of_llm(study.llm, seed)
        series |= _pairwise("LLM and VLM vectors", text, other)
    rows = [(name, *(f"{value:.2f}" for value in values)) for name, values in series.items()]
    layers = tuple(str(layer) for layer in range(study.engine.model.n_layer))

    def draw(path: Path) -> None:
        plots.curves(path, series, x="layer", y="cosine similarity")

    note = "mean over tasks of the cosine between a task's two vectors; centred by the mean of all vectors"
    return Table(("vectors", *layers), tuple(rows), note, draw)


def _pairwise(name: str, ones: list[TaskVector], others: list[TaskVector]) -> dict[str, np.ndarray]:
    """Same task against each other, raw and centred, and different tasks centred, float64 (L,) each."""
    count = len(ones)
    together = [*ones, *others]
    raw, centred = (
        similarity(together)[:, :count, count:],
        similarity(together, centred=len(together) > 2)[:, :count, count:],
    )
    same = np.eye(count, dtype=bool)
    curves = {f"{name}, same task": raw[:, same].mean(1), f"{name}, same task, centred": centred[:, same].mean(1)}
    if count > 1:
        curves[f"{name}, other task, centred"] = centred[:, ~same].mean(1)
    return curves


def figure8(study: Study) -> Table:
    series = mean_phases(study)
    rows = [(name, *(f"{value:.3f}" for value in values)) for name, values in series.items()]
    layers = tuple(str(layer) for layer in range(study.engine.model.n_layer))

    def draw(path: Path) -> None:
        plots.curves(path, series, x="layer", y="probability at the delimiter")

    note = (
        "what the delimiter decodes to, mean over tasks: in the paper first the input, then the task, then the answer"
    )
    return Table(("looked for", *layers), tuple(rows), note, draw)


def mean_phases(study: Study) -> Mapping[str, np.ndarray]:
    """Mean over tasks of `lens.phases`, by what is looked for and by modality."""
    found: dict[str, list[np.ndarray]] = {}
    for modality in study.modalities:
        for task in study.tasks:
            for phase, curve in phases(study.engine, task, modality, seed=study.seeds[0]).items():
                found.setdefault(f"{phase}, {modality} examples", []).append(curve)
    return {name: np.mean(curves, axis=0) for name, curves in found.items()}


def table6(study: Study) -> Table:
    layer, rows = study.layer(), []
    for task in study.tasks:
        for modality in study.modalities:
            vector = study.vector(task, modality, study.seeds[0])
            [tokens] = top_tokens(study.engine, vector.rows[layer : layer + 1], 5)
            rows.append((task.name, modality, ", ".join(token.text.strip() or repr(token.text) for token in tokens)))
    return Table(("task", "examples", "top tokens"), tuple(rows), f"what vectors decode to at layer {layer}")


def layers(study: Study) -> Table:
    """Validation accuracy over layers."""
    [pair] = study.evaluate("table2")
    series = {f"{pair.source} → {pair.query}": np.array(pair.validation)}
    rows = [(name, *(f"{value:.2f}" for value in values)) for name, values in series.items()]
    names = tuple(str(layer) for layer in range(study.engine.model.n_layer))

    def draw(path: Path) -> None:
        plots.curves(path, series, x="layer", y="validation accuracy")

    return Table(("vectors → queries", *names), tuple(rows), "patched at one layer at a time", draw)
