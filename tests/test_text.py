"""Bytes to text, and which texts are the same."""

import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvcli.errors import UsageError
from tvcli.text import clean, decode, lines, normalized

FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_in_every_encoding_that_says_what_it_is(encoding: str) -> None:
    assert decode("Perú 🇵🇪\r\n".encode(encoding), "f") == "Perú 🇵🇪\r\n"
    assert decode("Perú".encode("utf-16-be").join([b"\xfe\xff", b""]), "f") == "Perú"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"ab\xe9", "f is not UTF-8 text (byte 2); save it as UTF-8"),
        (b"\xef\xbb\xbfab\xe9", "f is not UTF-8 text (byte 5); save it as UTF-8"),
        (b"\xff\xfea\x00b", "f is not UTF-16 text (byte 4); save it as UTF-8"),
        (b"ab\0", "f contains a NUL character (byte 2); save it as UTF-8 text"),
        ("ab".encode("utf-16-le"), "f contains a NUL character (byte 1); save it as UTF-8 text"),
        ("a🇵\0".encode("utf-16"), "f contains a NUL character (byte 8); save it as UTF-8 text"),
        ("ab".encode("utf-32"), "f contains a NUL character (byte 2); save it as UTF-8 text"),
    ],
)
def test_anything_else_is_refused_with_its_place(data: bytes, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode(data, "f")
    assert str(caught.value) == sentence


def test_the_place_counts_from_where_the_bytes_begin() -> None:
    with pytest.raises(UsageError, match=r"\(byte 102\)"):
        decode(b"ab\xe9", "f", 100)


def test_lines_end_in_lf_crlf_and_cr_and_nowhere_else() -> None:
    assert lines("a\nb\r\nc\rd\n\re\x0cf\u2028g\x85h") == ["a", "b", "c", "d", "", "e\x0cf\u2028g\x85h"]
    assert lines("a\n\ufeffb\ufeff") == ["a", "b\ufeff"]


@given(st.text())
def test_a_text_in_any_form_is_one(text: str) -> None:
    for form in FORMS:
        other = unicodedata.normalize(form, text)
        assert normalized(f"  {other}\t") == normalized(text)
        assert clean(f"  {other}\n") == clean(text)
    assert normalized(text.casefold()) == normalized(normalized(text)) == normalized(text)


def test_sameness_forgives_case_white_space_and_composition_alone() -> None:
    assert len({normalized(text) for text in ("Côte  d’or", "co\u0302te d’or", " CÔTE\nD’OR ", "côte\u00a0d’or")}) == 1
    assert normalized("x²") != normalized("x2")
    assert normalized("cote") != normalized("côte")
    assert normalized(" ") == ""
    assert normalized("α\u0345\u0301") == normalized("\u1fb4")  # their lower case depends on the order of the marks


def test_texts_that_differ_in_invisible_characters_are_the_same() -> None:
    """Tatoeba/tatoeba2#643."""
    assert {normalized(text) for text in ("Japan", "Japan\u200b", "\u2060Ja\u00adpan", "\ufeffJapan")} == {"japan"}
