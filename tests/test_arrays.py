"""NumPy's files from anyone: what `tests/test_vector.py` does not try through vectors, above all archives."""

from __future__ import annotations

import io
import pickle
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvcli import arrays
from tvcli.arrays import read_archive

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def archive(**members: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **members)
    return buffer.getvalue()


def zipped(name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr(name, data)
    return buffer.getvalue()


def test_every_array_by_its_name() -> None:
    found = read_archive(archive(rows=ROWS, word=np.array("é")))
    assert np.array_equal(found["rows"], ROWS)
    assert str(found["word"]) == "é"
    assert set(found) == {"rows", "word"}


def test_compressed_archives_too() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rows=ROWS)
    assert np.array_equal(read_archive(buffer.getvalue())["rows"], ROWS)


def test_pickles_are_never_loaded() -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return pytest.fail, ("a pickle was loaded",)

    objects = np.empty(1, object)
    objects[0] = Trap()
    buffer = io.BytesIO()
    np.save(buffer, objects, allow_pickle=True)
    with pytest.raises(ValueError, match="its array 'rows' has pickled Python objects"):
        read_archive(zipped("rows.npy", buffer.getvalue()))
    with pytest.raises(ValueError, match="its array 'rows' is not a NumPy array file"):
        read_archive(zipped("rows.npy", pickle.dumps(ROWS)))


def test_a_small_archive_that_unpacks_to_a_huge_array_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MOST_BYTES", 1 << 20)
    data = zipped("rows.npy", b"\0" * (1 << 21))
    assert len(data) < 1 << 13
    with pytest.raises(ValueError, match="unpacks to more than 1 MiB"):
        read_archive(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_archives_are_errors_of_one_kind(data: st.DataObject) -> None:
    whole = bytearray(archive(rows=ROWS, word=np.array("é")))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=8)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with suppress(ValueError):
        read_archive(bytes(whole[: cut or None]))
