"""Model names to local files. A catalogue is a folder of TOML files, one a model (`models/*.toml`)."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tvcli.data import data_folder
from tvcli.errors import TvError, UnavailableError
from tvcli.files import replacing

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = "picto"
FAKE = "fake"  # the deterministic engine without weights, to try scripts with


@dataclass(frozen=True)
class PackagedText:
    """A text model that a Python package carries, whole or in chunks that its `assemble` joins."""

    package: str
    file: str
    install: str
    assemble: bool = False
    sha256: str = ""


@dataclass(frozen=True)
class PackagedVision:
    """An mmproj file in the catalogue's own folder."""

    file: str


@dataclass(frozen=True)
class SuggestedLayer:
    """The layer to patch, and where that comes from."""

    suggested: int
    source: str


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue, as its TOML file describes it."""

    name: str
    description: str
    license: str
    text: PackagedText
    vision: PackagedVision | None = None
    layer: SuggestedLayer | None = None
    llm: str | None = None  # the catalogue's name of the language model that this one was made from


@dataclass(frozen=True)
class ModelFiles:
    """A model that is there: its files, and the layer the catalogue suggests for patching."""

    name: str
    text: Path
    vision: Path | None = None
    layer: int | None = None
    llm: str | None = None


def wanted_model(model: str | None) -> str:
    """The model that was asked for; by default the one that TV_MODEL names, else the demo model."""
    return model or os.environ.get("TV_MODEL") or DEFAULT


def resolve(wanted: str, mmproj: Path | None = None) -> ModelFiles:
    """`wanted` is a catalogue name or a path to a GGUF file.

    Raises:
        UnavailableError: an unknown name, a missing file, a package that is not installed.
    """
    entries = catalog()
    if wanted in entries and not Path(wanted).is_file():
        entry = entries[wanted]
        bundled = data_folder("models") / entry.vision.file if entry.vision else None
        layer = entry.layer.suggested if entry.layer else None
        return ModelFiles(wanted, _text_file(entry), mmproj or bundled, layer, entry.llm)
    path = Path(wanted).expanduser()
    if path.suffix.lower() != ".gguf" and not path.exists():
        raise UnavailableError(f"there is no model {wanted!r}; give a .gguf file or one of: {', '.join(entries)}")
    return ModelFiles(path.stem, path, mmproj)


def catalog(folder: Path | None = None) -> dict[str, Entry]:
    """All entries by name. Raises TvError for a malformed file, which is named with the key."""
    paths = sorted((folder or data_folder("models")).glob("*.toml"))
    return {path.stem: _entry(path) for path in paths}


def _entry(path: Path) -> Entry:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TvError(f"{path}: {error}") from error
    try:
        return Entry(
            name=path.stem,
            text=PackagedText(**data.pop("text")),
            vision=PackagedVision(**data.pop("vision")) if "vision" in data else None,
            layer=SuggestedLayer(**data.pop("layer")) if "layer" in data else None,
            **data,
        )
    except (TypeError, KeyError) as error:  # a key too many or too few; the dataclass names it
        raise TvError(f"{path}: {error}") from error


def _text_file(entry: Entry) -> Path:
    package = entry.text.package
    spec = importlib.util.find_spec(package)  # not imported: some of these packages load llama.cpp
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(
            f"the model {entry.name} is not installed; run: pip install {entry.text.install!r}, "
            "or name another with --model"
        )
    if not entry.text.assemble:
        return Path(spec.submodule_search_locations[0], entry.text.file)
    return _assembled(entry)


def _assembled(entry: Entry) -> Path:
    """The model file joined from chunk packages, kept in the user's cache directory.

    The package's own `assemble` checks the SHA-256, which must be the one that the catalogue names.
    """
    import platformdirs

    module = importlib.import_module(entry.text.package)
    if entry.text.sha256 != module.EXPECTED_SHA256:
        raise UnavailableError(f"package {entry.text.package} holds another model than {entry.name} expects")
    target = Path(platformdirs.user_cache_dir("tv", appauthor=False)) / entry.text.file
    if target.is_file() and target.stat().st_size == sum(p.stat().st_size for p in module.chunk_paths()):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            module.assemble(temporary, overwrite=True)
    except (OSError, ValueError, UnavailableError) as error:
        raise UnavailableError(f"model {entry.name} cannot be put together: {error}") from error
    return target
