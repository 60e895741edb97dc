"""Models of one's own under any name of a file, and a catalog with a broken entry."""

import json
import os
from pathlib import Path

import pytest
import tiny_gguf
from conftest import Runner

from tvcli.errors import UnavailableError
from tvcli.models.catalog import Local, catalog, find, register


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TV_MODELS_DIR", str(tmp_path / "entries"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["🦙 models/x.gguf", "a\"b'c\\d.gguf", "d\x7fe.gguf", "\u2028.gguf", "a\nb.gguf"])
def test_a_file_of_any_name_is_added_listed_and_added_again(tv: Runner, folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(tiny_gguf.model()))
    for _ in range(2):
        assert tv("models", "add", name, "--name", "lama").code == 0
        entry = find("lama")
        assert entry is not None
        assert entry.files == Local(path)
        assert tv("models", "list").code == 0
    assert json.loads(tv("models", "path", "lama", "--json").out)["text"] == str(path)


def test_a_name_that_is_no_text_is_refused_and_leaves_nothing(tv: Runner, folder: Path) -> None:
    path = os.fsdecode(b"caf\xe9.gguf")
    Path(path).write_bytes(bytes(tiny_gguf.model()))
    ran = tv("models", "add", path, "--name", "cafe")
    assert ran.code == 2
    assert "caf\\udce9.gguf' is not UTF-8 and cannot be written to a TOML file; rename the file" in ran.err
    assert not (folder / "entries").exists()


def test_one_broken_entry_hides_no_other(tv: Runner, folder: Path) -> None:
    before = tv("models", "list", "--json").out
    (folder / "m.gguf").write_bytes(bytes(tiny_gguf.model()))
    path = register("zz", folder / "m.gguf", None)
    (path.parent / "bad.toml").write_text("x = [")
    (path.parent / "odd.toml").write_text("description = 1\n")
    ran = tv("models", "list", "--json")
    assert ran.code == 3
    assert ran.out.startswith(before)
    assert json.loads(ran.out.splitlines()[-1])["name"] == "zz"
    assert [line.split(": ")[1] for line in ran.err.splitlines()] == [
        str(path.parent / "bad.toml"),
        str(path.parent / "odd.toml"),
    ]
    assert tv("models", "path", "zz").code == 0
    with pytest.raises(UnavailableError, match=r"bad\.toml"):
        catalog()
