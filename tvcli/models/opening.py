"""A model by name, loaded and ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import DEFAULTS, Engine, Settings
from tvcli.models.catalog import FAKE, wanted_model
from tvcli.models.resolve import describe, resolve
from tvcli.progress import Meter, silent


@dataclass(frozen=True)
class Model:
    """A running engine, with the name it was asked for and the layer the catalog suggests.

    It stays loaded until `close`, the end of a ``with`` block, or the last reference to its engine.
    """

    engine: Engine
    name: str
    layer: int | None = None
    llm: str | None = None  # the model's own language model, where the catalog knows it

    def close(self) -> None:
        """Free it; safe to call twice. Whatever the engine is asked afterwards raises UsageError."""
        self.engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        seen = "images and text" if self.engine.has_vision else "text"
        layer = "" if self.layer is None else f", layer {self.layer}"
        return f"Model({self.name!r}, {self.engine.model}, {seen}{layer})"


@dataclass(frozen=True)
class ModelRequest:
    """A model by catalog name, path or hub repository, by default the demo model, and how to load it."""

    name: str | None = None
    mmproj: Path | None = None
    settings: Settings = DEFAULTS
    meter: Meter = field(default=silent, compare=False)  # of files that are fetched

    def check(self) -> None:
        """Before other work. Raises UnavailableError for a name that is no model; nothing is fetched or loaded."""
        wanted = wanted_model(self.name)
        if wanted != FAKE:
            describe(wanted)

    def open(self) -> Model:
        """Load it; the caller closes it, or lets ``with`` do so.

        Raises:
            UnavailableError: an unknown name, files that are missing, broken, unsupported or not a pair.
        """
        wanted = wanted_model(self.name)
        if wanted == FAKE:
            return Model(FakeEngine(), FAKE, llm=FAKE)
        files = resolve(wanted, self.mmproj, self.meter)
        from tvcli.engine.llama import LlamaEngine  # loads llama.cpp

        return Model(LlamaEngine(files.text, files.vision, self.settings), files.name, files.layer, files.llm)


def open_model(model: str | None = None, mmproj: str | Path | None = None, settings: Settings = DEFAULTS) -> Model:
    """Load a model, to be used as it is or in a ``with`` block; see `ModelRequest.open`."""
    return ModelRequest(model, None if mmproj is None else Path(mmproj), settings).open()
