"""Files and bytes to RGB pixels, by Pillow.

llama.cpp's own loader ignores the EXIF orientation and drops the alpha channel; here every image is decoded as a
viewer shows it: rotated upright and put on white, as 8-bit sRGB, first frame only. The paper's code ignores all of
these; what it makes of a file is kept beside (`Image.papers`).
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import ExifTags, ImageCms, ImageOps, UnidentifiedImageError
from PIL import Image as Pillow

from tvcli.encoded import EncodedImage, is_encoded, load_encoded
from tvcli.errors import UnavailableError
from tvcli.files import read_bytes

log = logging.getLogger(__name__)

MAX_PIXELS = 64_000_000  # 192 MB of RGB; a phone's largest photo is about 50 million
MAX_ASPECT = 200  # beyond it, resizing leaves no pixel on the short side and mtmd asserts
PLUGINS = ("Png", "Jpeg", "Mpo", "WebP", "Gif", "Bmp", "Tiff", "Ppm", "Avif")
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF")
SUFFIXES = frozenset(
    (
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".avifs"),
    )
)
CONVERT = "convert it to PNG or JPEG"
SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # of profiles that fit a mode
ADDRESS = re.compile(r"\b(https?|ftp|file|data):")
TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_SAMPLES = 258, 262, 339  # tags
SIGNED = 2  # of TIFF_SAMPLES
WHITE_IS_ZERO = 0
PAPERS_WIDTH = 224  # pixels; xpatch_dataset.py, image_size
SHOWN = 320  # pixels in a notebook, at most


@dataclass(frozen=True, eq=False)
class Image:
    """A decoded image: `pixels` uint8 (height, width, 3), and its name for messages.

    `unlike` is `papers` of a file whose `pixels` are not those that the paper's code reads.
    """

    pixels: np.ndarray = field(repr=False)
    name: str
    unlike: np.ndarray | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        height, width, _ = self.pixels.shape
        return f"Image({self.name!r}, {width} × {height} pixels)"

    def _repr_png_(self) -> bytes:
        """A PNG for notebooks."""
        return thumbnail(self, SHOWN)

    @cached_property
    def digest(self) -> bytes:
        """Identifies the pixels, so that an image is encoded once for many prompts."""
        shape = str(self.pixels.shape).encode()
        return hashlib.blake2b(shape + self.pixels.tobytes(), digest_size=16).digest()

    @cached_property
    def papers(self) -> np.ndarray:
        """The image as the paper's code opens its file, uint8 (height, `PAPERS_WIDTH`, 3); see `_papers`."""
        return _narrowed(Pillow.fromarray(self.pixels)) if self.unlike is None else self.unlike


AnyImage = Image | EncodedImage


