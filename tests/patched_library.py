"""Copies of the installed llama.cpp with a fault: a name, a version, a function's first instruction."""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from pathlib import Path

import pytest

from tvcli.engine.native import places

ILLEGAL = {"x86_64": b"\x0f\x0b", "aarch64": b"\x00\x00\x00\x00"}  # ud2, udf: raise SIGILL
POSSIBLE = sys.platform == "linux" and platform.machine() in ILLEGAL
patchable = pytest.mark.skipif(not POSSIBLE, reason="edits ELF files")


class _Info(ctypes.Structure):
    """``Dl_info`` of dlfcn.h."""

    _fields_ = [
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def folder_with(target: Path, name: str, edit: bytes) -> Path:
    """The installed libraries in the folder `target`, the one called `name` with other bytes, the others as links."""
    place = places.find()
    for source in (place.folder, place.backends):
        copied = target / source.name
        copied.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            if not (copied / path.name).exists():
                (copied / path.name).symlink_to(path)
    changed = target / place.folder.name / library(name).name
    changed.unlink()
    changed.write_bytes(edit)
    return changed.parent


def library(name: str) -> Path:
    """The file that tv loads."""
    path = places.library_file(places.find().folder, name)
    assert path is not None
    return path


def replaced(name: str, old: bytes, new: bytes) -> bytes:
    """A library's bytes with one text, which ends in NUL in the file, in the place of another."""
    data = library(name).read_bytes()
    assert len(old) == len(new)
    assert old + b"\0" in data
    return data.replace(old + b"\0", new + b"\0")


def crashing(name: str, function: str) -> bytes:
    """A library's bytes with an illegal instruction at the start of a function."""
    data = bytearray(library(name).read_bytes())
    start = _offset(bytes(data), _address(library(name), function))
    code = ILLEGAL[platform.machine()]
    data[start : start + len(code)] = code
    return bytes(data)


def _address(path: Path, function: str) -> int:
    """Where a function lies, from the start of the library in memory; asked of the dynamic linker."""
    for needed in places.find().libraries():
        ctypes.CDLL(str(needed))
    found = getattr(ctypes.CDLL(str(path)), function)
    info = _Info()
    dladdr = ctypes.CDLL(None).dladdr
    dladdr.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    assert dladdr(ctypes.cast(found, ctypes.c_void_p), ctypes.addressof(info))
    return int(info.address) - int(info.base)


def _offset(data: bytes, address: int) -> int:
    """Where an address lies in the file, by the ELF program headers (ELF-64, little-endian)."""
    first, size, count = (*struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54))[0:3]
    for i in range(count):
        kind, _, offset, virtual, _, length = struct.unpack_from("<IIQQQQ", data, first + i * size)
        if kind == 1 and virtual <= address < virtual + length:  # PT_LOAD
            return int(offset + address - virtual)
    raise AssertionError(f"no part of the file holds the address {address}")
