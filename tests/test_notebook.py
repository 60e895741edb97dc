"""What a notebook shows of tv's objects."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest

from tvcli import notebook
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Answer
from tvcli.images import Image, load_image
from tvcli.models.opening import Model
from tvcli.prompts.prompt import prompt_of
from tvcli.vector import ModelInfo, Provenance, TaskVector

ORIGIN = Provenance(model=ModelInfo("gemma3", "Gemma 3 270m", 18, 640), source="text examples", layer=10, prompts=5)


def vector(origin: Provenance) -> TaskVector:
    return TaskVector(np.arange(18 * 640, dtype=np.float32).reshape(18, 640), origin)


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (vector(ORIGIN), "TaskVector(18 layers × 640, text examples in Gemma 3 270m, layer 10)"),
        (vector(Provenance()), "TaskVector(18 layers × 640, unknown)"),
        (Image(np.zeros((2, 3, 3), np.uint8), "fr.png"), "Image('fr.png', 3 × 2 pixels)"),
        (
            prompt_of("Q:", Image(np.zeros((2, 3, 3), np.uint8), "fr.png"), "\nA:"),
            "Prompt('Q:', Image('fr.png', 3 × 2 pixels), '\\nA:')",
        ),
        (Answer(" Paris", (1, 2), 3.14159), "Answer(' Paris', 2 tokens, margin 3.14)"),
        (Model(FakeEngine(), "fake", 3), "Model('fake', fake (fake, 6 layers × 16), images and text, layer 3)"),
        (Model(FakeEngine(vision=False), "x"), "Model('x', fake (fake, 6 layers × 16), text)"),
    ],
)
def test_what_a_thing_is_shows(thing: object, expected: str) -> None:
    assert repr(thing) == expected


def shown(html: str) -> ElementTree.Element:
    """Well-formed, or ElementTree raises."""
    return ElementTree.fromstring(f"<div>{html}</div>")


def bars_of(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    return (one for one in root.iter() if one.tag.endswith("rect"))


def test_a_vector_is_shown_with_its_origin_and_a_bar_a_layer() -> None:
    root = shown(vector(ORIGIN)._repr_html_())
    words = [text for text in root.itertext() if text]
    assert {"18 layers × 640", "text examples", "10"} <= set(words)
    assert "instruction" not in words  # nothing was said
    heights = [float(bar.attrib["height"]) for bar in bars_of(root)]
    assert len(heights) == 18
    assert heights == sorted(heights)
    assert heights[-1] == notebook.HEIGHT
    assert [number for number, bar in enumerate(bars_of(root)) if bar.attrib["fill"] == "#c44e52"] == [10]


def test_nothing_of_a_file_becomes_markup() -> None:
    evil = '<script>alert("x")</script>&'
    origin = Provenance(model=ModelInfo(evil, evil, 18, 640), source=evil, instruction=evil, delimiter=evil)
    grid = notebook.grid([evil], [[evil], [Image(np.zeros((2, 3, 3), np.uint8), evil)]])
    for html in (vector(origin)._repr_html_(), Answer(evil, (1,), 1.0)._repr_html_(), notebook.bars([1.0], evil), grid):
        assert "<script" not in html
        assert not [one for one in shown(html).iter() if one.tag.endswith("script")]


def test_a_vector_of_zeros_and_an_answer_are_shown() -> None:
    root = shown(TaskVector(np.zeros((2, 3), np.float32))._repr_html_())
    assert [bar.attrib["height"] for bar in bars_of(root)] == ["0.0", "0.0"]
    assert " Paris" in shown(Answer(" Paris", (1,), 2.5)._repr_html_()).itertext()


def test_a_grid_has_texts_and_images() -> None:
    image = Image(np.full((2, 3, 3), 200, np.uint8), "/home/me/fr.png")
    head, row = shown(notebook.grid(["flag", "answer"], [[image, 0.5]])).iter("tr")
    assert [field.text for field in head] == ["flag", "answer"]
    [drawn], text = row
    assert text.text == "0.5"
    assert drawn.attrib["alt"] == "fr.png"
    assert base64.b64decode(drawn.attrib["src"].removeprefix("data:image/png;base64,")) == image._repr_png_()


def test_an_image_shows_its_pixels_and_a_large_one_fewer() -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    again = load_image(Image(pixels, "fr.png")._repr_png_())
    assert np.array_equal(again.pixels, pixels)
    large = load_image(Image(np.zeros((500, 1000, 3), np.uint8), "photo.jpg")._repr_png_())
    assert large.pixels.shape == (160, 320, 3)
