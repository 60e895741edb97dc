"""Images of tasks, decoded once for all prompts that show them.

A photograph of nine megapixels takes 0.19 s to decode, to identify and to narrow to the paper's width, and an
evaluation shows it in many prompts. Decoded, a hundred of them would take 2.6 GB: of a large one only the digest and
the paper's pixels are kept, and all its pixels are decoded again where they are asked for.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from tvcli.images import AnyImage, Image, load_any, load_image

MOST = 2048  # images
SMALL = 1 << 18  # bytes of pixels that are kept as they are


class FileImage(Image):
    """An image whose `pixels` are those of its file, decoded whenever they are asked for."""

    def __init__(self, decoded: Image, path: Path) -> None:
        # not by the dataclass, which would set `pixels`; the cached properties find their values
        self.__dict__.update(name=decoded.name, unlike=decoded.unlike, digest=decoded.digest, papers=decoded.papers)
        self.__dict__["path"] = path

    def __getattr__(self, name: str) -> Any:
        if name == "pixels":
            return load_image(self.__dict__["path"], self.name).pixels
        raise AttributeError(name)


def load_kept(path: Path) -> AnyImage:
    """What `images.load_any` gives, kept until the file changes. Raises UnavailableError."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return load_any(path)  # says why it cannot be read
    return _kept(path, status.st_mtime_ns, status.st_size) or load_any(path)


@functools.lru_cache(maxsize=MOST)
def _kept(path: Path, time: int, size: int) -> Image | None:
    """`time` and `size` are those of the file. `None` for image tokens, which are as large as they are in the file."""
    image = load_any(path)
    if not isinstance(image, Image):
        return None
    return image if image.pixels.nbytes <= SMALL else FileImage(image, path)
