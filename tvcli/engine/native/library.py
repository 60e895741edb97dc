"""Load llama.cpp's libraries, and check that they are a build that tv supports."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvcli.engine.native import faults, kernels, log, pinned, places
from tvcli.engine.native.declarations import Declarations, declarations
from tvcli.engine.native.places import Place
from tvcli.engine.native.process import owner
from tvcli.errors import UnavailableError

HEADER = Path(__file__).with_name("abi.h")
SLACK = 256  # bytes after a structure that the library fills, in case it is larger there
_VERSION = "const char * llama_version(void); const char * ggml_version(void); const char * ggml_commit(void);"


@dataclass(frozen=True)
class Build:
    """The version of llama.cpp, its origin, and its kernels for weights."""

    version: str  # as reported by the library; may end in -dev
    ggml: str
    commit: str
    origin: str
    folder: Path
    kernels: kernels.Kernels

    def __str__(self) -> str:
        return f"llama.cpp {self.version} (ggml {self.ggml}, {self.commit}) of {self.origin}"


class Library:
    """llama.cpp's functions, structures and callback types, by their C names (`abi.h`)."""

    build: Build

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.__dict__.update(members)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"abi.h does not declare {name}")

    def features(self) -> str:
        """Build options of the backends, and features of the CPU (``llama_print_system_info``)."""
        return str(self.llama_print_system_info().decode().strip(" |"))


@functools.cache
def load() -> Library:
    """The library, loaded and initialized once per process.

    Raises:
        UnavailableError: it is not installed, cannot be loaded, or is not a build that tv supports.
    """
    place = places.find()
    owned = owner()
    if owned is not None and owned.log is None:  # with a log, llama.cpp prints a backtrace
        faults.catch_faults(owned, str(place), place.remedy)
    opened = list(_opened(place))
    release, said = _release(opened, place)
    library = _bound(opened, declarations(HEADER.read_text("utf-8"), release.defines), place)
    _check_defaults(library, place)
    log.take_over(library)
    if owned is not None and owned.log is None:
        library.ggml_set_abort_callback(faults.catch_aborts(owned, library.ggml_abort_callback_t))
    _initialize(library, place)
    library.build = Build(*said, place.origin, place.folder, kernels.leave_out_amx(library))
    return library


def _opened(place: Place) -> Iterator[ctypes.CDLL]:
    if sys.platform == "win32":
        os.add_dll_directory(str(place.folder))
    for path in place.libraries():
        try:
            yield ctypes.CDLL(str(path))
        except OSError as error:
            raise UnavailableError(f"{place} cannot be loaded ({error}); {place.remedy}") from error


def _release(opened: Sequence[ctypes.CDLL], place: Place) -> tuple[pinned.Release, tuple[str, str, str]]:
    """Which supported release this is, and the versions that the library reports."""
    asked = _bound(opened, declarations(_VERSION), place)
    version, ggml, commit = (
        function().decode("utf-8", "replace")
        for function in (asked.llama_version, asked.ggml_version, asked.ggml_commit)
    )
    for known in pinned.RELEASES:
        same = (version.removesuffix("-dev"), ggml) == (known.version, known.ggml)
        if same and commit.startswith(known.commit):
            return known, (version, ggml, commit)
    raise UnavailableError(f"{place} is {version} (ggml {ggml}, {commit}); {_wanted()}")


def _wanted() -> str:
    known = [
        f"{r.version}{f' at commit {r.commit}' if r.commit else ''} (ggml {r.ggml}, in {r.package} {r.package_version})"
        for r in pinned.RELEASES
    ]
    return f"tv supports {' or '.join(known)}"


def _bound(opened: Sequence[ctypes.CDLL], declared: Declarations, place: Place) -> Library:
    """Every declared function with its types; each is searched in all libraries."""
    members = dict(declared.types)
    for name, prototype in declared.functions.items():
        function: Any = next((found for one in opened if (found := getattr(one, name, None)) is not None), None)
        if function is None:
            raise UnavailableError(f"{place} has no function {name}; {_wanted()}")
        function.restype, function.argtypes = prototype.result, prototype.arguments
        members[name] = function
    return Library(members)


def _check_defaults(library: Library, place: Place) -> None:
    """Check the layout by the default parameters: a misplaced member has another value. Raises UnavailableError."""
    for name, function, expected in (
        ("llama_model_params", "llama_model_default_params", pinned.MODEL_DEFAULTS),
        ("llama_context_params", "llama_context_default_params", pinned.CONTEXT_DEFAULTS),
        ("mtmd_context_params", "mtmd_context_params_default", pinned.VISION_DEFAULTS),
    ):
        kind = getattr(library, name)
        for member, value in _members(getattr(library, function), kind):
            if value != expected.get(member, 0):
                raise UnavailableError(
                    f"{place} has {value} as the default of {name}.{member}, not {expected.get(member, 0)}, "
                    f"so it is not the build that it claims to be; {_wanted()}"
                )


def _members(function: Any, kind: Any) -> Iterator[tuple[str, Any]]:
    """What a function returns in a structure, member by member; pointers that are NULL are 0."""
    padded = type("Padded", (ctypes.Structure,), {"_fields_": [("known", kind), ("slack", ctypes.c_char * SLACK)]})
    function.restype = padded
    try:
        returned = function().known
    finally:
        function.restype = kind
    for member, _ in kind._fields_:
        value = getattr(returned, member)
        yield member, value if isinstance(value, int | float | bytes) else int(bool(value))


def _initialize(library: Library, place: Place) -> None:
    if not library.ggml_backend_dev_count():  # a build whose backends are separate libraries
        library.ggml_backend_load_all_from_path(os.fsencode(place.backends))
    if not library.ggml_backend_dev_count():
        raise UnavailableError(f"{place} has no backend that runs on this machine; {place.remedy}")
    library.llama_backend_init()
