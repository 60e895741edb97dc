"""Lines of text files and pipes, their columns, and the records of CSV and JSON files.

A line with a tab is split only at its tabs; a line without a tab, at its arrow. An ambiguous line is an error that
names the line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tvcli.errors import UsageError
from tvcli.files import parse_json, read_bytes, read_standard_input, standard_input
from tvcli.schema import shown
from tvcli.text import BYTE_ORDER_MARKS, clean, decode, is_unicode, lines

STDIN = "-"
ARROWS = (" -> ", " → ")
LONGEST_LINE = 1 << 20  # bytes
RAW_END = re.compile(rb"\r\n|\n|\r")
DELIMITERS = (",", ";", "\t")  # of .csv files
HEADERS = (
    {"input", "inputs", "question", "query", "prompt", "source", "x"},
    {"output", "outputs", "answer", "label", "completion", "target", "y"},
)
COLUMN_NAMES = frozenset().union(  # what people call the columns of such tables
    *HEADERS,
    ("country", "capital", "currency", "language", "continent", "animal", "food", "fruit", "color", "flavor"),
    ("word", "antonym", "synonym", "plural", "translation", "term", "text", "name", "category", "class", "number"),
    ("english", "french", "german", "spanish", "italian", "image", "picture", "photo", "file", "path", "caption"),
)


def label_of(source: str) -> str:
    return "standard input" if source == STDIN else source


def text_lines(source: str) -> Iterator[str]:
    """The lines of a file, or of standard input as they arrive.

    Raises:
        UsageError: bytes that are not text, NUL characters, or on standard input a line that is too long.
        UnavailableError: a file that cannot be read.
    """
    if source != STDIN:
        yield from lines(decode(read_bytes(Path(source), "file"), source))
        return
    file, label = standard_input(), label_of(source)
    first = first_bytes(file)
    if first.startswith(BYTE_ORDER_MARKS):
        yield from lines(decode(first + read_standard_input("text"), label))
        return
    for start, raw in raw_lines(file, label, first):
        yield decode(raw, label, start)


def first_bytes(file: BinaryIO) -> bytes:
    """Enough bytes to recognize a byte order mark of UTF-16, fewer at the end of the file."""
    first = b""
    while len(first) < 2 and (more := file.read1(2 - len(first))):  # type: ignore[attr-defined]
        first += more
        if first not in (b"\xff", b"\xfe"):
            break
    return first


def raw_lines(
    file: BinaryIO, label: str, first: bytes = b"", longest: int = LONGEST_LINE
) -> Iterator[tuple[int, bytes]]:
    """The offset and the bytes of each line, as soon as its end is read; `first` was read before.

    Raises:
        UsageError: a line longer than `longest`.
    """
    rest, start, number = b"", 0, 1
    ended = False  # whether the previous chunk ended in CR, to which a LF may belong
    chunk = first or file.read1(longest)  # type: ignore[attr-defined]
    while chunk:
        if ended and chunk.startswith(b"\n"):
            chunk, start = chunk[1:], start + 1
        ended = chunk.endswith(b"\r")
        data, place = rest + chunk, 0
        for end in RAW_END.finditer(data):
            yield start + place, data[place : end.start()]
            place, number = end.end(), number + 1
        rest, start = data[place:], start + place
        if len(rest) >= longest:
            size = f"{longest >> 20} MiB" if longest >> 20 else f"{longest >> 10} KiB"
            raise UsageError(f"{label}, line {number}: longer than {size}")
        chunk = file.read1(longest)  # type: ignore[attr-defined]
    if rest:
        yield start, rest


def pair_columns(line: str, where: str) -> tuple[str, str]:
    """The input and the output of a line.

    Raises:
        UsageError: no separator, several arrows, more than two columns, or a quote that is not closed.
    """
    if "\t" in line:
        return two_columns([unquoted(column, where) for column in line.split("\t")], where, "input<TAB>output")
    pieces = re.split("|".join(ARROWS), line)
    if len(pieces) == 1:
        raise UsageError(f"{where}: no tab and no ' -> ' between input and output: {_shorten(line)}")
    if len(pieces) > 2:
        raise UsageError(f"{where}: {len(pieces) - 1} arrows; write input<TAB>output: {_shorten(line)}")
    return pieces[0], pieces[1]


def two_columns(columns: list[str], where: str, expected: str) -> tuple[str, str]:
    """The two columns, without empty ones after them. Raises UsageError for another number of columns."""
    while len(columns) > 2 and not columns[-1].strip():
        columns = columns[:-1]
    if len(columns) != 2:
        raise UsageError(f"{where}: {_columns(len(columns))}; expected {expected}")
    return columns[0], columns[1]


def unquoted(column: str, where: str) -> str:
    """A column without the quotes that a spreadsheet wrote around it, and with single quotes for doubled ones inside.

    Raises:
        UsageError: a column that begins with a quote, but not as spreadsheets write it.
    """
    text = column.strip()
    if not text.startswith('"'):
        return column
    inside = text[1:-1]
    if len(text) < 2 or not text.endswith('"') or '"' in inside.replace('""', ""):
        raise UsageError(
            f"{where}: the column begins with a quote that is not closed: {_shorten(text)};"
            f' write a quoted text as spreadsheets do, """text""", or use a .jsonl file'
        )
    return inside.replace('""', '"')


def is_quoted(line: str) -> bool:
    """Whether `unquoted` removes quotes from a column of this line."""
    return "\t" in line and any(column.strip().startswith('"') for column in line.split("\t"))


def check_header(pair: tuple[str, str], where: str) -> None:
    """Raises UsageError if the first pair of a file looks like a header."""
    names = [clean(column).casefold() for column in pair]
    if all(name in known for name, known in zip(names, HEADERS, strict=True)):
        raise UsageError(
            f"{where}: {' and '.join(map(repr, names))} look like a header; delete the line, or move it"
            " further down if it is an example"
        )


def may_be_header(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the first pair of a file may be a header, which only the user can know.

    Both of its texts are names of columns; or they begin in lower case, and no other text of a column does.
    """
    first, *others = pairs
    if all(clean(name).casefold() in COLUMN_NAMES for name in first):
        return True
    alone = [not any(text[:1].islower() for text in column) for column in zip(*others, strict=True)]
    return len(others) > 2 and all(name[:1].islower() for name in first) and any(alone)


