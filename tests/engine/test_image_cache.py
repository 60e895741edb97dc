"""Encoded images: each is computed once, whatever fits the memory, and again only where the disk has no space."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import contract
import numpy as np
import pytest
from random_models import FAMILIES

from tvcli.engine import image_cache
from tvcli.engine.image_cache import SPARE, ImageCache
from tvcli.engine.protocol import ImageTokens

SHAPE = (3, 5)
ONE = 4 * 3 * 5  # bytes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "cache" / "tv"))
    return tmp_path / "cache" / "tv"


Make = Callable[[int], "ImageCache[int]"]


@pytest.fixture
def cached() -> Iterator[Make]:
    """Makes caches of so many bytes of memory, which are closed at the end."""
    with ExitStack() as stack:
        yield lambda memory: stack.enter_context(closing(ImageCache(memory)))


def encoded(key: int) -> np.ndarray:
    return np.random.default_rng(key).standard_normal(SHAPE, np.float32)


def computing(key: int) -> Callable[[], np.ndarray]:
    return lambda: encoded(key)


def passes(cache: ImageCache[int], images: int, count: int) -> None:
    """All images in order, `count` times; each as it was computed, bit for bit."""
    for key in [*range(images)] * count:
        assert np.array_equal(cache.get(key, computing(key)), encoded(key))


@pytest.mark.parametrize("memory", [1, ONE, 3 * ONE, 100 * ONE])
def test_each_is_computed_once_whatever_the_memory_holds(cached: Make, memory: int) -> None:
    cache = cached(memory)
    passes(cache, 10, 3)
    assert cache.computed == 10


def test_the_file_has_no_name_and_is_written_only_beyond_the_memory(cached: Make, folder: Path) -> None:
    cache = cached(10 * ONE)
    passes(cache, 10, 2)
    assert not folder.exists()
    passes(cache, 11, 2)
    assert list(folder.iterdir()) == []
    assert cache.computed == 11


def test_shapes_of_their_own_are_kept(cached: Make) -> None:
    cache = cached(1)
    arrays = [np.ones((1, 7), np.float32), np.full((4, 2), 2, np.float32), np.zeros((2, 2), np.float32)]
    for key, array in enumerate(arrays):
        cache.get(key, array.copy)
    for key, array in enumerate(arrays):
        assert np.array_equal(cache.get(key, lambda: pytest.fail("computed again")), array)


def test_what_is_dropped_is_computed_again_from_memory_and_file(cached: Make) -> None:
    cache = cached(2 * ONE)
    passes(cache, 4, 1)  # 0 and 1 are in the file, 2 and 3 in memory
    cache.drop(lambda key: key in (0, 3))
    passes(cache, 4, 1)
    assert cache.computed == 6
    cache.drop(lambda key: True)
    passes(cache, 4, 2)
    assert cache.computed == 10


def test_a_closed_cache_starts_again(cached: Make) -> None:
    cache = cached(ONE)
    passes(cache, 3, 2)
    cache.close()
    cache.close()
    passes(cache, 3, 2)
    assert cache.computed == 6


def full(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=SPARE + ONE - 1))


def unwritable(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("a file, where the folder should be")


@pytest.mark.parametrize("disk", [full, unwritable])
def test_without_a_disk_it_is_computed_again_and_said_once(
    cached: Make,
    disk: Callable[[pytest.MonkeyPatch, Path], None],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk(monkeypatch, folder)
    cache = cached(2 * ONE)
    with caplog.at_level(logging.WARNING):
        passes(cache, 4, 3)
    assert cache.computed == 12
    [record] = caplog.records
    assert record.message.startswith(f"encoded images cannot be kept in {folder}: ")


def test_a_disk_that_fills_up_keeps_what_it_has(cached: Make, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cached(ONE)
    passes(cache, 4, 1)  # 0, 1 and 2 are in the file
    full(monkeypatch, folder)
    passes(cache, 5, 1)  # 3 leaves the memory for good
    assert cache.computed == 6
    passes(cache, 3, 2)
    assert cache.computed == 6


@pytest.mark.model
@pytest.mark.parametrize("family", ["llava", "smolvlm", "qwen2vl"])
def test_a_model_encodes_each_picture_once_and_answers_the_same_from_the_file(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [prompt for prompt in contract.prompts_of(FAMILIES[family]()).values() if prompt.images]
    found = {}
    for memory in (1, image_cache.MEMORY):
        monkeypatch.setattr(image_cache, "MEMORY", memory)
        with contract.engine_of(FAMILIES[family](), tmp_path) as engine:
            pieces = [piece for p in prompts for piece in engine.layout(p) if isinstance(piece, ImageTokens)]
            found[memory] = [engine.logits([prompt]) for prompt in prompts * 3]
            one, *_ = prompts  # the picture of the first prompt is also in the second one
            assert engine.encodings == len(pieces) - sum(isinstance(p, ImageTokens) for p in engine.layout(one))
    assert all(np.array_equal(a, b) for a, b in zip(*found.values(), strict=True))
