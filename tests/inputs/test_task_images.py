"""Images of tasks are decoded once; what is kept of large ones is what decoding them again gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import papers_archives
import pytest
from conftest import aged

import tvcli.inputs.task_images
from tvcli.engine.fake import FakeEngine
from tvcli.errors import UnavailableError
from tvcli.images import Image, load_any, load_image
from tvcli.inputs.task_images import SMALL, FileImage, load_kept
from tvcli.inputs.tasks import Sample
from tvcli.kinds import Modality
from tvcli.prompts.prompt import zero_shot

LARGE, LITTLE = (400, 300), (40, 30)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded, in order."""
    paths: list[Path] = []
    for name, real in (("load_any", load_any), ("load_image", load_image)):

        def load(path: Any, *rest: Any, real: Any = real) -> Any:
            paths.append(path)
            return real(path, *rest)

        monkeypatch.setattr(tvcli.inputs.task_images, name, load)
    return paths


def photograph(folder: Path, size: tuple[int, int], seed: str = "x") -> Path:
    """One that a camera held upside down took."""
    path = folder / f"{seed} {size[0]}.jpg"
    path.write_bytes(papers_archives.photograph(seed, size, upside_down=True))
    return path


@pytest.mark.parametrize("size", [LARGE, LITTLE])
def test_an_image_is_decoded_once_for_all_prompts(tmp_path: Path, decoded: list[Path], size: tuple[int, int]) -> None:
    path = photograph(tmp_path, size)
    sample = Sample("x", ("y",), path)
    assert sample.problem() == ""
    for _ in range(3):
        image = sample.load(Modality.IMAGE)
        assert isinstance(image, Image)
        assert sample.identities(images=True)
        assert image.papers.shape[1] == 224
        FakeEngine().read([zero_shot(image)])
    assert decoded == [path]


@pytest.mark.parametrize("size", [LARGE, LITTLE])
def test_what_is_kept_is_what_decoding_again_gives(tmp_path: Path, size: tuple[int, int]) -> None:
    path = photograph(tmp_path, size)
    kept, fresh = load_kept(path), load_image(path)
    assert isinstance(kept, Image)
    assert isinstance(kept, FileImage) == (fresh.pixels.nbytes > SMALL)
    assert (kept.name, kept.digest, repr(kept)) == (fresh.name, fresh.digest, repr(fresh))
    assert np.array_equal(kept.papers, fresh.papers)
    assert np.array_equal(kept.pixels, fresh.pixels)
    assert not hasattr(kept, "no such attribute")


def test_of_a_large_image_the_pixels_are_not_kept(tmp_path: Path, decoded: list[Path]) -> None:
    path = photograph(tmp_path, LARGE)
    image = load_kept(path)
    assert isinstance(image, FileImage)
    for _ in range(2):
        assert image.pixels.shape == (300, 400, 3)
    assert decoded == [path] * 3
    assert "pixels" not in image.__dict__


def test_a_file_that_changed_is_decoded_again(tmp_path: Path) -> None:
    path = aged(photograph(tmp_path, LITTLE))
    first = load_kept(path)
    path.write_bytes(papers_archives.photograph("another", LITTLE))
    assert load_kept(path).digest != first.digest


def test_a_file_that_cannot_be_read_is_reported_each_time(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for name in ("text.png", "missing.png"):
        for _ in range(2):
            with pytest.raises(UnavailableError):
                load_kept(tmp_path / name)
