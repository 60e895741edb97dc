"""What tv runs on: versions, processor, memory, devices. Nothing that says whose machine it is."""

from __future__ import annotations

import getpass
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from tvcli.engine.devices import Device

PACKAGES = {"tv": "tvcli", "llama-cpp-python": "llama-cpp-python", "gguf": "gguf", "numpy": "numpy"}


@dataclass(frozen=True)
class Software:
    """What is installed; known even where llama.cpp does not load."""

    versions: dict[str, str]
    system: str


@dataclass(frozen=True)
class Machine:
    """What llama.cpp sees; memory in bytes."""

    ggml: str
    features: str
    memory_free: int
    memory_total: int
    devices: list[Device]


def software() -> Software:
    versions = {name: _version(package) for name, package in PACKAGES.items()}
    versions["python"] = platform.python_version()
    return Software(versions, f"{platform.system()} {platform.release()} {platform.machine()}")


def this_machine(endpoints: Sequence[str] = ()) -> Machine:
    """Raises UnavailableError if llama.cpp does not load, and what `engine.devices` does for RPC servers."""
    from tvcli.engine.devices import devices
    from tvcli.engine.runtime import build, features

    memory = psutil.virtual_memory()
    return Machine(build(), features(), memory.available, memory.total, devices(endpoints))


def anonymous(text: str) -> str:
    """The text without the home folder and the user's name in paths, and without servers' addresses."""
    text = re.sub(r"(RPC\d*)\[[^\]]*\]", r"\1", text)
    try:
        text = text.replace(str(Path.home()), "~")
        name = re.escape(getpass.getuser())
    except (OSError, RuntimeError, KeyError):  # a user without a name or home
        return text
    return re.sub(rf"(?<=[/\\]){name}(?=[/\\]|$)", "…", text)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
