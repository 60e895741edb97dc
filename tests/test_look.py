"""Lens, comparison, map, pictures and report: planted structure is found, and every command ends well."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import Runner
from jinja2 import UndefinedError
from PIL import Image as Pillow

from tvcli.engine.fake import WORDS, FakeEngine
from tvcli.errors import UnavailableError, UsageError, VectorError
from tvcli.images import load_image
from tvcli.inputs.tasks import Task, find_task
from tvcli.method.lens import decode, first_tokens, task_words, top_tokens
from tvcli.method.projection import before_question, project, silhouette
from tvcli.method.similarity import similarity
from tvcli.models.opening import ModelRequest
from tvcli.paper.report import Section, render, sections
from tvcli.paper.study import Study, Table
from tvcli.plots import check_picture
from tvcli.prompts.prompt import Example, in_context
from tvcli.vector import TaskVector, save

SMALL = ["-T", "food-color", "-T", "animal-young", "--limit", 5]


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    common = rng.standard_normal((6, 16)) * 10
    paths = [tmp_path / f"{name}.npy" for name in "abc"]
    for path in paths:
        save(TaskVector((common + rng.standard_normal((6, 16))).astype(np.float32)), path)
    return paths


# -- lens -------------------------------------------------------------------------------------------------


def test_the_lens_reads_what_the_head_would_say(engine: FakeEngine) -> None:
    rows = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    probabilities = decode(engine, rows)
    assert np.allclose(probabilities.sum(1), 1)
    expected = np.exp(rows @ engine._unembedding)
    assert np.allclose(probabilities, expected / expected.sum(1, keepdims=True), atol=1e-5)
    best = [tokens[0].text for tokens in top_tokens(engine, rows, 3)]
    assert best == [WORDS[i] for i in probabilities.argmax(1)]


def test_the_words_of_a_task_are_its_name_and_what_it_asks() -> None:
    assert task_words(find_task("country-capital")) == ["capital", "city"]
    assert "baby" in task_words(find_task("animal-young"))
    assert task_words(find_task("country-currency")) == ["currency"]
    assert task_words(find_task("food-flavor")) == ["flavor", "descriptor"]


def test_first_tokens_cover_case_and_space(engine: FakeEngine) -> None:
    tokens = first_tokens(engine, ["paris"])
    assert {engine.tokens(text)[0].id for text in ("paris", " paris", "Paris", " Paris")} == set(tokens)


def test_lens_prints_a_line_a_layer(tv: Runner, three: list[Path], picture: Path) -> None:
    for given in (["--text", "Greece"], ["--image", picture], ["--vector", three[0]]):
        lines = tv("lens", *given, "--top", 2).out.splitlines()
        assert [line.split("\t")[0] for line in lines] == ["0", "1", "2", "3", "4", "5"]
        assert all(len(line.split("\t")) == 3 for line in lines)
    records = [json.loads(line) for line in tv("lens", "--text", "x", "--json").out.splitlines()]
    assert all(len(record["tokens"]) == 5 for record in records)


def test_lens_follows_input_task_and_answer_through_a_task(tv: Runner, tmp_path: Path) -> None:
    picture = tmp_path / "phases.svg"
    ran = tv("lens", "-T", "food-color", "--source", "both", "--json", "--plot", picture)
    curves = json.loads(ran.out)
    assert len(curves) == 6
    assert all(len(values) == 6 and 0 <= min(values) <= max(values) <= 1 for values in curves.values())
    assert picture.read_text().startswith("<?xml")
    assert tv("lens", "-T", "food-color", "--source", "both", "--plot", tmp_path / "again.svg").code == 0
    assert (tmp_path / "again.svg").read_bytes() == picture.read_bytes()


def test_show_decodes_a_vector(tv: Runner, three: list[Path]) -> None:
    assert "decodes to" in tv("show", three[0], "--decode").out
    assert len(json.loads(tv("show", three[0], "--decode", "--json").out)["decodes_to"]) == 5


# -- compare ----------------------------------------------------------------------------------------------


def test_centring_takes_the_common_direction_away(three: list[Path]) -> None:
    from tvcli.vector import load

    vectors = [load(path) for path in three]
    raw, centred = similarity(vectors), similarity(vectors, centred=True)
    assert raw.shape == (6, 3, 3)
    assert np.allclose(raw.diagonal(axis1=1, axis2=2), 1)
    assert raw[:, 0, 1].min() > 0.9
    assert centred[:, 0, 1].max() < 0.5


def test_compare_prints_a_curve_for_two_and_matrices_for_more(tv: Runner, three: list[Path], tmp_path: Path) -> None:
    [header, row] = tv("compare", *three[:2]).out.splitlines()
    assert header.split("\t") == ["curve", "0", "1", "2", "3", "4", "5"]
    assert row.startswith("a and b\t0.9")
    record = json.loads(tv("compare", *three, "--layer", 0, "--json").out)
    assert record["layer"] == 0
    assert np.allclose(np.array(record["layer 0"]).diagonal(), 1)
    for vectors in (three[:2], three):
        assert tv("compare", *vectors, "--plot", tmp_path / "c.png").code == 0
        assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


# -- map --------------------------------------------------------------------------------------------------


def test_a_planted_clustering_has_a_high_silhouette_and_chance_has_none() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, 16)) * 5
    labels = [str(i % 3) for i in range(60)]
    rows = np.array([centres[int(label)] for label in labels]) + rng.standard_normal((60, 16))
    assert silhouette(rows, labels) > 0.7
    assert abs(silhouette(rows, [str(i // 20) for i in range(60)])) < 0.1
    assert silhouette(rows, ["same"] * 60) == 0.0
    from sklearn.metrics import silhouette_score

    centred = rows - rows.mean(0)
    assert silhouette(rows, labels) == pytest.approx(silhouette_score(centred, labels, metric="cosine"), abs=1e-6)


def test_pca_keeps_the_largest_directions() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((50, 2)) * [30, 10]) @ np.linalg.qr(rng.standard_normal((16, 2)))[0].T
    points = project(rows.astype(np.float32), "pca")
    assert points.shape == (50, 2)
    assert np.allclose(np.linalg.norm(points, axis=1), np.linalg.norm(rows - rows.mean(0), axis=1), atol=1e-3)


def test_the_context_ends_before_the_answer_is_asked_for() -> None:
    prompt = in_context([Example("a", "A: b"), Example("c", "C")])
    assert before_question(prompt).parts == ("Q:a\nA:A: b\n\nQ:c\n",)


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_map_gives_points_scores_and_a_picture(tv: Runner, tmp_path: Path, method: str) -> None:
    ran = tv("map", *SMALL, "--method", method, "--json", "--plot", tmp_path / "map.png")
    delimiter, context = map(json.loads, ran.out.splitlines())
    assert (delimiter["token"], context["token"]) == ("delimiter", "context")
    assert len(delimiter["points"]) == 20
    assert {point["modality"] for point in delimiter["points"]} == {"text", "image"}
    assert -1 <= delimiter["silhouette_by_task"] <= 1
    assert (tmp_path / "map.png").is_file()


# -- pictures and the report ------------------------------------------------------------------------------


def test_eval_draws_the_accuracy_over_layers(tv: Runner, tmp_path: Path) -> None:
    ran = tv("eval", *SMALL, "--seeds", 1, "--pairs", "all", "--plot", tmp_path / "layers.pdf")
    assert ran.code == 0
    assert (tmp_path / "layers.pdf").read_bytes().startswith(b"%PDF")


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


def colour(path: Path, rgb: tuple[int, int, int]) -> str:
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
        {"input": "red", "image": colour(tmp_path / "red.jpg", (255, 0, 0))},
        {"input": "damaged", "image": "damaged.png"},
        {"input": "blue", "image": colour(tmp_path / "blue.tif", (0, 0, 255))},
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


def test_without_the_extra_every_command_works_and_says_how_to_get_pictures(
    tv: Runner, three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    missing = {"matplotlib", "sklearn"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name in missing else found(name, *a))
    assert tv("compare", *three).code == 0
    assert "pip install 'tvcli[plots]'" in tv("lens", "-T", "food-color", "-v").err
    assert tv("map", *SMALL).code == 0
    assert tv("eval", *SMALL, "--seeds", 1).code == 0
    ran = tv("report", *SMALL, "--seeds", 1, "-o", tmp_path / "r.html")
    assert ran.code == 0
    assert "without pictures; for them: pip install 'tvcli[plots]'" in ran.err
    assert "<svg" not in (tmp_path / "r.html").read_text("utf-8")
    ran = tv("compare", *three, "--plot", tmp_path / "c.png")
    assert ran.code == 3
    assert "pip install 'tvcli[plots]'" in ran.err


def test_a_picture_is_checked_before_the_work(tmp_path: Path) -> None:
    check_picture(tmp_path / "a.png")
    for name in ("a.jpg", "a", "no/such/a.png"):
        with pytest.raises(UsageError):
            check_picture(tmp_path / name)


BAD = [
    (["lens"], 2, "give one of --vector"),
    (["lens", "-t", "x", "-T", "food-color"], 2, "give one of --vector"),
    (["lens", "-t", "x", "--plot", "a.png"], 2, "--plot draws the curves of --task"),
    (["lens", "-T", "food-color", "--plot", "a.bmp"], 2, "is no picture format"),
    (["lens", "-T", "nope"], 3, "there is no task"),
    (["lens", "--image", "none.png"], 3, "cannot be read"),
    (["map", "-T", "food-color", "--limit", "1"], 2, "at least 3 vectors, here are 2"),
    (["map", "--layer", "6"], 2, "--layer 6 is outside 0 to 5"),
    (["eval", "--layer", "1", "--plot", "a.png"], 2, "--plot draws the accuracy over layers"),
    (["report", "-o", "no/such/r.html"], 2, "the folder of no/such/r.html does not exist"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD, ids=str)
def test_bad_input_is_one_sentence(
    tv: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = tv(*arguments)
    assert ran.code == code
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_vectors_of_other_sizes_are_refused_with_both_named(tv: Runner, three: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.npy"
    save(TaskVector(np.ones((4, 8), np.float32)), other)
    ran = tv("compare", three[0], other)
    assert ran.code == 4
    assert "6 layers × 16 and 4 layers × 8" in ran.err
    assert tv("lens", "--vector", other).code == 4
    assert tv("compare", three[0]).code == 2
    with pytest.raises(UsageError, match="centring needs at least 3"):
        similarity([TaskVector(np.ones((4, 8), np.float32))] * 2, centred=True)
    with pytest.raises(VectorError):
        similarity([TaskVector(np.ones((4, 8), np.float32)), TaskVector(np.ones((4, 9), np.float32))])
    with pytest.raises(UnavailableError):
        find_task("nope")
