"""The model card, from `card.md.jinja` and the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from classes import HERE, read_classes
from fetch import read_packages

from tvcli.evaluation.cells import column_legend
from tvcli.kinds import Source


def write_card(path: Path, figures: dict[str, Any], times: dict[str, float], parameters: int) -> None:
    environment = jinja2.Environment(  # Markdown, not HTML
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    template = environment.from_string((HERE / "card.md.jinja").read_text(encoding="utf-8"))
    groups = [thing.group for thing in read_classes()]
    text = template.render(
        packages=[*read_packages(), *read_packages(final=True)],
        groups={group: groups.count(group) for group in dict.fromkeys(groups)},
        total=len(groups),
        former=FORMER,
        legend=column_legend(Source.TEXT),
        times=times,
        parameters=parameters,
        **{name.replace(" ", "_"): value for name, value in figures.items()},
    )
    path.write_text(text, encoding="utf-8")


# The first picto, which recognized only flags and had trained on some of these, on the same drawings (`--evaluate`).
FORMER: dict[str, Any] = {
    "nearest name": {"flag-icons": {"flag": 0.98}, "noto": {"animal": 0.0, "food": 0.0, "plant": 0.0}},
    "centred cosine": {"flag-icons": {"flag": 0.94}, "noto": {"animal": -0.07, "food": -0.07, "plant": -0.11}},
}
