"""Decode and normalize text: the same for every file, pipe and option."""

from __future__ import annotations

import codecs
import re
import unicodedata

from tvcli.errors import UsageError

BYTE_ORDER_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MARK = "\ufeff"
LINE_END = re.compile(r"\r\n|\n|\r")


def decode(data: bytes, label: str, start: int = 0) -> str:
    """The text of UTF-8, or of UTF-16 with a byte order mark, without the mark; line ends are kept.

    `start` is the offset of `data` in the source that `label` names, for messages.

    Raises:
        UsageError: another encoding, or a NUL character; the message has the offset of the byte.
    """
    wide = data.startswith(BYTE_ORDER_MARKS)
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        place = start + error.start + (3 if data.startswith(codecs.BOM_UTF8) else 0)
        name = "UTF-16" if wide else "UTF-8"
        raise UsageError(f"{label} is not {name} text (byte {place}); save it as UTF-8") from error
    if "\0" in text:
        before = text[: text.index("\0")]
        place = 2 + len(before.encode("utf-16-le")) if wide else data.index(b"\0")
        raise UsageError(f"{label} contains a NUL character (byte {start + place}); save it as UTF-8 text")
    return text


def lines(text: str) -> list[str]:
    """Lines as an editor counts them; they end in LF, CRLF or CR.

    `str.splitlines` would also split at form feeds and U+2028. A byte order mark is removed from the beginning of every
    line, since files are concatenated (``cat a.txt b.txt``).
    """
    return [line.removeprefix(MARK) for line in LINE_END.split(text)]


def clean(text: str) -> str:
    """The text in Unicode form NFC, without white space around it."""
    return unicodedata.normalize("NFC", text).strip()


def normalized(text: str) -> str:
    """The text normalized in case, white space, Unicode composition and invisible characters, to compare texts.

    Compatibility characters are not normalized: ``x²`` is not ``x2``.
    """
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    folded = unicodedata.normalize("NFD", " ".join(visible.split())).casefold()
    return unicodedata.normalize("NFC", folded)


def is_unicode(text: str) -> bool:
    """Whether a text can be encoded: JSON can name half of a surrogate pair, which is no character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
