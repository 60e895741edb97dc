"""The report: its sections, thumbnails and head, one page that fetches nothing and holds no foreign HTML."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Runner
from jinja2 import UndefinedError
from PIL import Image as Pillow

from tvcli import plots
from tvcli.engine.fake import FakeEngine
from tvcli.images import load_image
from tvcli.inputs.tasks import Sample, Task, find_task
from tvcli.method.extract import tv_version
from tvcli.models.opening import ModelRequest
from tvcli.models.resolve import ModelFiles
from tvcli.models.vision_half.families import FAMILIES
from tvcli.models.vision_half.files import VisionHalf
from tvcli.paper import report
from tvcli.paper.report import CONTENTS, Section, layers_as_rows, render, sections, whole_intervals
from tvcli.paper.study import Study, Table
from tvcli.vector import ModelInfo

# -- the report -----------------------------------------------------------------------------------------------


SAMPLES = tuple(Sample(f"x{i}", (f"y{i}",), Path("no picture")) for i in range(50))  # asked in words
TASK = Task("t", Path(), "d", "i:", validation=SAMPLES[:20], test=SAMPLES[20:])

SMALL_TEMPLATE = """{{ name }}
  {% for key, value in about.items() %}
{{ key }}={{ value }};
  {% endfor %}
{{ sections | length }} {{ install }}
"""


class Named(FakeEngine):
    def __init__(self, name: str, quantization: str = "", digest: str = "") -> None:
        super().__init__()
        self.model = ModelInfo("arch", name, 6, 16, quantization, digest)


def study(engine: FakeEngine, **more: Any) -> Study:
    tasks = (TASK, replace(TASK, name="u"))
    return Study(engine=engine, request=ModelRequest("fake"), tasks=tasks, seeds=(1, 22), **more)


def test_a_report_says_of_which_model_tasks_and_seeds_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "TEMPLATE", tmp_path / "t")
    report.TEMPLATE.write_text(SMALL_TEMPLATE, "utf-8")
    made = [Section("a", Table((), ()), "", ())] * 2
    assert render(study(Named("<é>", "Q4_0", "abc"), limit=7), iter(made)).splitlines() == [
        "&lt;é&gt;",
        "language model=&lt;é&gt; (arch, 6 layers × 16) Q4_0;",
        "image encoder=;",
        "fingerprints=abc;",
        "tasks=t, u;",
        "seeds=1, 22;",
        "images=at full size;",
        "samples per split=7;",
        f"written by=tv {tv_version()};",
        "2 pip install &#39;tvcli[plots]&#39;",
    ]
    lines = render(study(Named("n")), iter([])).splitlines()
    assert lines[1:8] == [
        "language model=n (arch, 6 layers × 16);",
        "image encoder=;",
        "fingerprints=;",
        "tasks=t, u;",
        "seeds=1, 22;",
        "images=at full size;",
        "samples per split=all;",
    ]


MMPROJ = ROOT / "models" / "picto" / "mmproj-picto-f16.gguf"


@pytest.mark.parametrize(
    ("files", "encoder"),
    [
        (ModelFiles("mine", Path("text.gguf"), MMPROJ), "picto vision tower (mmproj-picto-f16.gguf)"),
        (ModelFiles("mine", Path("t"), half=VisionHalf("owner/repo", Path(), FAMILIES["llava"], ())), "owner/repo"),
    ],
    ids=["mmproj", "half"],
)
def test_the_head_names_model_language_model_and_image_encoder(
    monkeypatch: pytest.MonkeyPatch, files: ModelFiles, encoder: str
) -> None:
    monkeypatch.setattr(ModelRequest, "files_here", lambda self: files)
    seeing = Named("Gemma", "Q4_K_M", "abc")
    monkeypatch.setattr(Named, "identity", {"model": "abc", "mmproj": "def"}, raising=False)
    page = render(study(seeing), iter([]))
    assert "<h1>Task vectors in mine</h1>" in page
    assert "<dt>language model</dt><dd>Gemma (arch, 6 layers × 16) Q4_K_M</dd>" in page
    assert f"<dt>image encoder</dt><dd>{encoder}</dd>" in page
    assert "<dt>fingerprints</dt><dd>abc, def</dd>" in page
    seeing.has_vision = False
    assert "<dt>image encoder</dt><dd>none</dd>" in render(study(seeing), iter([]))


def test_a_table_with_a_column_per_layer_is_turned() -> None:
    """It would be wider than the page."""
    wide = Table(("vectors", "0", "1", "2"), (("a", "x0", "x1", "x2"), ("b", "y0", "y1", "y2")), "n", legend="l")
    turned = layers_as_rows(wide)
    assert turned.header == ("layer", "a", "b")
    assert turned.rows == (("0", "x0", "y0"), ("1", "x1", "y1"), ("2", "x2", "y2"))
    assert (turned.note, turned.legend) == ("n", "l")
    for other in (Table(("task", "n", "0"), (("a", "5", "1"),)), Table(("q",), (("a",),)), Table((), ())):
        assert layers_as_rows(other) is other


def test_sections_have_layers_as_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "CONTENTS", (("One", lambda study: Table(("v", "0", "1"), (("a", "x", "y"),))),))
    [section] = sections(study(FakeEngine()))
    assert section.report.rows == (("0", "x"), ("1", "y"))


BY_LAYER, BY_TASK = Table(("source", "layer"), (("text", "0"),) * 54), Table(("task", "n"), (("t", "5"),) * 54)


@pytest.mark.parametrize(
    ("table", "svg", "folded"),
    [(BY_LAYER, "<svg></svg>", True), (BY_LAYER, "", False), (BY_TASK, "<svg></svg>", False)],
)
def test_numbers_by_layer_are_folded_below_their_plot(table: Table, svg: str, folded: bool) -> None:
    page = render(study(FakeEngine()), iter([Section("s", table, svg, ())]))
    found = re.findall(r"<details><summary>.*54 rows</summary>\s*<div class=\"scroll\">\s*<table", page)
    assert (len(found), page.count("</details>")) == ((1, 1) if folded else (0, 0))


def test_no_line_breaks_inside_an_interval() -> None:
    cell = "+0.04 [-0.03, +0.11] includes 0"
    assert whole_intervals(cell) == "+0.04 [-0.03,\xa0+0.11] includes 0"
    assert whole_intervals("[a] b [c]") == "[a] b [c]"
    assert "[-0.03,\xa0+0.11]" in render(study(FakeEngine()), iter([Section("s", Table(("q",), ((cell,),)), "", ())]))


def luminance(color: str) -> float:
    """WCAG 2's relative luminance of #rrggbb."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_lines_can_be_seen_in_light_and_dark() -> None:
    style = report.TEMPLATE.read_text("utf-8")
    light, dark = (dict(re.findall(r"--(\w+): (#\w+);", rule)) for rule in re.findall(r":root \{(.*?)\}", style)[:2])
    for mode in (light, dark):
        page = mode["page"] if len(mode["page"]) == 7 else "#ffffff"
        assert contrast(mode["ink"], page) > 7
        for color in set(plots.COLORS) - {"#000000"}:  # black lines have the ink of the page
            assert contrast(color, page) > 2


