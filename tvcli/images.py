"""Files and bytes to RGB pixels, by Pillow.

llama.cpp's own loader ignores the EXIF orientation and drops the alpha channel; here every image
is rotated upright and put on white, as 8-bit RGB, first frame only.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from tvcli.errors import UnavailableError
from tvcli.files import read_bytes

MAX_PIXELS = 64_000_000  # 192 MB of RGB; a phone's largest photo is about 50 million
PLUGINS = ("Png", "Jpeg", "Mpo", "WebP", "Gif", "Bmp", "Tiff", "Ppm", "Avif")
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif"})


@dataclass(frozen=True, eq=False)
class Image:
    """A decoded image: `pixels` uint8 (height, width, 3), and its name for messages."""

    pixels: np.ndarray = field(repr=False)
    name: str

    def __repr__(self) -> str:
        height, width, _ = self.pixels.shape
        return f"Image({self.name!r}, {width} × {height} pixels)"

    @cached_property
    def digest(self) -> bytes:
        """Identifies the pixels, so that an image is encoded once for many prompts."""
        shape = str(self.pixels.shape).encode()
        return hashlib.blake2b(shape + self.pixels.tobytes(), digest_size=16).digest()


def load_image(source: str | Path | bytes, name: str | None = None) -> Image:
    """Decode an image file, or the bytes of one.

    Raises:
        UnavailableError: missing, unreadable, not an image, truncated, or over `MAX_PIXELS`.
    """
    data = source if isinstance(source, bytes) else read_bytes(Path(source), "image")
    label = name or ("<bytes>" if isinstance(source, bytes) else str(source))
    if not data:
        raise UnavailableError(f"image {label} is empty (0 bytes)")
    return Image(np.asarray(_decode(data, label)), label)


def thumbnail(image: Image, size: int) -> bytes:
    """A PNG of at most `size` × `size` pixels."""
    small, buffer = Pillow.fromarray(image.pixels), io.BytesIO()
    small.thumbnail((size, size))
    small.save(buffer, "PNG")
    return buffer.getvalue()


def _decode(data: bytes, label: str) -> Pillow.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs and bad EXIF; both are handled here
            image = Pillow.open(io.BytesIO(data), formats=_formats())
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnavailableError(
                    f"image {label} is too large: {width} × {height} pixels; the limit is {MAX_PIXELS:,}"
                )
            image.seek(0)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise UnavailableError(f"{label} is not an image that Pillow can read") from error
    except Pillow.DecompressionBombError as error:
        raise UnavailableError(f"image {label} is too large: the limit is {MAX_PIXELS:,} pixels") from error
    except UnavailableError:
        raise
    except Exception as error:  # a damaged file can cause any error in Pillow's decoders
        raise UnavailableError(f"image {label} is damaged: {error}") from error


@functools.cache
def _formats() -> list[str]:
    """The `FORMATS` that this Pillow supports. Others are never decoded: for EPS, Pillow starts Ghostscript."""
    for plugin in PLUGINS:  # by name, since Pillow.init() would load forty
        importlib.import_module(f"PIL.{plugin}ImagePlugin")
    return [name for name in FORMATS if name in Pillow.OPEN]


def _to_rgb(image: Pillow.Image) -> Pillow.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = _to_8_bit(image)
    if image.mode == "CMYK":
        image = _from_cmyk(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Pillow.new("RGBA", rgba.size, "white")
        image = Pillow.alpha_composite(white, rgba)
    return image.convert("RGB")


def _to_8_bit(image: Pillow.Image) -> Pillow.Image:
    """Scale 16-bit and float gray values; Pillow's own conversion clips them at 255."""
    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return Pillow.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))


def _from_cmyk(image: Pillow.Image) -> Pillow.Image:
    profile = image.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a broken profile: use Pillow's plain conversion
        if converted is not None:
            return converted
    return image.convert("RGB")
