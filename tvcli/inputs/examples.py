"""Files of examples, of queries, and of image names.

Text files have one example per line, ``input<TAB>output``, or ``input -> output`` without a tab; ``@path`` as the input
is an image, ``@@`` a literal ``@``. ``.csv`` files have two columns. ``.json`` and ``.jsonl`` contain objects with
``input`` or ``image``, and ``output`` (the paper's own annotations are JSON lists of these, also under a top key
``data``). Texts are normalized to NFC and stripped; `lines` reads encodings, line ends, columns and quotes.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tvcli.errors import UnavailableError, UsageError
from tvcli.files import parse_record, read_bytes, read_standard_input, standard_input
from tvcli.images import AnyImage, load_any
from tvcli.inputs.lines import (
    ARROWS,
    STDIN,
    check_header,
    check_texts,
    csv_rows,
    first_bytes,
    is_quoted,
    json_list,
    label_of,
    may_be_header,
    pair_columns,
    raw_lines,
    text_lines,
    two_columns,
)
from tvcli.kinds import Modality
from tvcli.prompts.prompt import Example, Input
from tvcli.schema import shown
from tvcli.text import BYTE_ORDER_MARKS, MARK, clean, decode, lines

log = logging.getLogger(__name__)
JSON_LINES = {".jsonl", ".ndjson"}
MOST_EXAMPLES = 100_000
LONGEST_NAME = 1 << 16  # bytes; no system has longer ones, and an endless stream must not fill the memory


def read_examples(source: str, modality: Modality = Modality.TEXT) -> list[Example]:
    """All examples of a pairs file, or of standard input for ``-``.

    `modality` decides if a record has both text and image, as the paper's own files do.

    Raises:
        UsageError: a line or record without input or output, or an ambiguous one (the message names file and line), no
            examples, or too many.
        UnavailableError: a file or image that cannot be read.
    """
    modality = Modality(modality)
    records = itertools.islice(_records(source, queries=False), MOST_EXAMPLES + 1)
    examples = [_example(*record, modality) for record in records]
    if len(examples) > MOST_EXAMPLES:
        raise UsageError(f"{label_of(source)} contains more than {MOST_EXAMPLES:,} examples")
    if not examples:
        raise UsageError(f"{label_of(source)} contains no examples; write one per line, input<TAB>output")
    _warn_of_repeats(label_of(source), examples)
    return examples


def _warn_of_repeats(label: str, examples: Sequence[Example]) -> None:
    seen: set[Hashable] = set()
    repeats = []
    for example in examples:
        if not seen.isdisjoint(example.identities):
            repeats.append(example)
        seen |= example.identities
    if repeats:
        first, count = repeats[0].where.removeprefix(f"{label}, "), len(repeats)
        verb = "repeats" if count == 1 else "repeat"
        log.warning(
            "%s: %d of %d examples %s the input of an earlier one (the first: %s); no prompt contains the answer to its"
            " query",
            *(label, count, len(examples), verb, first),
        )


@dataclass(frozen=True)
class Query:
    """A named input; an image is decoded only when it is needed, so that a broken one does not stop the others.

    `where` is its file and line, for messages.
    """

    name: str
    load: Callable[[], Input]
    where: str = ""

    @classmethod
    def text(cls, text: str, where: str = "") -> Query:
        return cls(text, lambda: text, where)

    @classmethod
    def image(cls, path: Path, name: str | None = None, where: str = "") -> Query:
        return cls(name or str(path), lambda: load_any(path, name), where)


def read_queries(source: str, modality: Modality = Modality.TEXT) -> Iterator[Query]:
    """The inputs of a queries file: one per line, ``@path`` for images; JSON and pairs files work too.

    Only a tab ends an input; a line without a tab is a query, even with an arrow in it.

    Text is read as it arrives, so that a query from a pipe is answered before the next one is written.
    """
    modality = Modality(modality)
    return (_query(*record, modality) for record in _records(source, queries=True))


def _query(where: str, base: Path, record: dict[str, object], modality: Modality) -> Query:
    check_texts({**record, "output": None}, where)
    path = _image_path(record, modality, where)
    return Query.text(_text(record, where), where) if path is None else Query.image(base / path, path, where)


def read_image_names(source: str, *, null: bool = False) -> Iterator[Query]:
    """Images by name, one per line or each ending in NUL; relative to the working directory, as ``find`` prints them.

    Names are read as they arrive, like queries.

    Raises:
        UsageError: not file names: NUL in a line, or a name that is too long.
        UnavailableError: a file that cannot be read.
    """
    for number, name in enumerate(_null_names(source) if null else _name_lines(source), 1):
        if "\0" in name:
            raise UsageError(f"{label_of(source)} contains NUL characters; if they end the names, add `null`")
        if name:
            yield Query.image(Path(name), name, f"{label_of(source)}, {'name' if null else 'line'} {number}")


def _name_lines(source: str) -> Iterator[str]:
    """The lines of a file of names, which may be UTF-16; otherwise names need not be text."""
    file = standard_input() if source == STDIN else io.BytesIO(read_bytes(Path(source), "file"))
    first = first_bytes(file)
    if first.startswith(BYTE_ORDER_MARKS):
        rest = read_standard_input("text") if source == STDIN else file.read()
        yield from lines(decode(first + rest, label_of(source)))
        return
    for _, raw in raw_lines(file, label_of(source), first, LONGEST_NAME):
        yield os.fsdecode(raw).removeprefix(MARK)


def _null_names(source: str) -> Iterator[str]:
    """The names between NULs, each as soon as it is read."""
    file = standard_input() if source == STDIN else io.BytesIO(read_bytes(Path(source), "file"))
    rest = b""
    while chunk := file.read1(LONGEST_NAME):  # type: ignore[attr-defined]
        *whole, rest = (rest + chunk).split(b"\0")
        yield from map(os.fsdecode, whole)
        if len(rest) > LONGEST_NAME:
            raise UsageError(f"{label_of(source)} contains no file names: no end of name in {len(rest)} bytes")
    yield os.fsdecode(rest)


def _example(where: str, base: Path, record: dict[str, object], modality: Modality) -> Example:
    check_texts(record, where)
    output = record.get("output")
    if isinstance(output, list) and output:  # several accepted answers: the first is the label
        output = output[0]
    if not isinstance(output, str) or not output.strip():
        raise UsageError(f"{where}: the output is missing; write input<TAB>output")
    path = _image_path(record, modality, where)
    if path is None:
        return Example(_text(record, where), clean(output), where)
    word = record.get("input")
    named = clean(word) if isinstance(word, str) else ""
    return Example(_image(base, path, where), clean(output), where, named)


def _image_path(record: dict[str, object], modality: Modality, where: str) -> str | None:
    """The record's image, unless it has text and text is preferred."""
    path = record.get("image")
    if path is not None and not isinstance(path, str):
        raise UsageError(f"{where}: the image must be a path, not {shown(path)}")
    if not path or (modality == Modality.TEXT and record.get("input")):
        return None
    return path