@pytest.mark.skipif(not plots.available(), reason="needs matplotlib")
def test_all_black_and_white_of_a_plot_is_what_the_page_colors() -> None:
    """Its style sheet finds them by their spelling in the SVG."""
    series = {f"line {i}": [0, i] for i in range(8)}
    svg = report._svg(Table((), (), draw=lambda path: plots.curves(path, series, x="x", y="y")))
    styles = re.findall(r'style="([^"]*)"', svg)
    found = {value.lower() for style in styles for value in re.findall(r"(?:fill|stroke): ([^;]+)", style)}
    assert found - {color.lower() for color in plots.COLORS} == {"none", "#ffffff", "#b0b0b0"}
    assert "#000000" in found
    for spelled in ("stroke: #000000", "fill: #000000", "fill: #ffffff"):
        assert f'[style*="{spelled}"]' in report.TEMPLATE.read_text("utf-8")
    assert not re.search(r'(?:fill|stroke)="(?!none)', svg)


@pytest.mark.usefixtures("ascii_locale")
def test_the_template_and_the_pictures_are_unicode_in_every_locale(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(report, "TEMPLATE", tmp_path / "t")
    report.TEMPLATE.write_bytes("é".encode())
    assert render(study(FakeEngine()), iter([])) == "é"
    assert report._svg(Table((), (), draw=drawing)) == "<svg>é<svg></svg></svg>"


def test_a_name_that_the_template_misspells_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "TEMPLATE", tmp_path / "t")
    report.TEMPLATE.write_text("{{ nmae }}", "utf-8")
    with pytest.raises(UndefinedError, match="nmae"):
        render(study(FakeEngine()), iter([]))


def drawing(path: Path) -> None:
    assert path.suffix == ".svg"
    path.write_text("<?xml?><!-- head --><svg>é<svg></svg></svg>", "utf-8")


