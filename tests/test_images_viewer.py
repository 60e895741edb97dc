"""A picture is what a viewer shows: pixels computed here from their meaning, without Pillow's conversions."""

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icc import ADOBE_RGB, DISPLAY_P3, SRGB, Profile
from PIL import Image as Pillow
from PIL import PpmImagePlugin, TiffImagePlugin

from tvcli import images
from tvcli.errors import UnavailableError
from tvcli.images import Image, check_shape, load_image

ORIENTATION = 0x0112
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a, 1),
}
CHANNELS = {"1": 1, "L": 1, "LA": 2, "P": 1, "PA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "I;16": 1}
PROFILES = {
    "Adobe RGB": Profile(ADOBE_RGB, 563 / 256),
    "Display P3": Profile(DISPLAY_P3, None),
    "gray of gamma 1.8": Profile(None, 1.8),
}


def saved(picture: Pillow.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def colors(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[bytes, np.ndarray]:
    """A file, and the colors that are meant: float64 (height, width, 3)."""
    mode = draw(st.sampled_from(sorted(CHANNELS)))
    height, width, seed = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(0, 99))
    data = colors(seed, height, width, CHANNELS[mode])
    options: dict[str, object] = {}
    alpha = np.full((height, width, 1), 255.0)
    if mode == "1":
        data = np.where(data > 127, 255, 0).astype(np.uint8)
    values = data.astype(np.float64)
    meant = values[..., :3] if mode in {"RGB", "RGBA"} else values[..., :1].repeat(3, -1)
    if mode in {"LA", "PA", "RGBA"}:
        alpha = values[..., -1:]
    if mode in {"P", "PA"}:
        palette = colors(seed + 1, 256, 3)
        meant = palette[data[..., 0]].astype(np.float64)
        picture = Pillow.fromarray(data[..., 0]) if mode == "P" else Pillow.merge("LA", split(data))
        picture = picture.copy()
        picture.putpalette(palette.tobytes())
        if mode == "P" and draw(st.booleans()):
            opacity = colors(seed + 2, 256)
            options["transparency"] = opacity.tobytes()
            alpha = opacity[data].astype(np.float64)
    elif mode == "I;16":
        wide = np.random.default_rng(seed).integers(0, draw(st.sampled_from([200, 300, 65536])), (height, width))
        picture, meant = Pillow.fromarray(wide.astype(np.uint16)), (wide / 257.0)[..., None].repeat(3, -1)
    elif mode == "CMYK":
        picture = Pillow.merge("CMYK", split(data))
        meant = (255 - values[..., :3]) * (255 - values[..., 3:]) / 255
    elif mode == "LA":
        picture = Pillow.merge("LA", split(data))
    else:
        picture = Pillow.fromarray(data.squeeze(-1) if CHANNELS[mode] == 1 else data)
        picture = picture.convert("1") if mode == "1" else picture
        if mode in {"L", "RGB"} and draw(st.booleans()):  # one color stands for transparent
            clear = data[0, 0]
            options["transparency"] = int(clear[0]) if mode == "L" else tuple(map(int, clear))
            alpha = np.where((data == clear).all(-1, keepdims=True), 0.0, 255.0)
    assert picture.mode == mode
    orientation = draw(st.sampled_from([0, *UPRIGHT]))
    if orientation:
        exif = Pillow.Exif()
        exif[ORIENTATION] = orientation
        options["exif"] = exif
    only_tiff = mode in {"CMYK", "PA"}
    kind = "TIFF" if only_tiff or ("transparency" not in options and draw(st.booleans())) else "PNG"
    shown = meant * alpha / 255 + 255 - alpha
    return saved(picture, kind, **options), UPRIGHT[orientation or 1](shown)


def split(data: np.ndarray) -> list[Pillow.Image]:
    return [Pillow.fromarray(np.ascontiguousarray(channel)) for channel in np.moveaxis(data, -1, 0)]


def near(found: np.ndarray, meant: np.ndarray, levels: float = 1.0) -> bool:
    return found.shape == meant.shape and bool(np.abs(found.astype(np.float64) - meant).max() <= levels)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(pictures())
def test_a_picture_of_any_mode_is_what_a_viewer_shows(case: tuple[bytes, np.ndarray]) -> None:
    data, shown = case
    assert near(load_image(data).pixels, shown)


# -- numbers that are no 8-bit levels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 200, 256, 4096, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_have_their_full_range_however_dark_the_picture_is(kind: str, most: int) -> None:
    wide = np.linspace(0, most, 8).astype(np.uint16)[None].repeat(2, 0)
    found = load_image(saved(Pillow.fromarray(wide), kind)).pixels
    assert near(found, (wide / 257.0)[..., None].repeat(3, -1))


def tiff(bits: int, photometric: int, rows: bytes, width: int, height: int) -> bytes:
    """A TIFF file without Pillow's help; little-endian, one strip."""
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1)]
    entries += [(278, height), (279, len(rows))]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, 4 if tag in {273, 279} else 3, 1, value) for tag, value in entries)
    padded = rows + bytes(len(rows) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + directory + bytes(4)


def test_twelve_bits_have_their_full_range() -> None:
    packed = bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x00])  # 0, 4095, 2048, 0
    found = load_image(tiff(12, 1, packed, 4, 1)).pixels[0, :, 0]
    assert near(found, np.array([0, 255, 127.5, 0]))