def _text(record: dict[str, object], where: str) -> str:
    text = record.get("input")
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where}: the input is missing; give text or an image")
    return clean(text)


def _image(base: Path, path: str, where: str) -> AnyImage:
    try:
        return load_any(base / path, name=path)
    except UnavailableError as error:
        raise UnavailableError(f"{where}: {error}") from error


KEYS = frozenset({"input", "image", "output", "split"})
Record = tuple[str, Path, dict[str, object]]


@dataclass
class _Rows:
    """Rows of one file or pipe as records; each kind of note is logged once."""

    queries: bool
    pairs: list[tuple[str, str]] = field(default_factory=list)
    begins: str = ""  # where the first pair is
    logged: set[str] = field(default_factory=set)

    def record(self, row: str | list[str], where: str) -> dict[str, object]:
        """A line, or the columns of a .csv file, as a record like those of JSON files."""
        alone = self._alone(row, where) if self.queries else None
        if alone is not None:
            return _input(alone)
        if isinstance(row, str):
            left, right = pair_columns(row, where)
            if is_quoted(row):
                self._note(where, "quotes around a column are removed, as spreadsheets write them")
        else:
            left, right = two_columns(row, where, "input,output")
        if not self.pairs:
            check_header((left, right), where)
            self.begins = where
        self.pairs.append((left, right))
        if not self.queries:
            return {**_input(left), "output": right}
        self._note(where, "the line is a pair, of which only the input is the query")
        return _input(left)

    def from_json(self, record: dict[str, object], where: str) -> dict[str, object]:
        """The record itself. Keys that tv does not use are noted: they may be misspelled, or the paper's own."""
        unused = sorted(record.keys() - KEYS)
        if unused:
            self._note(where, f"keys that are not used: {', '.join(map(repr, unused))}")
        return record

    def end(self) -> None:
        """Warn of a first pair that may be a header, which is known only when the others are."""
        if self.pairs and may_be_header(self.pairs):
            names = " and ".join(map(repr, self.pairs[0]))
            used = "a query" if self.queries else "an example"
            log.warning("%s: %s may be a header, and is used as %s; if it is one, delete it", self.begins, names, used)

    def _alone(self, row: str | list[str], where: str) -> str | None:
        """The row as a query, or `None` for a pair."""
        if not isinstance(row, str):
            return row[0] if len(row) == 1 else None
        if "\t" in row:
            return None
        if any(arrow in row for arrow in ARROWS):
            self._note(where, "the arrow is part of the query; only a tab separates an output")
        return row

    def _note(self, where: str, text: str) -> None:
        if text not in self.logged:
            log.info("%s: %s", where, text)
        self.logged.add(text)


def _input(text: str) -> dict[str, object]:
    text = text.strip()
    if text.startswith("@@"):
        return {"input": text[1:]}
    return {"image": text[1:].strip()} if text.startswith("@") else {"input": text}


def _records(source: str, *, queries: bool) -> Iterator[Record]:
    """Every record with its location and the folder that its image paths are relative to."""
    label = label_of(source)
    base = Path() if source == STDIN else Path(source).parent
    suffix = "" if source == STDIN else Path(source).suffix.lower()
    rows = _Rows(queries)
    if suffix == ".json":
        for i, item in enumerate(json_list(source), 1):
            yield f"{label}, item {i}", base, rows.from_json(item, f"{label}, item {i}")
        return
    table = csv_rows(source) if suffix == ".csv" else enumerate(text_lines(source), 1)
    for number, row in table:
        where = f"{label}, line {number}"
        if isinstance(row, str) and not row.strip():
            continue
        if isinstance(row, str) and (suffix in JSON_LINES or (source == STDIN and row.lstrip().startswith("{"))):
            yield where, base, rows.from_json(parse_record(row, where), where)
        else:
            yield where, base, rows.record(row, where)
    rows.end()
