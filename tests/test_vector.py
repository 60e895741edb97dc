"""The task vector: arithmetic, and a file that round-trips exactly and refuses everything else."""

import hashlib
import io
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tvcli.errors import UnavailableError, VectorError
from tvcli.vector import ModelInfo, Part, Provenance, TaskVector, combine, load, save, to_bytes


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def header(shape: str) -> bytes:
    """The first bytes of an array that claims a shape and holds nothing."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00\x76\x00" + text.encode().ljust(118)


def with_metadata(text: bytes) -> bytes:
    return npy(np.ones((2, 3), np.float32)) + npy(np.frombuffer(text, np.uint8))


def test_arithmetic_reads_like_the_maths(vector: TaskVector) -> None:
    assert np.array_equal((vector + vector).rows, (vector * 2).rows)
    negative = -vector
    assert np.array_equal((-negative).rows, vector.rows)
    assert not (vector - vector).rows.any()
    assert np.array_equal((vector / 2).rows, (0.5 * vector).rows)


def test_a_combination_keeps_what_its_parts_agree_on(vector: TaskVector) -> None:
    other = TaskVector(vector.rows + 1, replace(vector.provenance, delimiter="?"))
    mean = combine([vector, other], [0.5, 0.5])
    assert np.allclose(mean.rows, vector.rows + 0.5)
    assert mean.provenance.model == vector.provenance.model
    assert mean.provenance.delimiter == ""
    assert [part["weight"] for part in mean.provenance.parts] == [0.5, 0.5]


def test_vectors_of_different_shapes_do_not_combine(vector: TaskVector) -> None:
    with pytest.raises(VectorError, match=r"2 layers × 3 and 6 layers × 16"):
        vector + TaskVector(np.ones((2, 3), np.float32))


def test_a_sum_that_overflows_is_refused(vector: TaskVector) -> None:
    with pytest.raises(VectorError, match="infinite"):
        TaskVector(np.full((1, 1), 3e38, np.float32)) * 2


def test_a_file_round_trips_exactly(vector: TaskVector, tmp_path: Path) -> None:
    chosen = (vector * 1.0).with_layer(0, "by hand", 0.25)  # layer 0 is a layer
    path = tmp_path / "v.npy"
    save(chosen, path)
    again = load(path)
    assert np.array_equal(again.rows, chosen.rows)
    assert again.provenance == chosen.provenance
    assert again.provenance.layer == 0
    assert to_bytes(again) == path.read_bytes()


def test_numpy_reads_the_file_as_a_plain_array(vector: TaskVector, tmp_path: Path) -> None:
    save(vector, tmp_path / "v.npy")
    assert np.array_equal(np.load(tmp_path / "v.npy"), vector.rows)


def test_the_file_format_has_not_moved(vector: TaskVector) -> None:
    data = to_bytes(vector)
    assert hashlib.sha256(data).hexdigest() == "2fe6d65ca7447db9af9172c6738f670144e8053b8f211f614f0457990127536a"


def test_an_array_made_by_hand_loads_with_unknown_provenance() -> None:
    assert load(npy(np.ones((2, 3), np.float32))).provenance == Provenance()


def test_saving_leaves_no_temporary_file(vector: TaskVector, tmp_path: Path) -> None:
    save(vector, tmp_path / "v.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


def test_a_device_is_written_and_not_replaced(vector: TaskVector) -> None:
    save(vector, Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


GOOD = json.dumps({"format": 1}).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a NumPy array"),
        (b"hello", "not a NumPy array"),
        (npy(np.array([{"a": 1}], dtype=object), allow_pickle=True), "pickled"),
        (npy(np.ones((2, 3))), "float32, not float64"),
        (npy(np.ones((2, 3), np.int32)), "float32, not int32"),
        (npy(np.ones(3, np.float32)), "shape"),
        (npy(np.ones((2, 3, 4), np.float32)), "shape"),
        (npy(np.ones((0, 3), np.float32)), "shape"),
        (npy(np.full((2, 3), np.nan, np.float32)), "NaN"),
        (npy(np.full((2, 3), np.inf, np.float32)), "NaN or infinite"),
        (npy(np.ones((2, 3), np.float32))[:-5], "truncated"),
        (npy(np.ones((2, 3), np.float32)) + b"x", "metadata is not a NumPy array"),
        (with_metadata(b"{"), "not JSON"),
        (with_metadata(b"[" * 100_000), "not JSON"),
        (with_metadata(b"[]"), "format 'list'"),
        (with_metadata(b'{"format": 99}'), "format 99"),
        (with_metadata(b'{"format": 1, "layer": 2}'), "layer 2 is outside 0 to 1"),
        (with_metadata(b'{"format": 1, "layer": "2"}'), "malformed"),
        (with_metadata(b'{"format": 1, "layer": true}'), "malformed"),
        (with_metadata(b'{"format": 1, "model": {"name": "x"}}'), "malformed"),
        (with_metadata(b'{"format": 1, "model": 3}'), "malformed"),
        (with_metadata(b'{"format": 1, "parts": [3]}'), "malformed"),
        (with_metadata(b'{"format": 1, "accuracy": "high"}'), "malformed"),
        (with_metadata(GOOD) + b"more", "more data than a vector"),
        (
            b"\x93NUMPY\x01\x00\x76\x00"
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999), }".ljust(118),
            "truncated",
        ),
        (
            b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }".ljust(118),
            "truncated|cannot be read|not a NumPy",
        ),
        (b"\x93NUMPY\x09\x00\x76\x00" + b"x" * 118, "not a NumPy array"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(VectorError, match=words) as caught:
        load(data, "v.npy")
    assert str(caught.value).startswith("v.npy: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no such file"):
        load(tmp_path / "none.npy")


def test_a_vector_must_have_the_models_shape(vector: TaskVector) -> None:
    vector.check_fits(ModelInfo("a", "b", 6, 16))
    with pytest.raises(VectorError, match=r"6 layers × 16, the model b 6 × 17"):
        vector.check_fits(ModelInfo("a", "b", 6, 17))


BARE = npy(np.ones((2, 3), np.float32))
PART: Part = {"weight": 1, "vector": {}}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"hello", "the vector is not a NumPy array file (.npy)"),
        (BARE + b"x", "the metadata is not a NumPy array file (.npy)"),
        (
            npy(np.array([{}], dtype=object), allow_pickle=True),
            "the vector has pickled Python objects, which are never loaded; save a float32 array",
        ),
        (BARE[:-1], "the vector is truncated: (2, 3) float32 does not fit in the file"),
        (BARE + npy(np.ones(2, np.uint8))[:-1], "the metadata is truncated: (2,) uint8 does not fit in the file"),
        (BARE + npy(np.ones(2, np.int8)), "the file has more data than a vector and its metadata"),
        (BARE + npy(np.ones((1, 2), np.uint8)), "the file has more data than a vector and its metadata"),
        (with_metadata(GOOD) + b"m", "the file has more data than a vector and its metadata"),
        (npy(np.ones((2, 3))), "a task vector must be float32, not float64"),
        (npy(np.ones(3, np.float32)), "a task vector must have the shape (layers, width), not (3,)"),
        (npy(np.ones((3, 0), np.float32)), "a task vector must have the shape (layers, width), not (3, 0)"),
        (npy(np.full((2, 3), np.nan, np.float32)), "the task vector contains NaN or infinite values"),
        (with_metadata(b"["), "its metadata is not JSON (Expecting value: line 1 column 2 (char 1))"),
        (with_metadata(b"[]"), "its metadata has format 'list', this tv reads format 1"),
        (with_metadata(b'{"format": 2}'), "its metadata has format 2, this tv reads format 1"),
        (with_metadata(b"{}"), "its metadata has format None, this tv reads format 1"),
        (with_metadata(b'{"format": 1, "layer": 2}'), "its selected layer 2 is outside 0 to 1"),
        (with_metadata(b'{"format": 1, "layer": -1}'), "its selected layer -1 is outside 0 to 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_full(data: bytes, sentence: str) -> None:
    with pytest.raises(VectorError) as caught:
        load(data)
    assert str(caught.value) == f"<bytes>: {sentence}"


MODEL = {"architecture": "a", "name": "b", "n_layer": 2, "n_embd": 3, "quantization": "q", "digest": "d"}
FIELDS = [
    *((name, [1, 0, None], ["1", 1.0, True]) for name in ("delimiter_id", "prompts", "shots", "seed")),
    ("layer", [1, 0, None], ["1", 1.0, True]),
    *(
        (name, ["", "x"], [None, 1])
        for name in ("source", "template", "instruction", "delimiter", "layer_selection", "tv_version")
    ),
    ("accuracy", [0.5, 1, None], ["1", True]),
]


@pytest.mark.parametrize(("name", "good", "bad"), FIELDS)
def test_each_field_of_the_metadata_has_its_type(name: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        origin = load(with_metadata(json.dumps({"format": 1, name: value}).encode())).provenance
        assert getattr(origin, name) == value
    for value in bad:
        with pytest.raises(VectorError) as caught:
            load(with_metadata(json.dumps({"format": 1, name: value}).encode()))
        assert str(caught.value) == f"<bytes>: its metadata is malformed (the key {name} cannot be {value!r})"


@pytest.mark.parametrize("name", MODEL)
def test_each_field_of_a_model_has_its_type(name: str) -> None:
    good = load(with_metadata(json.dumps({"format": 1, "model": MODEL, "unknown": 1}).encode()))
    assert good.provenance.model == ModelInfo("a", "b", 2, 3, "q", "d")
    wrong = "1" if name in ("n_layer", "n_embd") else 1
    with pytest.raises(VectorError) as caught:
        load(with_metadata(json.dumps({"format": 1, "model": {**MODEL, name: wrong}}).encode()))
    said = f"the key {name} in the table model cannot be {wrong!r}"
    assert str(caught.value) == f"<bytes>: its metadata is malformed ({said})"


def test_what_a_later_version_added_is_left_out() -> None:
    later = {"format": 1, "more": 1, "model": {**MODEL, "more": 1}, "parts": [{**PART, "more": 1}]}
    origin = load(with_metadata(json.dumps(later).encode())).provenance
    assert origin == Provenance(ModelInfo("a", "b", 2, 3, "q", "d"), parts=({"weight": 1, "vector": {}},))


@pytest.mark.parametrize("key", ["format", "layer", "more", "model"])
def test_metadata_of_any_depth_that_json_can_have_is_read_or_refused(key: str) -> None:
    for depth in range(500, 1100, 7):
        text = f'{{"format": 1, "{key}": {"[" * depth}{"]" * depth}}}'
        with suppress(VectorError):
            load(with_metadata(text.encode()))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (3, "parts must be a table, not 3"),
        ({**PART, "weight": "1"}, "the key weight in the table parts cannot be '1'"),
        ({"vector": {}}, "the key weight is missing in the table parts"),
        ({**PART, "vector": []}, "the key vector in the table parts cannot be []"),
        ({"weight": 1.5}, "the key vector is missing in the table parts"),
    ],
)
def test_each_part_has_a_weight_and_a_vector(part: object, said: str) -> None:
    good = load(with_metadata(json.dumps({"format": 1, "parts": [PART, {**PART, "weight": 0.5}]}).encode()))
    assert good.provenance.parts == (PART, {**PART, "weight": 0.5})
    with pytest.raises(VectorError) as caught:
        load(with_metadata(json.dumps({"format": 1, "parts": [PART, part]}).encode()))
    assert str(caught.value) == f"<bytes>: its metadata is malformed ({said})"


def test_metadata_may_leave_out_what_is_unknown() -> None:
    assert load(with_metadata(b'{"format": 1, "parts": null, "model": null}')).provenance == Provenance()
    assert Provenance().to_json() == {
        "format": 1,
        "model": None,
        "source": "unknown",
        "template": "",
        "instruction": "",
        "delimiter_id": None,
        "delimiter": "",
        "prompts": None,
        "shots": None,
        "seed": None,
        "layer": None,
        "layer_selection": "",
        "accuracy": None,
        "tv_version": "",
        "parts": [],
    }


def test_a_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "v.npy").write_bytes(b"hello")
    for source, name, said in (
        (tmp_path / "v.npy", None, str(tmp_path / "v.npy")),
        (str(tmp_path / "v.npy"), None, str(tmp_path / "v.npy")),
        (tmp_path / "v.npy", "standard input", "standard input"),
    ):
        with pytest.raises(VectorError) as caught:
            load(source, name)
        assert str(caught.value) == f"{said}: the vector is not a NumPy array file (.npy)"
    with pytest.raises(UnavailableError, match=r"vector .*none\.npy cannot be read"):
        load(tmp_path / "none.npy")


@pytest.mark.parametrize("version", [(2, 0), (3, 0)])
def test_an_array_of_a_later_numpy_format_is_read(version: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ones((2, 3), np.float32), version=version)
    assert load(buffer.getvalue()).rows.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_an_array_that_python_2_wrote_is_read_without_a_word() -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 1L), }".ljust(117) + b"\n"
    assert load(b"\x93NUMPY\x01\x00\x76\x00" + text + b"\0\0\x80?").rows.tolist() == [[1]]


def test_a_file_holds_text_that_is_no_ascii_as_it_is_and_what_is_no_unicode_as_a_question_mark() -> None:
    vector = TaskVector(np.ones((1, 1), np.float32), Provenance(instruction="Perú \ud800"))
    assert '"instruction": "Perú ?"'.encode() in to_bytes(vector)
    assert load(to_bytes(vector)).provenance.instruction == "Perú ?"


def test_a_file_is_written_row_by_row_in_the_oldest_format(vector: TaskVector) -> None:
    columns = TaskVector(np.asfortranarray(vector.rows), vector.provenance)
    assert to_bytes(columns) == to_bytes(vector)
    assert to_bytes(vector).count(b"\x93NUMPY\x01\x00") == 2


def test_a_model_is_named_with_its_size() -> None:
    assert str(ModelInfo("arch", "name", 6, 16, "Q4_0", "abc")) == "name (arch, 6 layers × 16)"


def test_what_the_parts_of_a_combination_agree_on_is_kept_and_nothing_else(vector: TaskVector) -> None:
    whole = replace(
        vector.provenance,
        template="t",
        instruction="i",
        delimiter_id=7,
        layer=2,
        layer_selection="best",
        accuracy=0.5,
        tv_version="1.2",
    )
    one = TaskVector(vector.rows, whole)
    total = combine([one, one], [2, -0.5])
    assert total.rows.tolist() == (vector.rows * np.float32(1.5)).tolist()
    assert total.provenance == Provenance(
        model=vector.provenance.model,
        source="combination",
        template="t",
        delimiter_id=7,
        delimiter=":",
        layer=2,
        layer_selection="the layer of every part",
        tv_version="1.2",
        parts=({"weight": 2.0, "vector": whole.to_json()}, {"weight": -0.5, "vector": whole.to_json()}),
    )
    other = replace(whole, model=None, template="u", delimiter_id=8, delimiter="?", layer=3, tv_version="1.3")
    apart = combine([one, TaskVector(vector.rows, other)], [1, 1]).provenance
    assert replace(apart, parts=()) == Provenance(source="combination")


def test_a_combination_is_summed_in_double_precision() -> None:
    large, small = (TaskVector(np.full((1, 1), value, np.float32)) for value in (2**24, 1))
    assert combine([large, small, small, large], [1, 1, 1, -1]).rows.item() == 2


def test_the_opposite_of_a_vector_points_the_other_way(vector: TaskVector) -> None:
    assert np.array_equal((-vector).rows, -vector.rows)


def test_an_array_of_no_possible_shape_cannot_be_read() -> None:
    with pytest.raises(VectorError, match=r"^<bytes>: the vector cannot be read \(.+\)$"):
        load(header("(-1, -1)") + b"1234")


def test_vectors_of_two_shapes_are_named_in_full(vector: TaskVector) -> None:
    with pytest.raises(VectorError) as caught:
        combine([vector, TaskVector(np.ones((2, 3), np.float32))], [1, 1])
    assert str(caught.value) == "vectors of different shapes cannot be combined: 2 layers × 3 and 6 layers × 16"
    with pytest.raises(ValueError, match="zip"):
        combine([vector], [1, 1])


def test_a_layer_is_chosen_with_its_reason_and_its_accuracy(vector: TaskVector) -> None:
    chosen = vector.with_layer(5, "best", 0.25)
    assert chosen.provenance == replace(vector.provenance, layer=5, layer_selection="best", accuracy=0.25)
    assert vector.with_layer(0, "given").provenance.accuracy is None
    assert chosen.rows is vector.rows


def test_a_vector_of_another_size_names_both(vector: TaskVector) -> None:
    for layers, width in ((5, 16), (6, 17)):
        with pytest.raises(VectorError) as caught:
            vector.check_fits(ModelInfo("a", "b", layers, width))
        assert str(caught.value) == (
            f"the vector has 6 layers × 16, the model b {layers} × {width}; use a model of the same size"
        )
