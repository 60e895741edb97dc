"""One table and one plot of the effect in models of different sizes, from the three-seed evaluations of each run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvcli import plots

SIZES = {
    "picto": ("Gemma 3 270M", 0.27),
    "qwen-0.5b": ("Qwen2.5-Coder 0.5B", 0.5),
    "qwen-1.5b": ("Qwen2.5-Coder 1.5B", 1.5),
}
METHODS = ("majority", "no context", "prompt", "patch")
HEADER = (
    "language model",
    "billion parameters",
    "queries",
    "n",
    *METHODS,
    "layer",
    "of the depth",
    "of the text's patch",
)


@dataclass(frozen=True)
class Size:
    """The average over the six tasks of one model, on one modality of queries; `layers` is the model's number."""

    model: str
    parameters: float
    query: str
    scores: Mapping[str, Any]  # by method: mean, interval
    n: int
    layer: int
    layers: int

    def mean(self, method: str) -> float:
        return float(self.scores[method]["mean"])

    def spread(self, method: str) -> tuple[float, float, float]:
        low, high = self.scores[method]["interval"]
        return self.mean(method), low, high

    def cells(self, text: Size) -> tuple[str, ...]:
        """A row; `text` is the same model where the names of things stand in the pictures' place: the oracle."""
        scores = (f"{mean:.2f} [{low:.2f}, {high:.2f}]" for mean, low, high in map(self.spread, METHODS))
        share = "" if self is text else f"{self.mean('patch') / text.mean('patch'):.0%}"
        depth = f"{(self.layer + 1) / self.layers:.0%}"
        return (self.model, f"{self.parameters}", self.query, str(self.n), *scores, str(self.layer), depth, share)


def read_sizes(folder: Path) -> dict[str, list[Size]]:
    """By run, pictures before text."""
    return {run: [size for query in ("image", "text") for size in read(folder / run, run, query)] for run in SIZES}


def read(folder: Path, run: str, query: str) -> list[Size]:
    """One, or none if the model has no such queries."""
    path = folder / f"text-{query}.json"
    if not path.exists():
        return []
    [found] = json.loads(path.read_text(encoding="utf-8"))["pairs"]
    average, layers = found["tasks"]["average"], len(found["validation"])
    queries = "pictures" if query == "image" else "text"
    return [Size(*SIZES[run], queries, average, average["n"], found["layer"], layers)]


def write_sizes(folder: Path) -> None:
    """sizes.md, sizes.json and sizes.svg, of the runs that are there."""
    found = {run: sizes for run, sizes in read_sizes(folder).items() if sizes}
    rows = [size.cells(sizes[-1]) for sizes in found.values() for size in sizes]
    records = [dict(zip(HEADER, row, strict=True)) for row in rows]
    (folder / "sizes.json").write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [HEADER, ["---"] * len(HEADER), *rows]
    (folder / "sizes.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")
    every = [size for sizes in found.values() for size in sizes]
    series = {method: [size.spread(method) for size in every] for method in METHODS}
    names = [f"{size.model}, {size.query}" for size in every]
    plots.intervals(folder / "sizes.svg", series, names, y="accuracy, average of six tasks")
