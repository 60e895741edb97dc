"""Load a model by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import DEFAULTS, Engine, ImageEncoder, Lora, Settings
from tvcli.errors import UsageError
from tvcli.models.catalog import FAKE, wanted_model
from tvcli.models.resolve import ModelFiles, describe, local_files, present, resolve
from tvcli.models.vision_half.files import VisionHalf
from tvcli.progress import Meter, silent


@dataclass(frozen=True)
class Model:
    """A loaded engine, with the requested name and the layer that the catalog suggests.

    It stays loaded until `close`, the end of a ``with`` block, or the last reference to its engine.
    """

    engine: Engine
    name: str
    layer: int | None = None
    llm: str | None = None  # the model's own language model, if the catalog names it
    template: str = ""  # the chat template that the catalog names
    one_image: bool = False  # whether it takes only one image in a prompt

    def close(self) -> None:
        """Free it; safe to call twice. Every later call to the engine raises UsageError."""
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
    meter: Meter = field(default=silent, compare=False)  # for fetching files
    loras: tuple[Lora, ...] = ()  # adapters, after the catalog's own

    def check(self) -> None:
        """Raises UnavailableError for a name that is not a model, without fetching or loading it."""
        wanted = wanted_model(self.name)
        if wanted != FAKE:
            describe(wanted)

    def own_files(self) -> list[Path]:
        """The files that the user names by path, or in a catalog entry of their own. They need not exist."""
        wanted = wanted_model(self.name)
        found = None if wanted == FAKE else local_files(wanted)
        files = () if found is None else (found.text, found.vision)
        return [path for path in (*files, self.mmproj, *(lora.path for lora in self.loras)) if path is not None]

    def files_here(self) -> ModelFiles | None:
        """The files, if all are on this machine; nothing is fetched.

        Raises:
            UnavailableError: an unknown name, or a file that cannot be read.
        """
        wanted = wanted_model(self.name)
        found = None if wanted == FAKE else present(describe(wanted))
        return found if found is None or self.mmproj is None else replace(found, vision=self.mmproj)

    def open(self) -> Model:
        """Load it, or what `opened_by` gives instead; the caller closes it, or lets ``with`` do so.

        Raises what `load` does.
        """
        return (_opener.get() or ModelRequest.load)(self)

    def load(self) -> Model:
        """Load it.

        Raises:
            UnavailableError: an unknown name, files that are missing, broken, unsupported or do not fit each other.
        """
        wanted = wanted_model(self.name)
        if wanted == FAKE:
            if self.loras:
                raise UsageError("the model fake has no weights, so `lora` does nothing")
            fake = FakeEngine()
            fake.picture = self.settings.picture
            return Model(fake, FAKE, llm=FAKE)
        files = resolve(wanted, self.mmproj, self.meter)
        from tvcli.engine.llama import LlamaEngine  # loads llama.cpp

        engine = LlamaEngine(
            files.text, files.vision, self.settings, (*files.loras, *self.loras), self._encoder(files.half)
        )
        return Model(engine, files.name, files.layer, files.llm, files.template, files.one_image)

    def _encoder(self, half: VisionHalf | None) -> ImageEncoder | None:
        if half is None:
            return None
        from tvcli.models.vision_half.encoder import open_encoder

        return open_encoder(half, self.settings.threads, self.settings.progress, self.meter)


@contextmanager
def opened_by(opener: Callable[[ModelRequest], Model]) -> Iterator[None]:
    """`ModelRequest.open` is `opener` in this block: a plan counts what a model would do."""
    token = _opener.set(opener)
    try:
        yield
    finally:
        _opener.reset(token)


_opener: ContextVar[Callable[[ModelRequest], Model] | None] = ContextVar("opener", default=None)


def open_model(
    model: str | None = None,
    mmproj: str | Path | None = None,
    settings: Settings = DEFAULTS,
    loras: Sequence[Lora] = (),
) -> Model:
    """Load a model, to be used as it is or in a ``with`` block; see `ModelRequest.open`."""
    vision = None if mmproj is None else Path(mmproj)
    return ModelRequest(model, vision, settings, loras=tuple(loras)).open()
