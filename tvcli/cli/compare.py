"""``tv compare``: how alike vectors are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tvcli.cli import options
from tvcli.cli.output import out


def compare(
    vectors: options.VectorFiles,
    layer: Annotated[int | None, options.one_layer(min=0, help="The layer of the matrix.")] = None,
    plot: options.Plot = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Cosine similarity layer by layer: a curve for two vectors, a matrix at one layer for more.

    Examples:
        tv compare capital.npy instruction.npy
        tv compare capital.npy instruction.npy currency.npy --layer 3 --json
    """
    from tvcli.cli import pictures
    from tvcli.cli.inputs import check_one_stdin, read_vector
    from tvcli.cli.lens import show_curves
    from tvcli.method.layers import check_layer
    from tvcli.method.similarity import similarity

    pictures.check(plot)
    check_one_stdin(*vectors)
    loaded = [read_vector(source) for source in vectors]
    raw = similarity(loaded)
    if len(loaded) == 2:
        series = {f"{Path(vectors[0]).stem} and {Path(vectors[1]).stem}": raw[:, 0, 1]}
        show_curves(series, json=json)
        pictures.curves(plot, series, x="layer", y="cosine similarity")
        return
    at = len(raw) // 2 if layer is None else check_layer(layer, len(raw))
    panels = {f"layer {at}": raw[at], f"layer {at}, centred": similarity(loaded, centred=True)[at]}
    names = [Path(source).stem for source in vectors]
    if json:
        out.record(
            {"layer": at, "vectors": vectors, **{name: values.round(6).tolist() for name, values in panels.items()}}
        )
    for title, values in panels.items() if not json else ():
        rows = [[name, *(f"{value:.3f}" for value in row)] for name, row in zip(names, values, strict=True)]
        out.table(title, ["cosine", *names], rows)
    pictures.matrices(plot, panels, names, title="cosine similarity")
