"""``tv compare``: how similar vectors are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tvcli.cli.output import out
from tvcli.cli.work import plotting
from tvcli.cli.work.inputs import check_one_stdin, input_file, read_vector
from tvcli.cli.work.lens import show_curves
from tvcli.method.layers import check_layer
from tvcli.method.similarity import similarity


def run(vectors: Sequence[str], layer: int | None, plot: Path | None, *, json: bool) -> None:
    plotting.check(plot, map(input_file, vectors))
    check_one_stdin(*vectors)
    loaded = [read_vector(source) for source in vectors]
    raw = similarity(loaded)
    if len(loaded) == 2:
        series = {f"{Path(vectors[0]).stem} and {Path(vectors[1]).stem}": raw[:, 0, 1]}
        show_curves(series, json=json)
        plotting.curves(plot, series, x="layer", y="cosine similarity")
        return
    at = len(raw) // 2 if layer is None else check_layer(layer, len(raw))
    panels = {f"layer {at}": raw[at], f"layer {at}, centered": similarity(loaded, centered=True)[at]}
    names = [Path(source).stem for source in vectors]
    if json:
        keys = (f"layer {at}", f"layer {at}, centred")  # the spelling of 0.1.0
        matrices = {key: values.round(6).tolist() for key, values in zip(keys, panels.values(), strict=True)}
        out.record({"layer": at, "vectors": list(vectors), **matrices})
    else:
        for title, values in panels.items():
            rows = [[name, *(f"{value:.3f}" for value in row)] for name, row in zip(names, values, strict=True)]
            out.table(title, ["cosine", *names], rows)
    plotting.matrices(plot, panels, names, title="cosine similarity")
