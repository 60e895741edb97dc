"""Archives in the layout of the paper's data, with what a Mac makes of them; the contents are invented.

``annotations.zip`` has ``{task}_{val|test}.json``, lists of ``{input, output, image}``; ``images.zip`` has the
photographs of three kinds, each shared by two tasks.
"""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from tvcli.inputs.tasks import task_folders

TASKS = [folder.name for folder in task_folders("paper")]
NAMES = ("Côte d'Ivoire", "São Tomé", "Curaçao", "crème brûlée", "jalapeño")
ORIENTATION, UPSIDE_DOWN = 0x0112, 3


@dataclass(frozen=True)
class Archives:
    """The two files."""

    annotations: Path
    images: Path

    @property
    def by_name(self) -> dict[str, bytes]:
        """As the hub has them."""
        return {"data/annotations.zip": self.annotations.read_bytes(), "data/images.zip": self.images.read_bytes()}


class Unflagged(zipfile.ZipInfo):
    """A member whose name is UTF-8 without the flag that says so, as macOS writes it."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's name
        return self.filename.encode("utf-8"), self.flag_bits


def write(
    folder: Path,
    *,
    validation: int = 6,
    test: int = 8,
    size: tuple[int, int] = (24, 16),
    leave_out: frozenset[int] = frozenset(),
) -> Archives:
    """Six tasks of so many samples per split; numbers of `leave_out` have no picture.

    Names are composed in the annotations and decomposed in the archive of images, some of them without the UTF-8 flag.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = Archives(folder / "annotations.zip", folder / "images.zip")
    with zipfile.ZipFile(made.annotations, "w") as archive:
        for task in TASKS:
            samples = [_sample(task, number) for number in range(validation + test)]
            for split, some in (("val", samples[:validation]), ("test", samples[validation:])):
                archive.writestr(f"annotations/{task}_{split}.json", json.dumps(some, ensure_ascii=False))
                archive.writestr(f"__MACOSX/annotations/._{task}_{split}.json", b"\0\5\x16\7\0\2\0\0Mac OS X")
    with zipfile.ZipFile(made.images, "w") as archive:
        for kind in dict.fromkeys(task.split("-")[0] for task in TASKS):
            for number in range(validation + test):
                if number not in leave_out:
                    name = unicodedata.normalize("NFD", f"images/{_image(kind, number)}")
                    info = Unflagged(name) if number % 2 else zipfile.ZipInfo(name)
                    archive.writestr(info, photograph(f"{kind} {number}", size, upside_down=number % 3 == 0))
                    archive.writestr(f"__MACOSX/images/{kind}/._{number}.jpg", b"\0\5\x16\7\0\2\0\0Mac OS X")
    return made


def _sample(task: str, number: int) -> Mapping[str, str]:
    kind, wanted = task.split("-")
    name = f"{kind} {NAMES[number % len(NAMES)]} {number}"
    return {"input": name, "output": f"{wanted} {number % 4}", "image": f"images/{_image(kind, number)}"}


def _image(kind: str, number: int) -> str:
    return f"{kind}/{NAMES[number % len(NAMES)]} {number}.jpg"


def photograph(seed: str, size: tuple[int, int], *, upside_down: bool = False) -> bytes:
    """Smooth noise as a JPEG file, with the EXIF note of a camera that was held upside down."""
    rng = np.random.default_rng(list(seed.encode()))
    coarse = Pillow.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8))
    exif, buffer = Pillow.Exif(), io.BytesIO()
    if upside_down:
        exif[ORIENTATION] = UPSIDE_DOWN
    coarse.resize(size, Pillow.Resampling.BICUBIC).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()
