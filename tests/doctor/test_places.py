"""What `tv doctor` says of a model's files is their names."""

import json
from pathlib import Path

import pytest
import tiny_gguf
from conftest import Runner

from tvcli.models.catalog import register


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose name nobody is to read."""
    folder = tmp_path / "private client"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TV_MODELS_DIR", str(tmp_path / "entries"))
    (folder / "cut.gguf").write_bytes(bytes(tiny_gguf.model())[:100])
    (folder / "whole.gguf").write_bytes(bytes(tiny_gguf.model()))
    (folder / "link.gguf").symlink_to(folder / "cut.gguf")
    return folder


@pytest.mark.parametrize("name", ["none.gguf", "cut.gguf", "link.gguf", "../private client/cut.gguf"])
@pytest.mark.parametrize("absolute", [True, False])
def test_no_folder_of_a_model_is_named(tv: Runner, private: Path, name: str, absolute: bool) -> None:
    for more in ([], ["--json"]):
        ran = tv("doctor", "-m", private / name if absolute else f"../private client/{name}", *more)
        assert ran.code == 3
        assert "private client" not in ran.out + ran.err
        assert "model file " in ran.out


def test_neither_is_that_of_the_vision_half_nor_of_an_own_entry(tv: Runner, private: Path) -> None:
    ran = tv("doctor", "-m", "whole.gguf", "--mmproj", private / "cut.gguf")
    assert ran.code == 3
    assert "private client" not in ran.out
    assert "cut.gguf" in ran.out
    register("mine", private / "cut.gguf", None)
    ran = tv("doctor", "-m", "mine", "--json")
    assert "private client" not in ran.out
    assert "cut.gguf" in json.loads(ran.out)["verdict"]


def test_nor_a_server(tv: Runner, private: Path) -> None:
    ran = tv("doctor", "-m", "whole.gguf", "--rpc", "127.0.0.1:9")
    assert ran.code == 3
    assert "127.0.0.1" not in ran.out
