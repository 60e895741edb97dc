"""Files of examples and queries, as people write them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tvcli.errors import UnavailableError, UsageError
from tvcli.images import Image
from tvcli.inputs.examples import read_examples, read_queries
from tvcli.kinds import Modality


def examples(tmp_path: Path, data: bytes, name: str = "pairs.txt") -> list[tuple[object, str]]:
    path = tmp_path / name
    path.write_bytes(data)
    return [(e.input, e.output) for e in read_examples(str(path))]


EXPECTED = [("Greece", "Athens"), ("Perú", "Lima")]


@pytest.mark.parametrize(
    "data",
    [
        "Greece\tAthens\nPerú\tLima\n".encode(),
        "Greece -> Athens\nPerú -> Lima".encode(),
        "Greece\tAthens\r\nPerú\tLima\r\n".encode(),
        "\ufeffGreece\tAthens\nPerú\tLima\n".encode(),
        "Greece\tAthens\nPerú\tLima\n".encode("utf-16"),
        "\n\n Greece \t Athens \n   \nPerú\tLima\n\n".encode(),
    ],
    ids=["tabs", "arrows", "CRLF", "BOM", "UTF-16", "blank lines"],
)
def test_text_files_are_read_however_they_were_saved(tmp_path: Path, data: bytes) -> None:
    assert examples(tmp_path, data) == EXPECTED


RECORDS = [{"input": "Greece", "output": "Athens"}, {"input": "Perú", "output": ["Lima", "lima"]}]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", "\n".join(json.dumps(r) for r in RECORDS)),
        ("a.json", json.dumps(RECORDS)),
        ("a.json", json.dumps({"data": RECORDS}, ensure_ascii=False, indent=1)),
    ],
)
def test_json_files_are_read_in_the_papers_forms(tmp_path: Path, name: str, text: str) -> None:
    assert examples(tmp_path, text.encode(), name) == EXPECTED


def test_images_are_relative_to_the_file(tmp_path: Path, picture: Path) -> None:
    [(image, label)] = examples(tmp_path, f"@{picture.name}\tred".encode())
    assert isinstance(image, Image)
    assert image.pixels.shape == (6, 8, 3)
    assert label == "red"


def test_a_doubled_at_sign_is_text(tmp_path: Path) -> None:
    assert examples(tmp_path, b"@@alice\tuser") == [("@alice", "user")]


def test_the_wanted_modality_is_taken_where_a_record_has_both(tmp_path: Path, picture: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"input": "x", "image": picture.name, "output": "y"}))
    assert read_examples(str(path))[0].input == "x"
    assert isinstance(read_examples(str(path), Modality.IMAGE)[0].input, Image)


def test_control_tokens_and_markers_are_only_text(tmp_path: Path) -> None:
    odd = "<__media__> <image> <start_of_image> <end_of_turn> <bos> \x1b[31m"
    assert examples(tmp_path, f"{odd}\t{odd}".encode()) == [(odd, odd)]


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "p.txt", "contains no examples"),
        (b"\n  \n", "p.txt", "contains no examples"),
        (b"Greece\tAthens\nPeru\n", "p.txt", "line 2: no tab"),
        (b"Greece\tAthens\nPeru\t \n", "p.txt", "line 2: the output is missing"),
        (b"\tAthens\n", "p.txt", "line 1: the input is missing"),
        (b"Greece\t\xff\xfe\n", "p.txt", "not UTF-8"),
        (b"a\tb\n{", "p.jsonl", "line 1: not JSON"),
        (b'"text"', "p.jsonl", "expected a JSON object"),
        (b'{"input": "a"}', "p.jsonl", "output is missing"),
        (b'{"input": 3, "output": "x"}', "p.jsonl", "input is the number 3"),
        (b'{"input": "a", "output": 3}', "p.jsonl", "output is the number 3"),
        (b'{"input": "a", "output": []}', "p.jsonl", "output is missing"),
        (b"{", "p.json", "not JSON"),
        (b'{"rows": []}', "p.json", "expected a JSON list"),
        (b"[1, 2]", "p.json", "expected a JSON list"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, data: bytes, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        examples(tmp_path, data, name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_image_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no such file"):
        read_examples(str(tmp_path / "none.txt"))
    with pytest.raises(UnavailableError, match=r"line 1: image .*none.png cannot be read"):
        examples(tmp_path, b"@none.png\tx")


def test_queries_may_be_lines_pairs_or_images(tmp_path: Path, picture: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text(f"Greece\nPeru\tLima\n\n@{picture.name}\n")
    queries = list(read_queries(str(path)))
    assert [q.name for q in queries] == ["Greece", "Peru", picture.name]
    assert isinstance(queries[2].load(), Image)


def test_a_word_that_is_no_modality_is_refused_before_anything_is_read() -> None:
    pictures: Any = "pictures"
    for read in (read_examples, read_queries):
        with pytest.raises(UsageError, match=r"^the modality must be one of text, image, not 'pictures'$"):
            read("no such file", pictures)
