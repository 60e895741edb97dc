"""The model cards, from templates and the figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
from classes import HERE, read_classes
from fetch import read_packages

from tvcli.evaluation.cells import column_legend
from tvcli.kinds import Source
from tvcli.models.catalog import Entry, find


@dataclass(frozen=True)
class About:
    """name: the catalog's, of the whole model; file: the mmproj; llm: the catalog's name of the language model."""

    name: str
    file: str
    llm: str
    first: bool  # whether it is picto itself

    @property
    def language_model(self) -> str:
        """Its name in the text."""
        return "Gemma-3-270M" if self.first else entry(self.llm).description.removesuffix(", text only")


def entry(name: str) -> Entry:
    found = find(name)
    if found is None:
        raise SystemExit(f"the catalog has no {name}")
    return found


def write_card(path: Path, about: About, figures: dict[str, Any], times: dict[str, float], parameters: int) -> None:
    groups = [thing.group for thing in read_classes()]
    text = template("card.md.jinja").render(
        packages=[*read_packages(), *read_packages(final=True)],
        groups={group: groups.count(group) for group in dict.fromkeys(groups)},
        total=len(groups),
        **asdict(about),
        language_model=about.language_model,
        license=entry(about.llm).license,
        former=FIRST_PICTO if about.first else PICTO,
        legend=column_legend(Source.TEXT),
        times=times,
        parameters=parameters,
        **{"tasks": None, **figures},
    )
    path.write_text(text, encoding="utf-8")


def write_tuned_card(path: Path, figures: dict[str, Any], times: dict[str, float], **training: object) -> None:
    """`training` describes it: rank, steps, batch, and the question."""
    path.write_text(template("tuned.md.jinja").render(times=times, **training, **figures), encoding="utf-8")


def template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(  # Markdown, not HTML
        undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    return environment.from_string((HERE / name).read_text(encoding="utf-8"))


# The first picto, which recognized only flags and had trained on some of these, on the same drawings (`--evaluate`).
FIRST_PICTO: dict[str, Any] = {
    "nearest name": {"flag-icons": {"flag": 0.98}, "noto": {"animal": 0.0, "food": 0.0, "plant": 0.0}},
    "centred cosine": {"flag-icons": {"flag": 0.94}, "noto": {"animal": -0.07, "food": -0.07, "plant": -0.11}},
}
# picto, on the same drawings; its card has these figures.
PICTO: dict[str, Any] = {
    "nearest name": {"flag-icons": {"flag": 0.95}, "noto": {"animal": 0.62, "food": 0.72, "plant": 0.87}},
    "centred cosine": {"flag-icons": {"flag": 0.72}, "noto": {"animal": 0.61, "food": 0.64, "plant": 0.67}},
}