@pytest.mark.parametrize(("bits", "kind"), [(8, "<u1"), (16, "<u2")])
def test_a_tiff_whose_zero_is_white_is_not_shown_as_its_negative(bits: int, kind: str) -> None:
    top = 2**bits - 1
    found = load_image(tiff(bits, 0, np.array([0, top // 4, top], kind).tobytes(), 3, 1)).pixels[0, :, 0]
    assert near(found, np.array([255, 191.25, 0]))


def test_a_gray_that_stands_for_transparent_is_white_in_sixteen_bits_too() -> None:
    wide = np.array([[0, 300, 65535]], np.uint16)
    assert load_image(saved(Pillow.fromarray(wide), transparency=300)).pixels[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("scale", [1 / 255, 1.0])
def test_floats_are_refused_whatever_their_range(scale: float) -> None:
    gray = np.arange(256, dtype=np.float32)[None] * np.float32(scale)
    for kind in ("TIFF", "PPM"):
        with pytest.raises(UnavailableError, match=r"^image f\.tif has floating-point values, .* 8-bit PNG$"):
            load_image(saved(Pillow.fromarray(gray), kind), "f.tif")


@pytest.mark.parametrize("values", [[0, 100], [-5, 70_000]])
def test_integers_of_unknown_range_are_refused(values: list[int]) -> None:
    data = saved(Pillow.fromarray(np.array([values], np.int32)), "TIFF")
    with pytest.raises(UnavailableError, match=r"^image i\.tif has 32-bit or signed integers, .* 8-bit PNG$"):
        load_image(data, "i.tif")


# -- color profiles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colors_are_those_of_a_color_managed_viewer(name: str, kind: str) -> None:
    profile = PROFILES[name]
    data = colors(1, 24, 24, 1 if profile.matrix is None else 3)
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind == "WEBP" and profile.matrix is None:
        pytest.skip("WebP has no gray pictures")
    picture = Pillow.fromarray(data.squeeze(-1) if data.shape[-1] == 1 else data)
    found = load_image(saved(picture, kind, icc_profile=profile.to_bytes(), **options)).pixels
    plain = data if data.shape[-1] == 3 else data.repeat(3, -1)
    shown = profile.shown(plain)
    assert near(found, shown, 1.5)
    assert not near(plain, shown, 10)  # what the profile's absence would show


def test_a_transparent_picture_is_managed_before_it_is_put_on_white() -> None:
    data = colors(2, 8, 8, 4)
    profile = PROFILES["Display P3"]
    found = load_image(saved(Pillow.fromarray(data), icc_profile=profile.to_bytes())).pixels
    alpha = data[..., 3:].astype(np.float64)
    assert near(found, profile.shown(data[..., :3]) * alpha / 255 + 255 - alpha, 1.5)


@pytest.mark.parametrize(
    "profile",
    [
        Profile(SRGB, None).to_bytes(),
        b"broken",
        PROFILES["Adobe RGB"].to_bytes()[:200],
        Profile(None, 1.0).to_bytes(),
    ],
    ids=["sRGB", "broken", "cut", "of another mode"],
)
def test_srgb_and_what_is_no_profile_of_the_picture_change_no_pixel(profile: bytes) -> None:
    data = colors(3, 8, 8, 3)
    assert (load_image(saved(Pillow.fromarray(data), icc_profile=profile)).pixels == data).all()


# -- frames -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def notes(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    images._note_frames.cache_clear()
    caplog.set_level(logging.INFO, "tvcli")
    return caplog


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP", "AVIF"])
def test_the_first_of_several_frames_is_shown_and_said_once(kind: str, notes: pytest.LogCaptureFixture) -> None:
    reds = [Pillow.new("RGB", (16, 16), (level, 0, 0)) for level in (255, 128, 0)]
    data = saved(reds[0], kind, save_all=True, append_images=reds[1:])
    for _ in range(2):
        assert near(load_image(data, "moving").pixels, np.tile([255.0, 0, 0], (16, 16, 1)), 12)
    assert [record.getMessage() for record in notes.records] == ["image moving: the first of its 3 frames is used"]


def test_a_photo_with_a_preview_and_one_picture_are_not_spoken_of(notes: pytest.LogCaptureFixture) -> None:
    red = Pillow.new("RGB", (8, 8), "red")
    load_image(saved(red, "MPO", save_all=True, append_images=[red]), "photo.jpg")
    load_image(saved(red, "GIF"), "still.gif")
    assert not notes.records


# -- what tv reads, and what it says of the rest ----------------------------------------------------------------------


def test_every_suffix_of_the_formats_is_known() -> None:
    images._formats()
    registered = {suffix for suffix, kind in Pillow.EXTENSION.items() if kind in images.FORMATS}
    assert PpmImagePlugin is not None
    assert registered - {".pfm"} <= images.SUFFIXES  # PFM holds floats, whose range is not known


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(20), "x is not an image that tv can read (HEIC); convert it to PNG or JPEG"),
        (b"<?xml version='1.0'?><svg/>", "x is not an image that tv can read (SVG); convert it to PNG or JPEG"),
        (b"%PDF-1.7\n", "x is not an image that tv can read (PDF); convert it to PNG or JPEG"),
        (b"\0\0\1\0\1\0" + bytes(20), "x is not an image that tv can read (ICO); convert it to PNG or JPEG"),
        (b"\0\0\0\x0cjP  \r\n" + bytes(9), "x is not an image that tv can read (JPEG 2000); convert it to PNG or JPEG"),
        (bytes([0, 0, 2]) + bytes(40), "x is not an image that tv can read; convert it to PNG or JPEG"),  # TGA
    ],
)
def test_other_formats_are_refused_with_what_to_do(data: bytes, said: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        load_image(data, "x")
    assert str(caught.value) == said


@pytest.mark.parametrize("address", ["https://example.org/x.png", "http://h/y.jpg", "file:///tmp/x.png"])
def test_an_address_is_no_file(address: str, tmp_path: Path) -> None:
    for source, name in ((address, None), (Path(address), address), (tmp_path / address, None)):
        with pytest.raises(UnavailableError, match=r"is an address; download the image and give its file$"):
            load_image(source, name)


def test_a_narrow_picture_is_refused_when_it_is_read_and_when_it_is_made() -> None:
    assert load_image(saved(Pillow.new("RGB", (2000, 10)))).pixels.shape == (10, 2000, 3)
    with pytest.raises(UnavailableError, match=r"^image pano.png is too narrow to encode: 4000 × 10 pixels$"):
        load_image(saved(Pillow.new("RGB", (4000, 10))), "pano.png")
    with pytest.raises(UnavailableError, match="too narrow"):
        check_shape(Image(np.zeros((1, 300, 3), np.uint8), "made"))


def test_signed_8_bit_values_are_refused(tmp_path: Path) -> None:
    """python-pillow/Pillow#7111: Pillow takes the negative ones for the largest."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[images.TIFF_SAMPLES] = images.SIGNED
    Pillow.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(tmp_path / "i8.tif", tiffinfo=tags)
    with pytest.raises(UnavailableError, match=r"i8\.tif has 32-bit or signed integers, of which it is not known"):
        load_image(tmp_path / "i8.tif")
