"""Every answer of an evaluation, in memory and in a JSON Lines file that an interrupted run resumes from.

The first line has what the answers depend on: settings, model files, versions, and a digest of every task. A file
with other settings is refused; tasks may be added later. Answers are appended one batch at a time, in one write, so
that an incomplete batch can be detected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, NoReturn

import filelock

from tvcli.errors import TvError, UnavailableError, UsageError, reason
from tvcli.evaluation.setup import NO_VARIANT, Setup, Transfer, Variant
from tvcli.files import beside, parse_json, replacing
from tvcli.inputs.tasks import Task
from tvcli.kinds import Method, Modality, Source, Split
from tvcli.schema import build

FORMAT = 3


@dataclass(frozen=True)
class Cell:
    """The common properties of a group of answers. A query without context has neither a source nor variants."""

    task: str
    source: Source | None
    query: Modality
    method: Method
    split: Split
    variant: Variant = NO_VARIANT

    def to_json(self) -> dict[str, object]:
        data = asdict(self)
        variant = data.pop("variant")
        return {**data, **variant}


def cells_of(setup: Setup, task: Task, transfer: Transfer, method: Method, split: Split) -> list[Cell]:
    """A method's cells, one per variant; no context has one cell for all sources."""
    if method == Method.NO_CONTEXT:
        return [Cell(task.name, None, transfer.query, method, split)]
    variants = setup.variants(transfer.source, task)
    return [Cell(task.name, transfer.source, transfer.query, method, split, variant) for variant in variants]


@dataclass(frozen=True)
class Record:
    """One answer. `sample` counts from 0 in its split; `layer` is the patched one."""

    cell: Cell
    sample: int
    layer: int | None
    input: str
    labels: tuple[str, ...]
    answer: str
    correct: bool
    margin: float
    against: bool | None = None  # whether it answers the competing task (paper, table 5)

    def to_json(self) -> dict[str, object]:
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "cell"}
        return {**self.cell.to_json(), **own}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Record:
        """Raises ValueError or UsageError for anything that `to_json` did not write."""
        rest = dict(data)
        variant = build(Variant, _taken(rest, Variant))
        return build(cls, rest, cell=build(Cell, _taken(rest, Cell), variant=variant))


def _taken(data: dict[str, Any], kind: type) -> dict[str, Any]:
    """The fields of `kind`, taken out of `data`."""
    return {field.name: data.pop(field.name) for field in fields(kind) if field.name in data}


class Store:
    """Records by cell; `add` also appends them to the file, if there is one."""

    def __init__(self, file: IO[str] | None = None, records: Iterable[Record] = ()) -> None:
        self._file = file
        self.added = 0  # records that were not there at the start
        self._cells: dict[Cell, dict[tuple[int, int | None], Record]] = {}
        self._add_to_cells(records)

    def _add_to_cells(self, records: Iterable[Record]) -> None:
        for record in records:
            self._cells.setdefault(record.cell, {})[record.sample, record.layer] = record

    def has(self, cell: Cell, sample: int, layer: int | None) -> bool:
        return (sample, layer) in self._cells.get(cell, {})

    def add(self, records: list[Record]) -> None:
        """Add a batch. Raises UnavailableError if it cannot be written."""
        self._add_to_cells(records)
        self.added += len(records)
        if self._file is None:
            return
        try:
            lines = [json.dumps(r.to_json(), ensure_ascii=False, allow_nan=False) + "\n" for r in records]
        except ValueError as error:
            raise TvError("the margin of an answer is NaN or infinity") from error
        try:
            self._file.write("".join(lines))
            self._file.flush()
        except OSError as error:
            raise UnavailableError(f"{self._file.name} cannot be written: {reason(error)}") from error

    def records(self, cell: Cell, layer: int | None = None) -> list[Record]:
        """A cell's records in sample order, of one layer if given."""
        found = self._cells.get(cell, {})
        return [found[key] for key in sorted(found, key=lambda k: (k[0], k[1] or 0)) if layer in (None, key[1])]

    def cells(self) -> list[Cell]:
        return list(self._cells)


@contextmanager
def open_store(
    path: Path | None, settings: Mapping[str, object], *, resume: bool, read_only: bool = False
) -> Iterator[Store]:
    """A store on `path`, or in memory for `None`; if `read_only`, in memory with what `path` has.

    Raises:
        UsageError: the file exists and `resume` is false, it was made with other settings, or another run is
            writing it.
        UnavailableError: it cannot be read or written.
    """
    if path is None:
        yield Store()
        return
    if read_only:
        yield Store(records=_load(path, settings, resume=resume, write=False))
        return
    if not path.parent.is_dir():
        raise UnavailableError(f"{path} cannot be written: its folder does not exist")
    lock = filelock.FileLock(beside(path, ".lock"))
    try:
        with lock.acquire(timeout=0):
            try:
                records = _load(path, settings, resume=resume)
                with path.open("a", encoding="utf-8") as file:
                    yield Store(file, records)
            finally:
                Path(lock.lock_file).unlink(missing_ok=True)
    except filelock.Timeout as error:
        raise UsageError(f"another run is writing {path}") from error
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {reason(error)}") from error


