"""One meaning for each line, however it was saved; two meanings are refused with the place."""

import csv
import io
import json
import logging
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tvcli.errors import UsageError
from tvcli.images import Image
from tvcli.inputs.examples import read_examples, read_image_names, read_queries
from tvcli.inputs.lines import HEADERS, raw_lines
from tvcli.inputs.tasks import load_task
from tvcli.kinds import Modality
from tvcli.metrics import Judge, Metric
from tvcli.text import clean

Pairs = list[tuple[object, str]]


def pairs(folder: Path, data: bytes | str, name: str = "p.txt") -> Pairs:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [(one.input, one.output) for one in read_examples(str(path))]


def queries(folder: Path, text: str, name: str = "q.txt") -> list[str]:
    path = folder / name
    path.write_bytes(text.encode())
    return [query.name for query in read_queries(str(path))]


def refused(folder: Path, data: bytes | str, name: str = "p.txt") -> str:
    with pytest.raises(UsageError) as caught:
        pairs(folder, data, name)
    sentence = str(caught.value)
    assert sentence.startswith(str(folder / name))
    return sentence.removeprefix(str(folder / name)).lstrip(", :")


# -- columns ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrow", [" -> ", " → "])
def test_a_line_with_a_tab_is_split_there_alone(tmp_path: Path, arrow: str) -> None:
    text = f"if p{arrow}q\tmodus{arrow}ponens\nGreece{arrow}Athens\n"
    assert pairs(tmp_path, text) == [(f"if p{arrow}q", f"modus{arrow}ponens"), ("Greece", "Athens")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\tb\nGreece\tAthens\tEurope\n", "line 2: 3 columns; expected input<TAB>output"),
        ("\tGreece\tAthens\n", "line 1: 3 columns; expected input<TAB>output"),
        ("p -> q → r\n", "line 1: 2 arrows; write input<TAB>output: 'p -> q → r'"),
        ("Peru\n", "line 1: no tab and no ' -> ' between input and output: 'Peru'"),
        ("Greece→Athens\n", "line 1: no tab and no ' -> ' between input and output: 'Greece→Athens'"),
        ("\n\nQuestion\tAnswer\na\tb\n", "line 3: 'question' and 'answer' look like a header;"),
        ("input -> output\na -> b\n", "line 1: 'input' and 'output' look like a header;"),
        ('a\tb\n"Côte\tx\n', "line 2: the column begins with a quote that is not closed: '\"Côte'; write a quoted"),
        ('"a" and "b"\tx\n', "line 1: the column begins with a quote that is not closed:"),
        ('"\tquote\n', "line 1: the column begins with a quote that is not closed: '\"';"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    assert refused(tmp_path, text).startswith(sentence)


CAPITALS = "Greece,Athens\nPerú,Lima\nItaly,Rome\n"


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ("country,language\n" + CAPITALS, True),
        ("Country,Capital\nGreece,Athens\n", True),
        ("flag of,where\n" + CAPITALS, True),  # other names, in lower case over a column that has none
        ("apple,color\nSky,blue\nGrass,green\nSnow,white\n", True),
        (CAPITALS, False),
        ("greece,athens\nperu,lima\nitaly,rome\njapan,tokyo\n", False),
        ("apple,Red\n" + CAPITALS, False),
        ("hot,cold\nGreece,Athens\n", False),  # of so few it says nothing
    ],
)
def test_a_first_pair_that_may_be_a_header_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, doubted: bool
) -> None:
    found = pairs(tmp_path, text, "p.csv")
    assert len(found) == text.count("\n")
    names = " and ".join(map(repr, text.split("\n")[0].split(",")))
    told = f"{tmp_path / 'p.csv'}, line 1: {names} may be a header, and is used as an example; if it is one, delete it"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [told] * doubted


def test_empty_columns_after_two_do_not_count(tmp_path: Path) -> None:
    assert pairs(tmp_path, "Greece\tAthens\t\t \n") == [("Greece", "Athens")]
    assert refused(tmp_path, "Greece\t\n") == "line 1: the output is missing; write input<TAB>output"


def test_names_of_columns_are_an_example_further_down(tmp_path: Path) -> None:
    assert pairs(tmp_path, "a\tb\ninput\toutput\nquestion\tAntwort\n")[1] == ("input", "output")
    assert pairs(tmp_path, "question\tAntwort\n") == [("question", "Antwort")]


def test_quotes_of_spreadsheets_are_taken_off_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tvcli")
    text = '"Côte d""Ivoire"\tYamoussoukro\nthe "x"\t"""y"""\n'
    assert pairs(tmp_path, text) == [('Côte d"Ivoire', "Yamoussoukro"), ('the "x"', '"y"')]
    told = f"{tmp_path / 'p.txt'}, line 1: quotes around a column are removed, as spreadsheets write them"
    assert caplog.messages == [told]


