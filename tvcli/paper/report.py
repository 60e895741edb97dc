"""The paper's results for one model as a single HTML page that needs no network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from tvcli import notebook, plots
from tvcli.engine.gguf.header import read_header
from tvcli.errors import NotApplicableError, UnavailableError
from tvcli.images import Image, load_any, thumbnail
from tvcli.method.extract import tv_version
from tvcli.models.resolve import ModelFiles
from tvcli.paper import cost_table, evolution, figures, tables
from tvcli.paper.study import Study, Table

TEMPLATE = Path(__file__).with_name("report.html.jinja")
THUMBNAIL = 96  # pixels; shown at half the size, since many screens have two pixels per CSS pixel
INTERVAL = re.compile(r"\[\S+ \S+\]")
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
        yield Section(title, layers_as_rows(report), _svg(report), urls if any(urls) else ())


def layers_as_rows(table: Table) -> Table:
    """A table with one column per layer, turned: it would be wider than the page. Every other table is unchanged."""
    columns = list(table.header[1:])
    if not columns or columns != [str(layer) for layer in range(len(columns))]:
        return table
    names, *by_layer = zip(*table.rows, strict=True)
    rows = tuple((layer, *cells) for layer, cells in zip(columns, by_layer, strict=True))
    return replace(table, header=("layer", *names), rows=rows)


def render(study: Study, made: Iterator[Section]) -> str:
    """The page. Everything but tv's own plots is escaped."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["whole_intervals"] = whole_intervals
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    model, files = study.engine.model, study.request.files_here()
    about = {
        "language model": f"{model} {model.quantization}".strip(),
        "image encoder": _image_encoder(study, files),
        "fingerprints": ", ".join(filter(None, (model.digest, study.engine.identity.get("mmproj")))),
        "tasks": ", ".join(task.name for task in study.tasks),
        "seeds": ", ".join(map(str, study.seeds)),
        "images": "none" if study.picture is None else study.picture.words,
        "samples per split": "all" if study.limit is None else str(study.limit),
        "written by": f"tv {tv_version()}",
    }
    name = model.name if files is None else files.name
    return template.render(name=name, about=about, sections=list(made), install=plots.INSTALL)


def whole_intervals(cell: str) -> str:
    """A table's cell with no line break inside an interval."""
    return INTERVAL.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), cell)


def _image_encoder(study: Study, files: ModelFiles | None) -> str:
    """What sees: the name in the mmproj and its file, or the model whose vision half runs in its place."""
    if not study.engine.has_vision:
        return "none"
    if files is not None and files.half is not None:
        return files.half.source
    if files is None or files.vision is None:
        return ""
    return f"{read_header(files.vision).text('general.name')} ({files.vision.name})".lstrip()


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
