"""Files of examples, of queries, and of image names.

Text files have one example per line, ``input<TAB>output`` or ``input -> output``; ``@path`` as the input is
an image, ``@@`` a literal ``@``. ``.json`` and ``.jsonl`` contain objects with ``input`` or ``image``, and
``output`` (the paper's own annotations are JSON lists of these, also under a top key ``data``).
"""

from __future__ import annotations

import codecs
import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tvcli.errors import UnavailableError, UsageError
from tvcli.files import parse_json, parse_record, read_bytes, read_standard_input, standard_input
from tvcli.images import Image, load_image
from tvcli.kinds import Modality
from tvcli.prompts.prompt import Example, Input

STDIN = "-"
SEPARATORS = ("\t", " -> ")
MOST_EXAMPLES = 100_000
LONGEST_LINE = 1 << 20  # bytes
LONGEST_NAME = 1 << 16  # bytes; no system has longer ones, and an endless stream must not fill the memory


def read_examples(source: str, modality: Modality = Modality.TEXT) -> list[Example]:
    """All examples of a pairs file, or of standard input for ``-``.

    `modality` decides if a record has both text and image, as the paper's own files do.

    Raises:
        UsageError: a line or record without input or output (the message names file and line), no examples, or
            too many.
        UnavailableError: a file or image that cannot be read.
    """
    modality = Modality(modality)
    records = itertools.islice(_records(source, _pair_line), MOST_EXAMPLES + 1)
    examples = [_example(*record, modality) for record in records]
    if len(examples) > MOST_EXAMPLES:
        raise UsageError(f"{_label(source)} contains more than {MOST_EXAMPLES:,} examples")
    if not examples:
        raise UsageError(f"{_label(source)} contains no examples; write one per line, input<TAB>output")
    return examples


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
        return cls(name or str(path), lambda: load_image(path, name), where)


def read_queries(source: str, modality: Modality = Modality.TEXT) -> Iterator[Query]:
    """The inputs of a queries file: one per line, ``@path`` for images; JSON and pairs files work too.

    Text is read as it arrives, so that a query from a pipe is answered before the next one is written.
    """
    modality = Modality(modality)
    return (_query(*record, modality) for record in _records(source, _query_line))


def _query(where: str, base: Path, record: dict[str, object], modality: Modality) -> Query:
    path = _image_path(record, modality)
    return Query.text(_text(record, where), where) if path is None else Query.image(base / path, path, where)


def read_image_names(source: str, *, null: bool = False) -> Iterator[Query]:
    """Images by name, one per line or each ending in NUL; relative to the working directory, as ``find`` prints them.

    Names are read as they arrive, like queries.

    Raises:
        UsageError: not file names: NUL in a line, or a name that is too long.
        UnavailableError: a file that cannot be read.
    """
    file = standard_input() if source == STDIN else io.BytesIO(read_bytes(Path(source), "file"))
    for number, piece in enumerate(_pieces(file, b"\0" if null else b"\n", _label(source)), 1):
        name = os.fsdecode(piece if null else piece.rstrip(b"\r"))
        if "\0" in name:
            raise UsageError(f"{_label(source)} contains NUL characters; if they end the names, add `null`")
        if name:
            yield Query.image(Path(name), name, f"{_label(source)}, {'name' if null else 'line'} {number}")


def _pieces(file: BinaryIO, end: bytes, label: str) -> Iterator[bytes]:
    """The parts between the end marks, each as soon as it is read."""
    rest = b""
    while chunk := file.read1(LONGEST_NAME):  # type: ignore[attr-defined]
        *whole, rest = (rest + chunk).split(end)
        yield from whole
        if len(rest) > LONGEST_NAME:
            raise UsageError(f"{label} contains no file names: no end of name in {len(rest)} bytes")
    yield rest


def _example(where: str, base: Path, record: dict[str, object], modality: Modality) -> Example:
    output = record.get("output")
    if isinstance(output, list) and output:  # several accepted answers: the first is the label
        output = output[0]
    if not isinstance(output, str) or not output.strip():
        raise UsageError(f"{where}: the output is missing; write input<TAB>output")
    path = _image_path(record, modality)
    x = _text(record, where) if path is None else _image(base, path, where)
    return Example(x, output.strip(), where)


def _image_path(record: dict[str, object], modality: Modality) -> str | None:
    """The record's image, unless it has text and text is preferred."""
    path = record.get("image")
    if not isinstance(path, str) or not path or (modality == Modality.TEXT and record.get("input")):
        return None
    return path


def _text(record: dict[str, object], where: str) -> str:
    text = record.get("input")
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where}: the input is missing; give text or an image")
    return text.strip()


def _image(base: Path, path: str, where: str) -> Image:
    try:
        return load_image(base / path, name=path)
    except UnavailableError as error:
        raise UnavailableError(f"{where}: {error}") from error


Record = tuple[str, Path, dict[str, object]]


def _records(source: str, parse_line: Callable[[str, str], dict[str, object]]) -> Iterator[Record]:
    """Every record with its location and the folder that its image paths are relative to."""
    label = _label(source)
    base = Path() if source == STDIN else Path(source).parent
    suffix = Path(source).suffix.lower()
    if suffix == ".json":
        yield from ((f"{label}, item {i}", base, item) for i, item in enumerate(_json_list(source, label), 1))
        return
    for number, line in enumerate(_lines(source), 1):
        where = f"{label}, line {number}"
        if line.strip():
            is_json = suffix == ".jsonl" or (source == STDIN and line.lstrip().startswith("{"))
            yield where, base, parse_record(line, where) if is_json else parse_line(line, where)


def _pair_line(line: str, where: str) -> dict[str, object]:
    for separator in SEPARATORS:
        if separator in line:
            left, right = line.split(separator, 1)
            return {**_query_line(left, where), "output": right}
    raise UsageError(f"{where}: no tab and no ' -> ' between input and output: {_shorten(line)}")


def _query_line(line: str, where: str) -> dict[str, object]:
    text = next((line.split(s, 1)[0] for s in SEPARATORS if s in line), line).strip()
    if text.startswith("@@"):
        return {"input": text[1:]}
    return {"image": text[1:].strip()} if text.startswith("@") else {"input": text}


def _json_list(source: str, label: str) -> list[dict[str, object]]:
    try:
        value = parse_json("\n".join(_lines(source)))
    except ValueError as error:
        raise UsageError(f"{label}: not JSON ({error})") from error
    if isinstance(value, dict):
        value = value.get("data")
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UsageError(f"{label}: expected a JSON list of objects, also under a key data")
    return value


def _lines(source: str) -> Iterator[str]:
    if source != STDIN:
        yield from _split(_decode(read_bytes(Path(source), "file"), source))
        return
    file = standard_input()
    for number in itertools.count(1):
        raw = file.readline(LONGEST_LINE)
        if not raw:
            return
        if len(raw) == LONGEST_LINE:
            raise UsageError(f"standard input, line {number}: longer than {LONGEST_LINE >> 20} MiB")
        if number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            yield from _split(_decode(raw + read_standard_input("text"), STDIN))
            return
        yield _decode(raw, STDIN).rstrip("\r\n")


def _split(text: str) -> list[str]:
    """Lines as an editor counts them; str.splitlines would also cut at form feeds and U+2028."""
    return text.replace("\r\n", "\n").split("\n")


def _decode(data: bytes, source: str) -> str:
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{_label(source)} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _label(source: str) -> str:
    return "standard input" if source == STDIN else source


def _shorten(line: str) -> str:
    return repr(line if len(line) <= 40 else line[:40] + "…")