def test_quotes_in_a_line_without_a_tab_are_text(tmp_path: Path) -> None:
    assert pairs(tmp_path, '"a" -> "b"\n') == [('"a"', '"b"')]
    assert queries(tmp_path, '"To be, or not to be"\n') == ['"To be, or not to be"']


def test_a_quoted_picture_is_a_picture(tmp_path: Path, picture: Path) -> None:
    [(image, _)] = pairs(tmp_path, f'"@{picture.name}"\tred\n')
    assert isinstance(image, Image)


# -- .csv -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file_has_commas_semicolons_or_tabs(tmp_path: Path, delimiter: str) -> None:
    rows = [("Perú", "Lima"), ('Côte d"Ivoire', "a,b;c"), ("two\nlines", " x ")]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    for encoding in ("utf-8-sig", "utf-16"):
        found = pairs(tmp_path, file.getvalue().encode(encoding), "p.CSV")
        assert found == [(x, y.strip()) for x, y in rows]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\nc,d,e\n", "line 2: 3 columns; expected input,output"),
        ("a;b\n\nc;d;e\n", "line 3: 3 columns; expected input,output"),
        ("a\nb\n", "line 1: 1 column; expected input,output"),
        ("a;b,c\n", "',' and ';' can both be the delimiter; use a .jsonl file"),
        ('"a,b\n', "line 1: not CSV (unexpected end of data)"),
        ("Input,Output\na,b\n", "line 1: 'input' and 'output' look like a header;"),
        ("a,\n", "line 1: the output is missing; write input<TAB>output"),
        ("", "contains no examples; write one per line, input<TAB>output"),
        (b"a,\xe9\n", "is not UTF-8 text (byte 2); save it as UTF-8"),
    ],
)
def test_a_csv_file_that_is_none_is_refused(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    assert refused(tmp_path, text, "p.csv").startswith(sentence)


def test_queries_may_be_a_column_or_two(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tvcli")
    assert queries(tmp_path, '"Paris, France"\nPerú\n', "q.csv") == ["Paris, France", "Perú"]
    assert caplog.messages == []
    assert queries(tmp_path, "Greece,Athens\nPerú,Lima\n", "q.csv") == ["Greece", "Perú"]
    assert caplog.messages == [
        f"{tmp_path / 'q.csv'}, line 1: the line is a pair, of which only the input is the query"
    ]


# -- queries ----------------------------------------------------------------------------------------------


def test_a_query_is_never_cut_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tvcli")
    text = "convert 5 -> 10\nconvert 6 → 11\nif p -> q\tmodus ponens\nGreece\tAthens\n"
    assert queries(tmp_path, text) == ["convert 5 -> 10", "convert 6 → 11", "if p -> q", "Greece"]
    file = tmp_path / "q.txt"
    assert caplog.messages == [
        f"{file}, line 1: the arrow is part of the query; only a tab separates an output",
        f"{file}, line 3: the line is a pair, of which only the input is the query",
    ]


def test_three_columns_or_a_header_are_no_query(tmp_path: Path) -> None:
    for text, words in (("a\tb\tc\n", "line 1: 3 columns"), ("input\toutput\n", "line 1: 'input' and 'output'")):
        with pytest.raises(UsageError, match=words):
            queries(tmp_path, text)


# -- encodings and line ends ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_are_read_alike_however_they_were_saved(tmp_path: Path, end: str, encoding: str) -> None:
    greece, peru = {"input": "Greece", "output": "Athens"}, {"input": "Perú", "output": "Lima"}
    wanted = [("Greece", "Athens"), ("Perú", "Lima")]
    for name, text in (
        ("p.txt", f"Greece\tAthens{end}Perú\tLima{end}"),
        ("p.csv", f"Greece,Athens{end}Perú,Lima{end}"),
        ("p.jsonl", f"{json.dumps(greece)}{end}{json.dumps(peru, ensure_ascii=False)}{end}"),
        ("p.ndjson", f"{json.dumps(greece)}{end}{json.dumps(peru, ensure_ascii=False)}{end}"),
        ("p.json", f"[{json.dumps(greece)},{end}{json.dumps(peru, ensure_ascii=False)}]"),
    ):
        assert pairs(tmp_path, text.encode(encoding), name) == wanted, name
    (tmp_path / "q.txt").write_bytes(f"Greece{end}Perú".encode(encoding))
    assert [query.name for query in read_queries(str(tmp_path / "q.txt"))] == ["Greece", "Perú"]
    (tmp_path / "names.txt").write_bytes(f"a.png{end}é.png{end}".encode(encoding))
    assert [query.name for query in read_image_names(str(tmp_path / "names.txt"))] == ["a.png", "é.png"]
    toml = f'description = "d"{end}instruction = "Perú:"{end}'
    (tmp_path / "task.toml").write_bytes(toml.encode(encoding))
    (tmp_path / "examples.jsonl").write_bytes(f"{json.dumps(greece)}{end}{json.dumps(peru)}{end}".encode(encoding))
    task = load_task(tmp_path)
    assert (task.instruction, [(s.input, s.line) for s in task.test]) == ("Perú:", [("Greece", 1), ("Perú", 2)])


def test_files_that_were_put_together_keep_no_mark_inside(tmp_path: Path) -> None:
    one = "\ufeffGreece\tAthens\n".encode()
    assert pairs(tmp_path, one + "\ufeffItaly\tRome\n".encode()) == [("Greece", "Athens"), ("Italy", "Rome")]


@pytest.mark.parametrize("name", ["task.toml", "examples.jsonl"])
def test_another_encoding_of_a_task_is_refused_with_file_and_byte(tmp_path: Path, name: str) -> None:
    (tmp_path / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    (tmp_path / "examples.jsonl").write_text('{"input": "Brazil", "output": "x"}\n')
    with (tmp_path / name).open("ab") as file:
        file.write(b"# Bras\xedlia\n")
    with pytest.raises(UsageError, match=rf"{name} is not UTF-8 text \(byte \d+\); save it as UTF-8$"):
        load_task(tmp_path)


@given(st.lists(st.sampled_from([b"\n", b"\r", b"a", b"bc"])), st.integers(1, 3))
def test_a_pipe_has_the_lines_of_a_file_however_it_is_cut(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)

    class Pipe(io.BytesIO):
        def read1(self, count: int | None = -1, /) -> bytes:
            return self.read(size)

    found = list(raw_lines(Pipe(data), "f"))
    assert [line for _, line in found] == io.TextIOWrapper(io.BytesIO(data), newline=None).read().removesuffix(
        "\n"
    ).encode().split(b"\n") * bool(data)
    assert all(data[start : start + len(line)] == line for start, line in found)


# -- texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ('{"input": "2+2", "output": 4}', "the output is the number 4; write it as text, in quotes"),
        ('{"input": "2+2", "output": [1.50]}', "the output is the number 1.5; write it as text, in quotes"),
        ('{"input": 7, "output": "x"}', "the input is the number 7; write it as text, in quotes"),
        ('{"input": "a", "output": true}', "the output must be text, not True"),
        ('{"input": ["a"], "output": "b"}', "the input must be text, not ['a']"),
        ('{"input": "a\\u0000", "output": "b"}', "the input contains a NUL character, so it is not text"),
        ('{"input": "a", "image": 3, "output": "b"}', "the image must be a path, not 3"),
        ('{"input": "a", "output": "b", "input": "c"}', "not JSON (the key 'input' occurs twice)"),
        ('{"input": "a", "output": null}', "the output is missing; write input<TAB>output"),
    ],
)
def test_a_record_that_is_no_text_says_what_it_is(tmp_path: Path, record: str, sentence: str) -> None:
    assert refused(tmp_path, record, "p.jsonl") == f"line 1: {sentence}"


def test_a_number_in_a_task_or_a_query_says_so_too(tmp_path: Path) -> None:
    (tmp_path / "task.toml").write_text('description = "d"\ninstruction = "i:"\n')
    (tmp_path / "examples.jsonl").write_text('{"input": "2+2", "output": ["4", 4]}')
    with pytest.raises(UsageError, match=r"line 1: the output is the number 4; write it as text, in quotes$"):
        load_task(tmp_path)
    with pytest.raises(UsageError, match=r"line 1: the input is the number 4; write it as text, in quotes$"):
        queries(tmp_path, '{"input": 4}', "q.jsonl")
    assert queries(tmp_path, '{"input": "a", "output": 4}', "q.jsonl") == ["a"]


def test_texts_are_composed_wherever_they_are_read(tmp_path: Path) -> None:
    apart, composed = (unicodedata.normalize(form, "Brasília") for form in ("NFD", "NFC"))
    assert apart != composed
    assert pairs(tmp_path, f"{apart}\t{apart}\n") == [(composed, composed)]
    assert queries(tmp_path, f" {apart} \n") == [composed]
    (tmp_path / "task.toml").write_text(
        f'description = "d"\ninstruction = "{apart}:"\npattern = "{apart}"\n[wordings]\ntypo = ["{apart}"]\n', "utf-8"
    )
    (tmp_path / "examples.jsonl").write_text(json.dumps({"input": apart, "output": [f" {apart} "]}))
    task = load_task(tmp_path)
    assert (task.instruction, task.pattern, task.wordings) == (f"{composed}:", composed, {"typo": (composed,)})
    assert (task.test[0].input, task.test[0].outputs) == (composed, (composed,))
    for judge in (Judge(), Judge(Metric.EXACT), Judge(ignore_case=True)):
        assert judge.correct(apart, [composed])
        assert judge.correct(composed, [apart])
    assert Judge().follows(apart, [], composed)


def test_the_name_of_a_picture_is_left_as_it_is(tmp_path: Path, picture: Path) -> None:
    name = unicodedata.normalize("NFD", "é.png")
    (tmp_path / name).write_bytes(picture.read_bytes())
    [(image, _)] = pairs(tmp_path, f"@{name}\tred\n")
    assert isinstance(image, Image)
    (tmp_path / "j.jsonl").write_text(json.dumps({"image": name, "output": "red"}))
    assert isinstance(read_examples(str(tmp_path / "j.jsonl"), Modality.IMAGE)[0].input, Image)


# -- whatever is written is read back ---------------------------------------------------------------------

words = st.text(st.characters(exclude_characters="\r\n\t\0", exclude_categories=["Cs"]), min_size=1).filter(clean)
rows = st.lists(st.tuples(words, words), min_size=1, max_size=5)


def written(rows: list[tuple[str, str]], kind: str, end: str) -> str:
    """As the programs write that people use."""
    if kind == "jsonl":
        return "".join(json.dumps({"input": x, "output": y}) + end for x, y in rows)
    if kind == "txt":  # a spreadsheet's "Text (tab delimited)"
        quoted = [[f'"{one.replace(chr(34), chr(34) * 2)}"' if '"' in one else one for one in row] for row in rows]
        return "".join("\t".join(row) + end for row in quoted)
    file = io.StringIO()
    delimiter = {"csv": ",", "semicolons.csv": ";"}[kind]
    csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(rows)
    return file.getvalue()


@given(
    rows,
    st.sampled_from(["txt", "csv", "semicolons.csv", "jsonl"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_pairs_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], kind: str, end: str, encoding: str
) -> None:
    assume(not any(x.strip().startswith("@") for x, _ in rows))  # a picture, or @@ for a text that begins so
    assume(not any(x.startswith("\ufeff") for x, _ in rows))
    first = [clean(column).casefold() for column in rows[0]]
    assume(kind == "jsonl" or not all(one in names for one, names in zip(first, HEADERS, strict=True)))
    found = pairs(tmp_path_factory.getbasetemp(), written(rows, kind, end).encode(encoding), f"p.{kind}")
    assert found == [(clean(x), clean(y)) for x, y in rows]


def test_a_space_after_a_comma_leaves_a_column_quoted(tmp_path: Path) -> None:
    """BurntSushi/rust-csv#337."""
    file = tmp_path / "pairs.csv"
    file.write_text('"Greece", "Athens"\n"Peru", "Lima, the"\n', "utf-8")
    assert [(e.input, e.output) for e in read_examples(str(file))] == [("Greece", "Athens"), ("Peru", "Lima, the")]


@pytest.mark.parametrize("key", ["input", "output"])
def test_half_of_a_surrogate_pair_is_refused_where_it_stands(tmp_path: Path, key: str) -> None:
    """daaain/claude-code-log#144: it cannot be written to a results file."""
    line = json.dumps({"input": "x", "output": "y", key: "Egypt \ud83d"})
    sentence = f"line 1: the {key} contains half of a surrogate pair, so it is not text"
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(line, "utf-8")
    with pytest.raises(UsageError, match=sentence):
        read_examples(str(pairs))
    (tmp_path / "task.toml").write_text('description = "d"\ninstruction = "i:"\n', "utf-8")
    (tmp_path / "examples.jsonl").write_text(line, "utf-8")
    with pytest.raises(UsageError, match=sentence):
        load_task(tmp_path)


@pytest.mark.parametrize("name", ["q.jsonl", "q.json"])
def test_keys_that_are_not_used_are_noted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """cppalliance/mrdocs#992."""
    records = [{"input": "France", "img": "fr.png"}, {"input": "Peru", "img": "pe.png"}]
    text = json.dumps(records) if name == "q.json" else "\n".join(map(json.dumps, records))
    (tmp_path / name).write_text(text, "utf-8")
    caplog.set_level(logging.INFO, "tvcli")
    assert [query.name for query in read_queries(str(tmp_path / name))] == ["France", "Peru"]
    place = "item 1" if name == "q.json" else "line 1"
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / name}, {place}: keys that are not used: 'img'"
    ]
