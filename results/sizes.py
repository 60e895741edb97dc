"""One table and one plot of the effect's size in models of different sizes, from the tables of each run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvcli import plots
from tvcli.models.catalog import find

CELL = re.compile(r"(?P<mean>-?[\d.]+)(?: ±[\d.]+)? \[(?P<low>-?[\d.]+), (?P<high>-?[\d.]+)\]")
LAYER = re.compile(r"patched at layer (\d+)")
SIZES = (
    ("picto", "gemma3-270m", "0.27"),
    ("qwen-0.5b", "qwen2.5-coder-0.5b", "0.5"),
    ("qwen-1.5b", "qwen2.5-coder-1.5b", "1.5"),
)
HEADER = (
    *("language model", "billion parameters", "queries", "n", "majority", "prompt", "patch"),
    *("prompt, text queries", "patch, text queries", "share", "layer", "depth"),
)


@dataclass(frozen=True)
class Size:
    """The averages over the six tasks of one model."""

    model: str
    parameters: str
    query: str
    average: Mapping[str, str]  # the cells of table 2
    text: Mapping[str, str]  # of text queries
    layer: int
    layers: int

    @property
    def cells(self) -> tuple[str, ...]:
        share = mean(self.average["patch"]) / mean(self.text["patch"])
        return (
            *(self.model, self.parameters, self.query),
            *(self.average[column] for column in ("n", "majority", "prompt", "patch")),
            *(self.text[column] for column in ("prompt", "patch")),
            *(f"{share:.0%}", str(self.layer), f"{(self.layer + 1) / self.layers:.0%}"),
        )


def read_size(folder: Path, model: str, parameters: str) -> Size:
    """From table 2 and, for a model that sees, table 12: there the names of things stand in the pictures' place."""
    table = read(folder / "table2.json")
    [average] = [row for row in table["rows"] if row["task"] == "average"]
    pairs, text, query = folder / "table12.json", average, "text"
    if pairs.exists():
        query = "pictures"
        [text] = [row for row in read(pairs)["rows"] if (row["pair"], row["task"]) == ("text → text", "average")]
    entry, found = find(model), LAYER.search(table["note"])
    if entry is None or entry.layers is None or found is None:
        raise SystemExit(f"{folder}: no layers of {model}")
    return Size(model, parameters, query, average, text, int(found[1]), entry.layers)


def write_tables(folder: Path) -> list[Size]:
    """sizes.md and sizes.json, of the runs that are there."""
    sizes = [read_size(folder / run, *about) for run, *about in SIZES if (folder / run / "table2.json").exists()]
    rows = [dict(zip(HEADER, size.cells, strict=True)) for size in sizes]
    (folder / "sizes.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = [HEADER, ["---"] * len(HEADER), *(size.cells for size in sizes)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (folder / "sizes.md").write_text(table, encoding="utf-8")
    return sizes


def write_sizes(folder: Path) -> None:
    """The tables, and the same as a plot: sizes.svg."""
    sizes = write_tables(folder)
    series = {
        "majority": [3 * (float(size.average["majority"].split()[0]),) for size in sizes],
        "prompt": [spread(size.average["prompt"]) for size in sizes],
        "patch": [spread(size.average["patch"]) for size in sizes],
        "prompt, text queries": [spread(size.text["prompt"]) for size in sizes],
        "patch, text queries": [spread(size.text["patch"]) for size in sizes],
    }
    plots.intervals(folder / "sizes.svg", series, [size.model for size in sizes], y="accuracy, average of six tasks")


def spread(cell: str) -> tuple[float, float, float]:
    """Mean and interval of a cell such as ``0.18 ±0.02 [0.12, 0.25]``."""
    found = CELL.fullmatch(cell)
    if found is None:
        raise SystemExit(f"no interval in {cell!r}")
    return float(found["mean"]), float(found["low"]), float(found["high"])


def mean(cell: str) -> float:
    return spread(cell)[0]


def read(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table