def test_sections_are_made_in_order_with_their_drawings_and_small_pictures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wide = tmp_path / "wide.png"
    Pillow.new("RGB", (200, 100), (9, 8, 7)).save(wide)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    shown = Table(("q",), (("a",),) * 3, draw=drawing, images=(None, wide, tmp_path / "broken.png"))
    plain = Table(("q",), (("a",), ("b",)), images=(None, tmp_path / "broken.png"))
    one = study(FakeEngine())
    made = {"One": shown, "Two": plain}

    def maker(title: str) -> tuple[str, Callable[[Study], Table]]:
        return title, lambda given: made[title] if given is one else plain

    monkeypatch.setattr(report, "CONTENTS", tuple(map(maker, made)))
    first, second = sections(one)
    assert (first.title, first.report, first.svg) == ("One", shown, "<svg>é<svg></svg></svg>")
    assert second == Section("Two", plain, "", ())
    nothing, url, broken = first.thumbnails
    assert (nothing, broken) == (None, None)
    assert url is not None
    start, data = url.split(",")
    assert start == "data:image/png;base64"
    with Pillow.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.size, picture.getpixel((0, 0))) == ("PNG", (96, 48), (9, 8, 7))
    monkeypatch.setattr(plots, "available", lambda: False)
    assert [section.svg for section in sections(one)] == ["", ""]


# -- whole pages ----------------------------------------------------------------------------------------------


SMALL = ["-T", "food-color", "-T", "animal-young", "--limit", 5]


class Page(HTMLParser):
    """Collects headings and everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.headings = self.images = 0
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.headings += tag == "h2"
        self.images += tag == "img"
        self.fetched += [v for k in ("src", "href") if (v := values.get(k)) and not v.startswith(("#", "data:"))]


def test_the_report_is_one_page_that_fetches_nothing(tv: Runner, tmp_path: Path) -> None:
    ran = tv("report", *SMALL, "--seeds", 1, "-o", tmp_path / "r.html", "--results", tmp_path / "results")
    assert ran.code == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    page = Page()
    page.feed(text)
    assert page.headings == 8
    assert page.images == 8
    assert page.fetched == []
    assert not re.search(r"url\((?!#)|@import|<script", text)
    assert text.count("<svg") >= 4
    assert (tmp_path / "results" / "table2.jsonl").is_file()


def color(path: Path, rgb: tuple[int, int, int]) -> str:
    Pillow.new("RGB", (200, 100), rgb).save(path)
    return path.name


def a_study(*tasks: Task, vision: bool = True) -> Study:
    return Study(engine=FakeEngine(vision=vision), request=ModelRequest("fake"), tasks=tasks, seeds=(1,))


def test_a_thumbnail_stands_beside_its_own_query(tmp_path: Path) -> None:
    """Also where some samples have no picture, and whatever the picture's format."""
    (tmp_path / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    (tmp_path / "damaged.png").write_bytes(b"no picture")
    tests: list[dict[str, object]] = [
        {"input": "none"},
        {"input": "red", "image": color(tmp_path / "red.jpg", (255, 0, 0))},
        {"input": "damaged", "image": "damaged.png"},
        {"input": "blue", "image": color(tmp_path / "blue.tif", (0, 0, 255))},
    ]
    records: list[dict[str, object]] = [{"input": f"x{i}", "output": "y", "split": "validation"} for i in range(6)]
    records += [{**sample, "output": "y", "split": "test"} for sample in tests]
    (tmp_path / "examples.jsonl").write_text("\n".join(map(json.dumps, records)))
    study = a_study(find_task(str(tmp_path)), vision=False)
    examples = [section for section in sections(study) if section.title == "Examples"]
    found = re.findall(r'alt="(\w+)" src="data:image/png;base64,(.+?)"', page := render(study, iter(examples)))
    pictures = {name: load_image(base64.b64decode(data)) for name, data in found}
    assert set(pictures) == {"red", "blue"}
    assert page.count("<img") == 2
    assert [row[1] for row in examples[0].report.rows] == ["none", "red", "damaged", "blue"]
    assert pictures["red"].pixels.shape == pictures["blue"].pixels.shape == (48, 96, 3)
    assert pictures["red"].pixels[..., 0].min() > 250
    assert pictures["red"].pixels[..., 1:].max() < 5
    assert np.array_equal(pictures["blue"].pixels[0, 0], [0, 0, 255])


def test_a_report_without_pictures_has_no_column_for_them(tmp_path: Path) -> None:
    study = a_study()
    plain = Table(("task", "query"), (("a", "b"),), images=(None,))
    assert "<th></th>" not in render(study, iter([Section("t", plain, "", ())]))
    with pytest.raises(UndefinedError):  # fewer pictures than rows would stand beside other rows
        render(study, iter([Section("t", Table(("q",), (("a",), ("b",))), "", (None,))]))


def test_what_a_model_says_cannot_become_html(tv: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    records = [{"input": f"<script>{i}", "output": "<b>", "split": "validation" if i < 5 else "test"} for i in range(8)]
    (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, records)))
    ran = tv("eval", "-T", folder, "--query", "text", "--seeds", 1)
    assert ran.code == 0
    study = a_study(find_task(str(folder)), vision=False)
    page = render(study, sections(study))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_report_has_no_section_for_what_the_model_does_not_allow() -> None:
    titles = [section.title for section in sections(a_study(find_task("food-color"), vision=False))]
    assert titles == [title for title, _ in CONTENTS if title != "Similarity of vectors"]
