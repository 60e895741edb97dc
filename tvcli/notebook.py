"""HTML for notebooks: a table of facts, a bar chart. All texts are escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

BAR, HEIGHT = 10, 40  # pixels: width per bar, height of the highest bar


def table(facts: Mapping[str, object], below: str = "") -> str:
    """One row for each fact that is known (not `None`, not empty), then `below`, which must be HTML."""
    known = {name: str(value) for name, value in facts.items() if value is not None and str(value)}
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in known.items()
    )
    return f"<table>{rows}</table>{below}"


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
