"""HTML for notebooks: a table of facts, a table with columns, a bar chart. All texts are escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Protocol, runtime_checkable

BAR, HEIGHT = 10, 40  # pixels: width per bar, height of the highest bar
THUMBNAIL = 48  # pixels, height of an image in a cell


def table(facts: Mapping[str, object], below: str = "") -> str:
    """One row for each fact that is known (not `None`, not empty), then `below`, which must be HTML."""
    known = {name: str(value) for name, value in facts.items() if value is not None and str(value)}
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in known.items()
    )
    return f"<table>{rows}</table>{below}"


def grid(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with a heading for each column. A cell that is an image, such as `tvcli.Image`, shows it."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


@runtime_checkable
class HasPng(Protocol):
    """What a notebook shows as an image; `name` may be a path, of which only the file's name is shown."""

    @property
    def name(self) -> str: ...

    def _repr_png_(self) -> bytes: ...


def _cell(value: object) -> str:
    if not isinstance(value, HasPng):
        return escape(str(value))
    name = escape(PurePath(value.name).name, quote=True)
    return f'<img alt="{name}" height="{THUMBNAIL}" src="{data_url(value._repr_png_())}"/>'


def data_url(png: bytes) -> str:
    """The address of an image that the page itself contains."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def bars(values: Sequence[float], label: str, marked: int | None = None) -> str:
    """An SVG bar chart, one bar per value ≥ 0; `marked` is the number of a bar in another color."""
    most = max([*values, 0.0]) or 1.0
    drawn = []
    for number, value in enumerate(values):
        height = value / most * HEIGHT
        color = "#c44e52" if number == marked else "#8da0cb"
        drawn.append(
            f'<rect x="{number * BAR}" y="{HEIGHT - height:.1f}" width="{BAR - 2}" height="{height:.1f}" '
            f'fill="{color}"><title>{number}: {value:.4g}</title></rect>'
        )
    size = f'width="{len(values) * BAR}" height="{HEIGHT}"'
    name = escape(label, quote=True)
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{name}" {size}>{"".join(drawn)}</svg>'
