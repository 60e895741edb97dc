"""What the paper's code reads of an image file, computed again with Pillow alone (xpatch_dataset.py, open_image)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from icc import ADOBE_RGB, Profile
from PIL import Image as Pillow

from tvcli.images import Image, load_image

RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (30, 40, 4), np.uint8)


def saved(image: Pillow.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> np.ndarray:
    image = Pillow.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(image.resize((224, int(224 / image.width * image.height))))


def turned() -> bytes:
    exif = Pillow.Exif()
    exif[274] = 6
    return saved(Pillow.fromarray(NOISE[..., :3]), "JPEG", exif=exif)


def palette() -> bytes:
    return saved(Pillow.fromarray(NOISE[..., :3]).quantize(8), "PNG", transparency=3)


FILES = {
    "RGB": saved(Pillow.fromarray(NOISE[..., :3]), "PNG"),
    "gray": saved(Pillow.fromarray(NOISE[..., 0]), "PNG"),
    "RGBA": saved(Pillow.fromarray(NOISE), "PNG"),
    "gray and alpha": saved(Pillow.fromarray(NOISE[..., :2].copy()), "PNG"),
    "palette": palette(),
    "EXIF": turned(),
    "CMYK": saved(Pillow.fromarray(NOISE, mode="CMYK"), "TIFF"),
    "profile": saved(Pillow.fromarray(NOISE[..., :3]), "PNG", icc_profile=Profile(ADOBE_RGB, 2.2).to_bytes()),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_the_papers_pixels_are_what_pillow_converts(kind: str) -> None:
    image = load_image(FILES[kind])
    assert image.papers.dtype == np.uint8
    assert np.array_equal(image.papers, opened(FILES[kind]))


@pytest.mark.parametrize(("kind", "kept"), [("RGB", False), ("gray", False), ("RGBA", True), ("EXIF", True)])
def test_they_are_kept_beside_the_others_only_where_they_differ(kind: str, kept: bool) -> None:
    assert (load_image(FILES[kind]).unlike is not None) == kept


def test_transparent_pixels_show_their_color_to_the_paper_and_white_to_a_viewer() -> None:
    clear = np.zeros((10, 10, 4), np.uint8)
    clear[..., 0] = 200
    image = load_image(saved(Pillow.fromarray(clear), "PNG"))
    assert (image.pixels == 255).all()
    assert (image.papers == [200, 0, 0]).all()
    assert image.papers.shape == (224, 224, 3)


def test_a_rotation_by_exif_is_for_viewers_only() -> None:
    image = load_image(FILES["EXIF"])
    assert (image.pixels.shape, image.papers.shape) == ((40, 30, 3), (168, 224, 3))


def test_sixteen_bits_are_scaled_and_not_clipped_to_white_as_pillow_would() -> None:
    data = saved(Pillow.fromarray(np.full((20, 40), 0x8000, np.uint16)), "PNG")
    assert (opened(data) == 255).all()
    image = load_image(data)
    assert image.unlike is None
    assert np.ptp(image.papers) == 0
    assert image.papers[0, 0, 0] in {127, 128}


@pytest.mark.parametrize(
    ("size", "height"), [((1500, 1000), 149), ((1000, 1500), 336), ((3, 2), 149), ((600, 3), 1), ((448, 447), 223)]
)
def test_the_height_is_rounded_down_as_the_paper_rounds_it(size: tuple[int, int], height: int) -> None:
    assert Image(np.zeros((*size[::-1], 3), np.uint8), "x").papers.shape == (height, 224, 3)


def test_two_files_that_look_alike_are_the_same_input_whatever_is_under_their_transparency(tmp_path: Path) -> None:
    clear = np.zeros((10, 10, 4), np.uint8)
    other = clear.copy()
    other[..., 1] = 9
    one, two = (load_image(saved(Pillow.fromarray(pixels), "PNG")) for pixels in (clear, other))
    assert one.digest == two.digest
    assert not np.array_equal(one.papers, two.papers)
