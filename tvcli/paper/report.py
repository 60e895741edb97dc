"""The paper's results for one model as a single HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from tvcli import notebook, plots
from tvcli.errors import NotApplicableError, UnavailableError
from tvcli.images import Image, load_any, thumbnail
from tvcli.method.extract import tv_version
from tvcli.paper import cost_table, evolution, figures, tables
from tvcli.paper.study import Study, Table

TEMPLATE = Path(__file__).with_name("report.html.jinja")
THUMBNAIL = 96  # pixels; shown at half the size, since many screens have two pixels per CSS pixel
CONTENTS = (
    ("The three methods", tables.table2),
    ("Which layer works", figures.layers),
    ("Examples", figures.figure4),
    ("What the delimiter decodes to, layer by layer", evolution.figure8),
    ("What vectors decode to", tables.table6),
    ("Similarity of vectors", figures.figure5),
    ("Map of vectors and context tokens", figures.figure2),
    ("Cost", cost_table.table7),
)


@dataclass(frozen=True)
class Section:
    """A heading, a table, and a plot as SVG or an empty string.

    `thumbnails` are data URLs, one per row, `None` for a row without an image; empty if no row has an image.
    """

    title: str
    report: Table
    svg: str
    thumbnails: tuple[str | None, ...]


def sections(study: Study) -> Iterator[Section]:
    """Make those that the model allows, one after another; without matplotlib they have no plots."""
    for title, make in CONTENTS:
        try:
            report = make(study)
        except NotApplicableError:
            continue
        urls = tuple(None if path is None else _data_url(path) for path in report.images)
        yield Section(title, report, _svg(report), urls if any(urls) else ())


def render(study: Study, made: Iterator[Section]) -> str:
    """The page. Everything but tv's own plots is escaped."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    model = study.engine.model
    about = {
        "model": f"{model} {model.quantization}".strip(),
        "fingerprint": model.digest,
        "tasks": ", ".join(task.name for task in study.tasks),
        "seeds": ", ".join(map(str, study.seeds)),
        "images": "none" if study.picture is None else study.picture.words,
        "samples per split": "all" if study.limit is None else str(study.limit),
        "written by": f"tv {tv_version()}",
    }
    return template.render(name=model.name, about=about, sections=list(made), install=plots.INSTALL)


def _svg(report: Table) -> str:
    if report.draw is None or not plots.available():
        return ""
    text = plots.drawn(report.draw, ".svg").decode("utf-8")
    return text[text.index("<svg") :]


def _data_url(path: Path) -> str | None:
    """A small PNG: browsers do not show TIFF, and a full photo per row would make the page too large.

    `None` for image tokens, and if the image cannot be read: a text query is answered without it, and the page does not
    need it either.
    """
    try:
        image = load_any(path)
    except UnavailableError:
        return None
    if not isinstance(image, Image):
        return None
    return notebook.data_url(thumbnail(image, THUMBNAIL))
