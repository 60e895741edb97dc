"""A model of one family: its files, and pictures that show what is special about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from random_models.writer import File, Weights

Size = tuple[int, int]  # height, width in pixels


@dataclass(frozen=True)
class Files:
    """Where a family's files were written."""

    text: Path
    vision: Path | None


@dataclass(frozen=True)
class Family:
    """`image` is a size that needs no resizing and no tiles (or the fewest), `tiled` one that is cut into several."""

    text: File
    vision: File | None = None
    image: Size | None = None
    tiled: Size | None = None

    @property
    def projector(self) -> str:
        """llama.cpp's name of it, empty if the family does not see."""
        keys = {} if self.vision is None else self.vision.metadata
        return str(keys.get("clip.projector_type") or keys.get("clip.vision.projector_type") or "")

    def write(self, folder: Path, weights: Weights | None = None, vision_weights: Weights | None = None) -> Files:
        vision = None if self.vision is None else self.vision.write(folder / "mmproj.gguf", vision_weights)
        return Files(self.text.write(folder / "text.gguf", weights), vision)
