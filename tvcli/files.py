"""Read and write whole files; errors of the operating system become tv's errors."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
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
LONGEST_NAME = 140  # bytes of a name that is made of a file's; the least limit of a file system that is in use is 143
MOST_LINKS = 40  # as Linux follows
DESCRIPTORS = re.compile(r"/dev/fd|/proc/(\d+)(/task/\d+)?/fd")


def read_bytes(path: Path, what: str, most: int = MOST_BYTES) -> bytes:
    """The whole file. Raises UnavailableError, which calls it `what`, also for more than `most` bytes."""
    try:
        with path.open("rb") as file:
            return _read_whole(file, f"{what} {path}", most)
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


def _read_whole(file: BinaryIO, name: str, most: int = MOST_BYTES) -> bytes:
    data = bytearray()
    while chunk := file.read(CHUNK):
        data += chunk
        if len(data) > most:
            raise UnavailableError(f"{name} cannot be read: it is larger than {most >> 20} MiB")
    return bytes(data)


def in_home(text: str) -> Path:
    """The path, with ``~`` expanded where there is such a home folder."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def check_readable(path: Path, what: str) -> None:
    """Raises UnavailableError, which calls it `what`, if the file cannot be opened."""
    try:
        path.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        said = reason(error) if isinstance(error, OSError) else error
        raise UnavailableError(f"{what} {path} cannot be read: {said}") from error


def check_target(path: Path) -> None:
    """Check a file name before the work whose result is written there.

    Raises:
        UsageError: the folder does not exist.
        UnavailableError: `path` is a folder itself, cannot be a file's name, or may not be written.
    """
    try:
        found = _status(path)
        if (number := _descriptor(path)) is not None:
            os.fstat(number)
            return
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {reason(error)}") from error
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise UnavailableError(f"{path} cannot be written: is a directory")
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise UsageError(f"the folder of {path} does not exist")
    # a file is replaced, which only needs a writable folder; but a write-protected file is not to be changed
    places = [target.parent] * (found is None or stat.S_ISREG(found.st_mode)) + [target] * (found is not None)
    if not all(os.access(place, os.W_OK) for place in places):
        raise UnavailableError(f"{path} cannot be written: permission denied")


def check_not_input(path: Path, inputs: Iterable[Path | None]) -> None:
    """Raises UsageError if `path` is one of the input files, possibly under another name."""
    if path.is_file():
        for other in filter(None, inputs):
            with suppress(OSError, ValueError):  # whoever reads it reports it
                if path.samefile(other):
                    raise UsageError(f"the output {path} is also an input")


def parse_json(text: str | bytes, made: Callable[[dict[str, Any]], Any] = lambda record: record) -> Any:
    """`json.loads`, with all errors as ValueError; a key that occurs twice is an error too.

    `made` is called with every object as soon as it is read, and what it returns takes the object's place.
    """
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: made(_keys_once(pairs)))
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


def toml_value(value: str | Sequence[str]) -> str:
    """Text or texts as TOML: like JSON, but without surrogates, and with DEL escaped.

    Raises:
        UsageError: the name of a file that is not UTF-8.
    """
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{value!r} is not UTF-8 and cannot be written to a TOML file; rename the file") from error
    return text


def beside(path: Path, ending: str) -> Path:
    """The path with `ending` behind its name, cut to a start and a digest where that would be too long for a name."""
    start = path.name
    if len(os.fsencode(start + ending)) > LONGEST_NAME:
        digest = hashlib.sha256(os.fsencode(start)).hexdigest()[:16]
        start = f"{start[:8]}{digest}"
    return path.with_name(start + ending)


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


def in_any_form(path: Path) -> Path:
    """The path, or what is there under another Unicode form of its names; the path itself if nothing is.

    macOS decomposes "é" into two characters in archives and on some disks; elsewhere these are different names.
    """
    try:
        if path.exists():
            return path
        found = Path(path.anchor)
        for part in path.relative_to(found).parts:
            wanted = unicodedata.normalize("NFC", part)
            same = [] if (found / part).exists() else sorted(p for p in found.iterdir() if _composed(p) == wanted)
            found = same[0] if same else found / part
        return found if found.exists() else path
    except OSError:  # whoever reads it reports it
        return path


def _composed(path: Path) -> str:
    return unicodedata.normalize("NFC", path.name)


def user_cache() -> Path:
    """Where tv keeps what it can make again, for this user; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("tv", appauthor=False))


def user_data() -> Path:
    """Where tv keeps what belongs to this user; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_data_dir("tv", appauthor=False))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` at the end of the block: the file is complete or not there.

    A file that is replaced keeps its mode. Devices and pipes (``/dev/null``) are written directly; to an open file of
    this process (``/dev/stdout``, ``/dev/fd/3``), everything is written at the end of the block.

    Raises:
        UnavailableError: no such folder, no permission, a full disk.
    """
    try:
        found, number = _status(path), _descriptor(path)
        if number is not None:
            with _filling(number) as temporary:
                yield temporary
        elif found is not None and not stat.S_ISREG(found.st_mode):
            yield path
        else:
            with _becoming(Path(os.path.realpath(path)), None if found is None else found.st_mode) as temporary:
                yield temporary
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {reason(error)}") from error


def _status(path: Path) -> os.stat_result | None:
    """`None` if there is no such file. Raises OSError for a loop of links, or for what cannot be a name."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:  # a NUL character
        raise OSError(errno.EINVAL, str(error)) from error


def _descriptor(path: Path) -> int | None:
    """The number of the open file of this process that the path names, directly or through links."""
    for _ in range(MOST_LINKS):
        folder = DESCRIPTORS.fullmatch(os.path.realpath(path.parent))
        if folder and path.name.isdecimal() and folder[1] in (None, str(os.getpid())):
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


@contextmanager
def _filling(number: int) -> Iterator[Path]:
    """Raises OSError."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "whole"
        yield temporary
        with os.fdopen(os.dup(number), "wb") as file, temporary.open("rb") as made:
            shutil.copyfileobj(made, file)


@contextmanager
def _becoming(target: Path, mode: int | None) -> Iterator[Path]:
    """Raises OSError. `mode` is that of the file to replace, if there is one."""
    temporary = beside(target.with_name(f".{target.name}"), f".{platform.node()}-{os.getpid()}")
    mark = temporary.name.removesuffix(str(os.getpid()))
    _sweep(target.parent, mark)
    try:
        if mode is not None and not mode & stat.S_IROTH:  # nor may others read it while it is written
            temporary.unlink(missing_ok=True)
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield temporary
        if (
            mode is not None
            and not temporary.is_symlink()
            and stat.S_IMODE(temporary.stat().st_mode) != stat.S_IMODE(mode)
        ):
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
