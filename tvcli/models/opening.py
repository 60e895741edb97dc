"""A model's name to a running engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import DEFAULTS, Engine, Settings
from tvcli.models.catalog import FAKE, wanted_model
from tvcli.models.resolve import describe, resolve
from tvcli.progress import Meter, silent


@dataclass(frozen=True)
class Loaded:
    """A running engine, with the name it was asked for and the layer the catalogue suggests."""

    engine: Engine
    name: str
    layer: int | None = None
    llm: str | None = None  # the model's own language model, where the catalogue knows it


@dataclass(frozen=True)
class ModelRequest:
    """A model by catalogue name, path or hub repository, by default the demo model, and how to load it."""

    name: str | None = None
    mmproj: Path | None = None
    settings: Settings = DEFAULTS
    meter: Meter = field(default=silent, compare=False)  # of files that are fetched

    def check(self) -> None:
        """Before other work. Raises UnavailableError for a name that is no model; nothing is fetched or loaded."""
        wanted = wanted_model(self.name)
        if wanted != FAKE:
            describe(wanted)

    @contextmanager
    def open(self) -> Iterator[Loaded]:
        """Load it; closed at the end of the block.

        Raises:
            UnavailableError: an unknown name, files that are missing, broken, unsupported or not a pair.
        """
        wanted = wanted_model(self.name)
        if wanted == FAKE:
            yield Loaded(FakeEngine(), FAKE, llm=FAKE)
            return
        files = resolve(wanted, self.mmproj, self.meter)
        from tvcli.engine.llama import LlamaEngine  # loads llama.cpp

        with LlamaEngine(files.text, files.vision, self.settings) as engine:
            yield Loaded(engine, files.name, files.layer, files.llm)


def open_model(
    model: str | None = None, mmproj: str | Path | None = None, settings: Settings = DEFAULTS
) -> AbstractContextManager[Loaded]:
    """Load a model; see `ModelRequest.open`."""
    return ModelRequest(model, None if mmproj is None else Path(mmproj), settings).open()
