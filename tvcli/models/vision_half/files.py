"""The files of a vision half: from a folder, or from the hub, and of the weights only the files that have some of it.

Nothing in them is run: settings are JSON, weights are safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvcli.errors import UnavailableError, UsageError
from tvcli.files import in_home, parse_json, read_bytes
from tvcli.models.vision_half.families import FAMILIES, Family
from tvcli.progress import Meter, silent

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(?:@[\w./-]+)?")
CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
LANGUAGE = frozenset({"text_model", "language_model", "lm_head"})  # parts of the names of the other half's tensors


@dataclass(frozen=True)
class VisionHalf:
    """`folder` has the settings, `weights` are files that have all of its tensors, beside others."""

    source: str
    folder: Path
    family: Family
    weights: tuple[Path, ...]


def checked_source(source: str) -> str:
    """The source, a folder by its whole path, before it is written down; nothing is fetched.

    Raises:
        UsageError: neither a folder nor a repository.
        UnavailableError: see `vision_half`.
    """
    folder = in_home(source)
    if folder.is_dir():
        vision_half(source, fetch=False)
        return str(folder.resolve())
    if not REPOSITORY.fullmatch(source):
        raise UsageError(f"{source!r} is neither a folder nor owner/repo, which `vision_from` needs")
    return source


def is_language(tensor: str) -> bool:
    """Whether a tensor of that name belongs to the language model."""
    return not LANGUAGE.isdisjoint(tensor.split("."))


def vision_half(source: str, *, fetch: bool, verify: bool = False, meter: Meter = silent) -> VisionHalf | None:
    """The files of a folder, or of a repository of the hub: ``owner/repo`` or ``owner/repo@revision``.

    `None` if some are not on this machine, unless they may be fetched.

    Raises:
        UnavailableError: a file that is missing or broken, or another family than `FAMILIES`.
    """
    folder = in_home(source)
    if folder.is_dir():
        missing = next((name for name in (CONFIG, PROCESSOR) if not (folder / name).is_file()), None)
        if missing is not None:
            raise UnavailableError(f"the folder {source} has no {missing}, so it is not a model of transformers")
        return _half(source, folder, [folder / name for name in _weights(folder, (folder / INDEX).is_file())])

    from tvcli.models.hub.files import named_files  # loads the hub's client

    def files(names: Iterable[str], optional: Iterable[str] = ()) -> list[Path] | None:
        return named_files(source, names, optional, fetch=fetch, verify=verify, meter=meter)

    settings = files([CONFIG, PROCESSOR], [INDEX])
    if settings is None:
        return None
    family_of(settings[0])  # before gigabytes are fetched
    weights = files(_weights(settings[0].parent, len(settings) > 2))
    return None if weights is None else _half(source, settings[0].parent, weights)


def _half(source: str, folder: Path, weights: list[Path]) -> VisionHalf:
    missing = next((path for path in weights if not path.is_file()), None)
    if missing is not None:
        raise UnavailableError(f"the weights {missing} are missing; tv reads safetensors, and no other format")
    return VisionHalf(source, folder, family_of(folder / CONFIG), tuple(weights))


def family_of(config: Path) -> Family:
    """The family that a config.json names. Raises UnavailableError."""
    kind = _json(config).get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise UnavailableError(f"{config}: tv runs the vision half of {', '.join(FAMILIES)}, not of {kind!r}")
    return family


def _weights(folder: Path, is_split: bool) -> list[str]:
    """The names of the files that have tensors of the vision half."""
    if not is_split:
        return [WHOLE]
    index = folder / INDEX
    places: Any = _json(index).get("weight_map")
    if not isinstance(places, Mapping) or not all(_is_name(place) for place in places.values()):
        raise UnavailableError(f"{index} does not say which file has which tensor")
    names = sorted({place for tensor, place in places.items() if not is_language(tensor)})
    if not names:
        raise UnavailableError(f"{index} names no tensors of an image encoder")
    return names


def _is_name(place: object) -> bool:
    """Whether it is the name of a file beside the index, and not a path to elsewhere."""
    return isinstance(place, str) and place.endswith(".safetensors") and not set(place) & set("/\\:\0")


def _json(path: Path) -> Mapping[str, Any]:
    try:
        value = parse_json(read_bytes(path, "file"))
    except ValueError as error:
        raise UnavailableError(f"{path} is not JSON ({error})") from error
    if not isinstance(value, Mapping):
        raise UnavailableError(f"{path} is not a JSON object")
    return value
