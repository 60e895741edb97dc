"""The task vector: arithmetic, and a file that round-trips exactly and refuses everything else."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tvcli.errors import UnavailableError, VectorError
from tvcli.vector import ModelInfo, Provenance, TaskVector, combine, load, save, to_bytes


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
        (with_metadata(GOOD) + b"more", "more in the file"),
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