def load_any(source: str | Path | bytes, name: str | None = None) -> AnyImage:
    """An image, or image tokens, whichever the file's bytes are. Raises what `load_image` and `load_encoded` do."""
    label = name or ("<bytes>" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else _read(Path(source), label)
    return load_encoded(data, label) if is_encoded(data) else load_image(data, label)


def load_image(source: str | Path | bytes, name: str | None = None) -> Image:
    """Decode an image file, or the bytes of one.

    Raises:
        UnavailableError: missing, unreadable, not an image, truncated, over `MAX_PIXELS`, too narrow to encode, or
            with values of unknown range.
    """
    label = name or ("<bytes>" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else _read(Path(source), label)
    if not data:
        raise UnavailableError(f"image {label} is empty (0 bytes)")
    decoded, unlike = _decode(data, label)
    image = Image(np.asarray(decoded), label, unlike)
    check_shape(image)
    return image


def check_shape(image: Image) -> None:
    """Raises UnavailableError for an image that is too narrow to encode."""
    height, width, _ = image.pixels.shape
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise UnavailableError(f"image {image.name} is too narrow to encode: {width} × {height} pixels")


def _read(path: Path, label: str) -> bytes:
    try:
        return read_bytes(path, "image")
    except UnavailableError:
        if ADDRESS.search(label):
            raise UnavailableError(f"image {label} is an address; download the image and give its file") from None
        raise


def thumbnail(image: Image, size: int) -> bytes:
    """A PNG of at most `size` × `size` pixels."""
    small, buffer = Pillow.fromarray(image.pixels), io.BytesIO()
    small.thumbnail((size, size))
    small.save(buffer, "PNG")
    return buffer.getvalue()


def _decode(data: bytes, label: str) -> tuple[Pillow.Image, np.ndarray | None]:
    """The image as a viewer shows it, and `Image.unlike`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs and bad EXIF; both are handled here
            image = Pillow.open(io.BytesIO(data), formats=_formats())
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnavailableError(
                    f"image {label} is too large: {width} × {height} pixels; the limit is {MAX_PIXELS:,}"
                )
            frames = _frames(data)
            image.seek(0)
            image.load()
            decoded, unlike = _to_rgb(image, label), _papers(image)
    except UnidentifiedImageError as error:
        kind = _kind(data)
        known = f" ({kind})" if kind else ""
        raise UnavailableError(f"{label} is not an image that tv can read{known}; {CONVERT}") from error
    except Pillow.DecompressionBombError as error:
        raise UnavailableError(f"image {label} is too large: the limit is {MAX_PIXELS:,} pixels") from error
    except UnavailableError:
        raise
    except Exception as error:  # a damaged file can cause any error in Pillow's decoders
        raise UnavailableError(f"image {label} is damaged: {error}") from error
    if frames > 1:
        _note_frames(label, frames)
    return decoded, unlike


@functools.cache
def _formats() -> list[str]:
    """The `FORMATS` that this Pillow supports. Others are never decoded: for EPS, Pillow starts Ghostscript."""
    for plugin in PLUGINS:  # by name, since Pillow.init() would load forty
        importlib.import_module(f"PIL.{plugin}ImagePlugin")
    return [name for name in FORMATS if name in Pillow.OPEN]


def _kind(data: bytes) -> str:
    """The format of a file that tv does not decode, as users know it, or an empty string."""
    start = data[:1024]
    if start[4:8] == b"ftyp":
        return "HEIC" if start[8:12] in {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"} else "video"
    if b"<svg" in start.lower():
        return "SVG"
    magic = {b"%PDF": "PDF", b"\0\0\1\0": "ICO", b"\0\0\0\x0cjP": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000"}
    magic |= {b"8BPS": "Photoshop", b"\0\0\0\x0cJXL": "JPEG XL", b"\xff\x0a": "JPEG XL", b"%!PS": "PostScript"}
    return next((kind for number, kind in magic.items() if start.startswith(number)), "")


# -- frames -----------------------------------------------------------------------------------------------------------


def _frames(data: bytes) -> int:
    """The number of frames. The second image of a photo (MPO) is a preview, a depth map or a gain map: not counted."""
    try:
        image = Pillow.open(io.BytesIO(data), formats=_formats())
        return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    except Exception:  # the first frame is decoded even if a later one is damaged
        return 1


@functools.cache
def _note_frames(label: str, frames: int) -> None:
    """Once per file, even if it is decoded for many prompts."""
    log.info("image %s: the first of its %d frames is used", label, frames)


# -- the paper's code --------------------------------------------------------------------------------------------------


def _papers(image: Pillow.Image) -> np.ndarray | None:
    """What the paper's code makes of an opened file; `None` if it is `_narrowed` of what a viewer shows.

    It calls ``Image.open(path).convert("RGB")`` (xpatch_dataset.py, open_image): the color under transparent pixels
    shows, EXIF does not rotate, profiles do not count, and CMYK is converted by Pillow's formula. Only images of more
    than 8 bits differ on purpose: Pillow clips them at 255, which makes most of their pixels white; tv scales them.
    """
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return None
    rotated = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    seen_alike = image.mode != "CMYK" and not image.has_transparency_data and "icc_profile" not in image.info
    return None if seen_alike and not rotated else _narrowed(image.convert("RGB"))


def _narrowed(image: Pillow.Image) -> np.ndarray:
    """`PAPERS_WIDTH` wide and in proportion, bicubic (Pillow's default), with the paper's rounding."""
    width, height = image.size
    return np.asarray(image.resize((PAPERS_WIDTH, int((PAPERS_WIDTH / width) * height))))


# -- colors -----------------------------------------------------------------------------------------------------------


def _to_rgb(image: Pillow.Image, label: str) -> Pillow.Image:
    profile, opened = image.info.get("icc_profile"), image
    tags = getattr(image, "tag_v2", {})
    if SIGNED in tags.get(TIFF_SAMPLES, ()):  # Pillow takes negative 8-bit values for large ones
        raise _unknown_range(label, "32-bit or signed integers")
    image = ImageOps.exif_transpose(image)
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = _to_8_bit(image, opened, label)
    if image.mode == "CMYK":
        return _managed(image, profile).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if profile:
            *_, alpha = rgba.split()
            plain = rgba.convert("L" if image.mode in {"L", "LA"} else "RGB")
            rgba = _managed(plain, profile).convert("RGB")
            rgba.putalpha(alpha)
        white = Pillow.new("RGBA", rgba.size, "white")
        return Pillow.alpha_composite(white, rgba).convert("RGB")
    if not profile:
        return image.convert("RGB")
    return _managed(image if image.mode == "L" else image.convert("RGB"), profile).convert("RGB")


def _unknown_range(label: str, kind: str) -> UnavailableError:
    return UnavailableError(
        f"image {label} has {kind}, of which it is not known what is black and what is white; "
        "scale it to 0 to 255 and save it as an 8-bit PNG"
    )


def _to_8_bit(image: Pillow.Image, opened: Pillow.Image, label: str) -> Pillow.Image:
    """16-bit gray, scaled from its full range; Pillow's own conversion clips it at 255. Floats are refused.

    `opened` is the image before it was rotated: it still has its format and tags.
    """
    if image.mode == "F" or (image.mode == "I" and opened.format != "PPM"):  # Pillow scales PPM files to 16 bits
        raise _unknown_range(label, "floating-point values" if image.mode == "F" else "32-bit or signed integers")
    values, tags = np.asarray(image, dtype=np.float64), getattr(opened, "tag_v2", {})
    [bits] = tags.get(TIFF_BITS, (16,))
    levels = np.clip(values * (255.0 / (2.0**bits - 1)), 0, 255).astype(np.uint8)
    if tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:
        levels = 255 - levels
    gray = Pillow.fromarray(levels)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray.putalpha(Pillow.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return gray


def _managed(image: Pillow.Image, profile: bytes | None) -> Pillow.Image:
    """The image in sRGB, by its color profile. A broken profile, or one for another mode, is ignored."""
    convert = _conversion(profile, image.mode) if profile else None
    return image if convert is None else convert(image)


@functools.lru_cache(maxsize=16)
def _conversion(profile: bytes, mode: str) -> Callable[[Pillow.Image], Pillow.Image] | None:
    """From a mode's colors to sRGB; `None` if nothing is to be converted, or nothing can be."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode != "CMYK":
            probe = _probe(mode)
            moved = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
            if np.abs(moved - np.asarray(probe.convert("RGB"), np.int16)).max() <= 1:
                return None  # it is sRGB, whatever its name: the pixels stay unchanged
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None

    def convert(image: Pillow.Image) -> Pillow.Image:
        converted = ImageCms.applyTransform(image, transform)
        return image if converted is None else converted

    return convert


def _probe(mode: str) -> Pillow.Image:
    """All grays, or a grid of colors."""
    if mode == "L":
        return Pillow.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.array([0, 16, 32, 64, 96, 128, 160, 192, 224, 255], np.uint8)
    return Pillow.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3))
