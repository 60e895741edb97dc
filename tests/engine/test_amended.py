"""A copy of a GGUF file with one key more differs in that key alone."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
from gguf import GGUFReader
from tiny_gguf import ARRAY, I32, STRING, U32, File

from tvcli.engine.gguf.amended import amended
from tvcli.engine.gguf.header import read_header
from tvcli.errors import UnavailableError
from tvcli.files import byte_size

KEY = "clip.vision.feature_layer"


def written(path: Path, file: File) -> Path:
    path.write_bytes(bytes(file))
    return path


@pytest.mark.parametrize("padding", range(0, 33, 8))  # the header ends at other multiples of the alignment
def test_the_copy_has_the_key_and_everything_else(padding: int, tmp_path: Path) -> None:
    path = written(tmp_path / "mmproj.gguf", tiny_gguf.vision().with_keys(general__name=(STRING, "x" * padding)))
    with amended(path, KEY, 23) as copy:
        before, after = read_header(path), read_header(copy)
        assert after.tensors == before.tensors
        added = dict(after.keys)
        value = added.pop(KEY)
        assert (value.kind, value.length, value.data) == (I32, 1, (23,))
        assert added == before.keys
        ours, theirs = GGUFReader(copy), GGUFReader(path)
        assert [t.data.tobytes() for t in ours.tensors] == [t.data.tobytes() for t in theirs.tensors]
        assert ours.fields[KEY].contents() == [23]
    assert not copy.exists()


def test_another_alignment_is_kept(tmp_path: Path) -> None:
    """Tensors of 64 bytes each lie at the same places under any alignment up to it; only the data's start moves."""
    tensors = [tiny_gguf.Tensor("a", (16,)), tiny_gguf.Tensor("b", (16,))]
    keys = {"general.architecture": (STRING, "clip"), "general.alignment": (U32, 64)}
    head = File(keys, tensors)
    data = b"".join(tensor.data() for tensor in tensors)
    start = bytes(head)[: -len(data)].rstrip(b"\0")  # the last bytes of the header are an offset
    end = len(start) + 7
    path = tmp_path / "mmproj.gguf"
    path.write_bytes(start + bytes(7) + bytes(-end % 64) + data)
    read = read_header(path)
    assert (read.alignment, read.tensors_end) == (64, end)
    with amended(path, KEY, 2) as copy:
        after = read_header(copy)
        assert copy.read_bytes()[-len(data) :] == data
        assert (copy.stat().st_size - len(data)) % 64 == 0
        assert copy.stat().st_size - len(data) - after.tensors_end < 64


def test_the_second_version_of_the_format_has_the_same_layout(tmp_path: Path) -> None:
    from dataclasses import replace

    path = written(tmp_path / "mmproj.gguf", replace(tiny_gguf.vision(), version=2))
    with amended(path, KEY, 1) as copy:
        assert read_header(copy).get(KEY) == (1,)


def test_progress_ends_at_one(tmp_path: Path) -> None:
    seen: list[float] = []
    with amended(written(tmp_path / "mmproj.gguf", tiny_gguf.vision()), KEY, 1, seen.append):
        assert seen[-1] == 1.0


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, folder = written(tmp_path / "mmproj.gguf", tiny_gguf.vision()), Path.open, tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    def full(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if mode == "wb":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UnavailableError) as raised, amended(path, KEY, 1):
        pass
    assert str(raised.value) == (
        f"mmproj {path} needs a repaired copy of {byte_size(path.stat().st_size)} in a temporary folder while it is "
        "loaded, which cannot be written: no space left on device; name another folder in TMPDIR"
    )
    assert not list(folder.iterdir())


def test_no_folder_for_temporary_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "mmproj.gguf", tiny_gguf.vision())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(UnavailableError, match="no such file or directory; name another folder"), amended(path, KEY, 1):
        pass


def test_an_error_in_the_block_is_not_mistaken_for_one_of_the_copy(tmp_path: Path) -> None:
    path = written(tmp_path / "mmproj.gguf", tiny_gguf.vision())
    with pytest.raises(OSError, match="mine"), amended(path, KEY, 1) as copy:
        raise OSError("mine")
    assert not copy.exists()


def test_the_new_key_is_counted_once(tmp_path: Path) -> None:
    path = written(tmp_path / "mmproj.gguf", tiny_gguf.vision().with_keys(a__b=(ARRAY, I32, [1, 2])))
    with amended(path, KEY, 1) as once, amended(once, "c.d", 7) as twice:
        assert read_header(twice).get("c.d") == (7,)
        assert len(read_header(twice).keys) == len(read_header(path).keys) + 2
