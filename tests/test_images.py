"""Every picture arrives upright, on white, as 8-bit RGB; everything else is one sentence."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from tvcli.errors import UnavailableError
from tvcli.images import load_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(mode: str = "RGB") -> Pillow.Image:
    """Left half red, right half blue, 8 × 4."""
    picture = Pillow.new("RGB", (8, 4), RED)
    picture.paste(BLUE, (4, 0, 8, 4))
    return picture.convert(mode)


def encoded(picture: Pillow.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    image = load_image(data)
    assert image.pixels.dtype == np.uint8
    return image.pixels


def near(pixel: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel.astype(int) - color).max() < 60)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "P"),
        ("PNG", "RGBA"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("WEBP", "RGB"),
        ("GIF", "P"),
        ("BMP", "RGB"),
        ("TIFF", "RGB"),
        ("TIFF", "CMYK"),
    ],
)
def test_every_common_format_and_mode_gives_its_colors(kind: str, mode: str) -> None:
    options = {"quality": 95} if kind in {"JPEG", "WEBP"} else {}
    found = pixels(encoded(halves(mode), kind, **options))
    assert found.shape == (4, 8, 3)
    assert near(found[1, 1], RED)
    assert near(found[1, 6], BLUE)


def test_exif_orientation_is_applied() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to show
    found = pixels(encoded(halves(), "JPEG", exif=exif, quality=95))
    assert found.shape == (8, 4, 3)
    assert near(found[1, 1], RED)
    assert near(found[6, 1], BLUE)


def test_transparency_is_put_on_white() -> None:
    assert (pixels(encoded(Pillow.new("RGBA", (3, 3), (9, 9, 9, 0)))) == 255).all()
    palette = Pillow.new("P", (3, 3), 0)
    palette.putpalette([0, 0, 0] * 256)
    assert (pixels(encoded(palette, transparency=0)) == 255).all()


def test_sixteen_bit_gray_is_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 8, dtype=np.uint16)[None, :].repeat(2, 0)
    found = pixels(encoded(Pillow.fromarray(ramp)))[0, :, 0].astype(int)
    assert found[0] == 0
    assert found[-1] == 255
    assert (np.diff(found) > 20).all()


def test_an_animation_shows_its_first_frame() -> None:
    frames = [Pillow.new("RGB", (4, 4), RED), Pillow.new("RGB", (4, 4), BLUE)]
    assert near(pixels(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0, 0], RED)


def test_cmyk_with_a_broken_profile_still_works() -> None:
    assert near(pixels(encoded(halves("CMYK"), "JPEG", icc_profile=b"broken", quality=95))[1, 1], RED)


def test_an_embedded_rgb_profile_does_no_harm() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert near(pixels(encoded(halves(), icc_profile=profile))[1, 1], RED)


def bomb(width: int, height: int) -> bytes:
    """A PNG header that claims a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + struct.pack(">I", 10) + b"IDAT" + b"x" * 14


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"not an image at all", "not an image"),
        (encoded(halves())[:40], "damaged|not an image"),
        (encoded(halves(), "JPEG")[:-30], "damaged"),
        (encoded(halves(), "GIF")[:20], "damaged|not an image"),
        (bomb(100_000, 100_000), "too large"),
        (bomb(9_000, 9_000), "too large"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    ],
)
def test_a_bad_image_is_refused_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(UnavailableError, match=words) as caught:
        load_image(data, "x.png")
    assert "x.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_image_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(UnavailableError, match="cannot be read"):
            load_image(path)


def test_the_digest_tells_pictures_apart() -> None:
    assert load_image(encoded(halves())).digest == load_image(encoded(halves(), "BMP")).digest
    assert load_image(encoded(halves())).digest != load_image(encoded(halves().rotate(180))).digest
    wide, high = Pillow.new("RGB", (4, 2)), Pillow.new("RGB", (2, 4))  # same bytes, other shape
    assert load_image(encoded(wide)).digest != load_image(encoded(high)).digest