def csv_rows(source: str) -> list[tuple[int, list[str]]]:
    """The rows of a .csv file that are not empty, each with its line number.

    The delimiter is the comma, semicolon or tab that gives two columns in every row. A file of one column has none.

    Raises:
        UsageError: no delimiter or several of them give two columns in every row.
        UnavailableError: a file that cannot be read.
    """
    text = "\n".join(lines(decode(read_bytes(Path(source), "file"), source)))
    read: dict[str, list[tuple[int, list[str]]]] = {}
    failure: UsageError | None = None
    for delimiter in DELIMITERS:
        try:
            read[delimiter] = _read_csv(text, delimiter, source)
        except UsageError as error:
            failure = failure or error
    fitting = [delimiter for delimiter, rows in read.items() if all(len(row) == 2 for _, row in rows)]
    if len(fitting) > 1 and read[fitting[0]]:
        names = " and ".join(map(repr, fitting))
        raise UsageError(f"{source}: {names} can both be the delimiter; use a .jsonl file")
    if fitting:
        return read[fitting[0]]
    if failure is not None:
        raise failure
    if all(len(row) == 1 for rows in read.values() for _, row in rows):
        return read[","]
    delimiter = max(DELIMITERS, key=lambda one: sum(len(row) == 2 for _, row in read[one]))
    number, row = next((number, row) for number, row in read[delimiter] if len(row) != 2)
    raise UsageError(f"{source}, line {number}: {_columns(len(row))}; expected input,output")


def _read_csv(text: str, delimiter: str, source: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    rows: list[tuple[int, list[str]]] = []
    number = 1
    try:
        for row in reader:
            while len(row) > 2 and not row[-1].strip():
                row.pop()
            if any(column.strip() for column in row):
                rows.append((number, row))
            number = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{source}, line {reader.line_num}: not CSV ({error})") from error
    return rows


def json_list(source: str) -> list[dict[str, Any]]:
    """The objects of a .json file: a list, also under the key data. Raises UsageError for anything else."""
    try:
        value = parse_json("\n".join(lines(decode(read_bytes(Path(source), "file"), source))))
    except ValueError as error:
        raise UsageError(f"{source}: not JSON ({error})") from error
    if isinstance(value, dict):
        value = value.get("data")
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UsageError(f"{source}: expected a JSON list of objects, also under a key data")
    return value


def check_texts(record: dict[str, Any], where: str, keys: Sequence[str] = ("input", "output")) -> None:
    """Raises UsageError for an input or output that is not text, such as a number; it may be missing."""
    for key in keys:
        value = record.get(key)
        for one in value if isinstance(value, list) and key in ("output", "against") else [value]:
            if isinstance(one, int | float) and not isinstance(one, bool):
                raise UsageError(f"{where}: the {key} is the number {shown(one)}; write it as text, in quotes")
            if one is not None and not isinstance(one, str):
                raise UsageError(f"{where}: the {key} must be text, not {shown(one)}")
            if one is not None and "\0" in one:
                raise UsageError(f"{where}: the {key} contains a NUL character, so it is not text")
            if one is not None and not is_unicode(one):
                raise UsageError(f"{where}: the {key} contains half of a surrogate pair, so it is not text")


def _columns(count: int) -> str:
    return f"{count} column{'s' * (count != 1)}"


def _shorten(line: str) -> str:
    return repr(line if len(line) <= 40 else line[:40] + "…")