def _load(path: Path, settings: Mapping[str, object], *, resume: bool, write: bool = True) -> list[Record]:
    """Read the file. If `write`, start it, remove an incomplete last line, and add new tasks to the first line."""
    head = {"format": FORMAT, **parse_json(json.dumps(dict(settings)))}
    if path.exists() and not path.is_file():
        raise UnavailableError(f"{path} cannot be a results file: it is not a regular file")
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if not whole and data and not (resume and _is_torn_head(data)):
        _refuse_old(path, resume=resume)
    if not whole:
        if write:
            path.write_text(_line(head), encoding="utf-8")
        return []
    if not resume:
        _refuse_old(path, resume=resume)
    first, *lines = whole.decode("utf-8", "replace").removesuffix("\n").split("\n")  # answers may contain U+2028
    found = _head(path, first)
    _check_same(path, found, head)
    records = [_record(line, f"{path}, line {number}") for number, line in enumerate(lines, 2)]
    tasks = {**found.get("tasks", {}), **head.get("tasks", {})}
    if tasks != found.get("tasks", {}):
        whole = (_line({**found, "tasks": tasks}) + "".join(f"{line}\n" for line in lines)).encode()
    if whole != data and write:
        with replacing(path) as temporary:
            temporary.write_bytes(whole)
    return records


def _is_torn_head(data: bytes) -> bool:
    """Whether a run that was killed may have left this, which has no end of a line."""
    start = b'{"format": '
    return data.startswith(start) or start.startswith(data)


def _refuse_old(path: Path, *, resume: bool) -> NoReturn:
    if resume:
        raise UsageError(f"{path}, line 1: not a results file of tv")
    raise UsageError(f"{path} already exists; add `resume` to continue it, or name another file")


def _line(head: dict[str, Any]) -> str:
    return json.dumps(head, ensure_ascii=False) + "\n"


def _head(path: Path, first: str) -> dict[str, Any]:
    try:
        found = parse_json(first)
    except ValueError as error:
        raise UsageError(f"{path}, line 1: not a results file of tv ({error})") from error
    if not isinstance(found, dict) or "format" not in found or not isinstance(found.get("tasks", {}), dict):
        raise UsageError(f"{path}, line 1: not a results file of tv")
    if found["format"] != FORMAT:
        versions = f"has the results format {found['format']!r}, this tv reads {FORMAT}"
        raise UsageError(f"{path} {versions}; name another file")
    return found


def check_same_tasks(folder: Path, tasks: Sequence[Task]) -> None:
    """Before hours of work. Raises UsageError if a results file of the folder has answers for other samples.

    A file with further tasks is of another item, whose own tasks may have the same names (`after-table5`).
    """
    digests = {task.name: task.digest for task in tasks}
    for path in sorted(folder.glob("*.jsonl")):
        found: dict[str, Any] = {}
        with suppress(OSError, UsageError), path.open("rb") as file:  # whoever continues the file reports it
            found = _head(path, file.readline().decode("utf-8", "replace"))
        if found.get("tasks", {}).keys() <= digests.keys():
            for name, digest in digests.items():
                _check_same_task(path, found, name, digest)


def _check_same_task(path: Path, found: dict[str, Any], task: str, digest: str) -> None:
    if found.get("tasks", {}).get(task, digest) != digest:
        raise UsageError(f"{path} has answers for other samples of the task {task}; name another file")


def _check_same(path: Path, found: dict[str, Any], head: dict[str, Any]) -> None:
    """Raises UsageError that names the difference."""
    for task, digest in head.get("tasks", {}).items():
        _check_same_task(path, found, task, digest)
    for key in sorted((found.keys() | head.keys()) - {"tasks"}):
        if found.get(key) != head.get(key):
            raise UsageError(f"{path} was made with {key} {found.get(key)!r}, not {head.get(key)!r}; name another file")


def _record(line: str, where: str) -> Record:
    try:
        return Record.from_json(parse_json(line))
    except (ValueError, TypeError, AttributeError, UsageError) as error:
        raise UsageError(f"{where}: not a record of tv eval") from error
