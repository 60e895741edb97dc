"""Memory that Pixtral's graph takes for zeros: cleared, whatever was in it, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_models import FAMILIES

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Settings
from tvcli.engine.unset_memory import UnsetMemoryCleared
from tvcli.errors import TvError
from tvcli.images import Image


def noise(seed: int) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (112, 168, 3), np.uint8)
    return Image(pixels, f"noise {seed}")


@contextmanager
def poisoned(monkeypatch: pytest.MonkeyPatch, *, cleared: bool) -> Iterator[list[Any]]:
    """What is multiplied by zero is no number before the image is encoded."""
    clear, found = UnsetMemoryCleared._clear, []

    def poison(graph: UnsetMemoryCleared, tensor: int) -> None:
        shape = graph.head(tensor).ne[:]
        graph.set(tensor, np.full(shape, np.nan, np.float32))
        if cleared:
            clear(graph, tensor)
        found.append(graph.get(tensor, np.empty(shape, np.float32)))

    with monkeypatch.context() as patched:
        patched.setattr(UnsetMemoryCleared, "_clear", poison)
        yield found


@pytest.mark.model
@pytest.mark.parametrize("name", ["pixtral", "mistral3"])
def test_what_was_in_memory_does_not_show_in_image_tokens(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FAMILIES[name]().write(tmp_path)
    image, other = noise(1), noise(2)
    with LlamaEngine(files.text, files.vision, Settings(gpu_layers=0, threads=1)) as engine:
        expected = engine.image_tokens(image)
        engine.forget(image)
        with poisoned(monkeypatch, cleared=True) as found:
            assert np.array_equal(engine.image_tokens(image), expected)
        assert [np.any(values) for values in found] == [False]
        with poisoned(monkeypatch, cleared=False), pytest.raises(TvError, match="values that are not finite"):
            engine.image_tokens(other)  # so the test can fail
