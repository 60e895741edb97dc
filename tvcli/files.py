"""Read and write whole files; errors of the operating system become tv's errors."""

from __future__ import annotations

import glob
import json
import os
import platform
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from tvcli.errors import TvError, UnavailableError, UsageError, reason
from tvcli.text import decode, lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


MOST_BYTES = 1 << 27  # per file that is read whole; an endless stream must not fill the memory
CHUNK = 1 << 20


def read_bytes(path: Path, what: str) -> bytes:
    """The whole file. Raises UnavailableError, which calls it `what`, also for more than `MOST_BYTES`."""
    try:
        with path.open("rb") as file:
            return _read_whole(file, f"{what} {path}")
    except OSError as error:
        raise UnavailableError(f"{what} {path} cannot be read: {reason(error)}") from error
    except ValueError as error:  # a NUL character in the name
        raise UnavailableError(f"{what} {path} cannot be read: {error}") from error


def standard_input() -> BinaryIO:
    """Standard input as bytes. Raises UsageError if it is closed (``tv ... <&-``)."""
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return sys.stdin.buffer


def standard_input_is_file() -> bool:
    """Whether standard input is a regular file (``tv ... < names.txt``)."""
    try:
        return stat.S_ISREG(os.fstat(standard_input().fileno()).st_mode)
    except OSError:
        return False


def read_standard_input(what: str) -> bytes:
    """All bytes of standard input.

    Raises:
        UsageError: it is closed, or a terminal.
        UnavailableError: more than `MOST_BYTES`.
    """
    file = standard_input()
    if sys.stdin.isatty():
        raise UsageError(f"standard input is a terminal; pipe {what} into it")
    return _read_whole(file, "standard input")


def _read_whole(file: BinaryIO, name: str) -> bytes:
    data = bytearray()
    while chunk := file.read(CHUNK):
        data += chunk
        if len(data) > MOST_BYTES:
            raise UnavailableError(f"{name} cannot be read: it is larger than {MOST_BYTES >> 20} MiB")
    return bytes(data)


def check_readable(path: Path, what: str) -> None:
    """Raises UnavailableError, which calls it `what`, if the file cannot be opened."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UnavailableError(f"{what} {path} cannot be read: {reason(error)}") from error


def check_target(path: Path) -> None:
    """Check a file name before the work whose result is written there.

    Raises:
        UsageError: the folder does not exist.
        UnavailableError: `path` is a folder itself, or may not be written.
    """
    if path.is_dir():
        raise UnavailableError(f"{path} cannot be written: is a directory")
    target = path.resolve()
    if not target.parent.is_dir():
        raise UsageError(f"the folder of {path} does not exist")
    is_device = target.exists() and not target.is_file()
    if not os.access(target if is_device else target.parent, os.W_OK):
        raise UnavailableError(f"{path} cannot be written: permission denied")


def parse_json(text: str | bytes) -> Any:
    """`json.loads`, with all errors as ValueError; a key that occurs twice is an error too."""
    try:
        return json.loads(text, object_pairs_hook=_keys_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; without this, Python would silently take the last of two values for a key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return found


def parse_record(line: str, where: str) -> dict[str, Any]:
    """A JSON object. Raises UsageError that names the location."""
    try:
        value = parse_json(line)
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected a JSON object")
    return value


def parse_toml(path: Path, kind: type[TvError] = UsageError) -> dict[str, Any]:
    """A TOML file. Raises UnavailableError for one that cannot be read, `kind` for one that is not TOML."""
    try:
        return tomllib.loads("\n".join(lines(decode(read_bytes(path, "file"), str(path)))))
    except UsageError as error:
        raise kind(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise kind(f"{path}: {error}") from error


def make_folder(folder: Path) -> Path:
    """The folder, created with its parents if it is missing. Raises UnavailableError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"folder {folder} cannot be created: {reason(error)}") from error
    return folder


def stays_inside(path: PurePosixPath) -> bool:
    """Whether a relative path stays inside its folder, on every operating system."""
    return not (path.is_absolute() or ".." in path.parts or any(character in str(path) for character in "\\:"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` at the end of the block: the file is complete or not there.

    Devices and pipes (``/dev/null``) are written directly.

    Raises:
        UnavailableError: no such folder, no permission, a full disk.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        temporary = target
    else:
        mark = f".{target.name}.{platform.node()}-"
        temporary = target.with_name(f"{mark}{os.getpid()}")
        _sweep(target.parent, mark)
    try:
        try:
            yield temporary
            if temporary != target:
                temporary.replace(target)
        except BaseException:
            if temporary != target:
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {reason(error)}") from error


def _sweep(folder: Path, mark: str) -> None:
    """Remove temporary files of killed processes on this machine."""
    if os.name != "posix":  # on other systems, os.kill would end the process
        return
    with suppress(OSError):
        for left in folder.glob(f"{glob.escape(mark)}*"):
            number = left.name.removeprefix(mark)
            if number.isdecimal() and not _lives(int(number)):
                left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        pass  # another user's process
    except (ProcessLookupError, OverflowError):
        return False
    return True


def byte_size(count: int) -> str:
    """Bytes for people: "3.2 GB"; powers of 1000, as disks and the hub count."""
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.0f} {units[0]}" if units[0] == "B" or size >= 99.5 else f"{size:.1f} {units[0]}"
