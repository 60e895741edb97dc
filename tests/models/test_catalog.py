"""The catalog's files, the user's own, and which model is the default."""

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
from conftest import ROOT

from tvcli.data import data_folder
from tvcli.errors import UnavailableError
from tvcli.models.catalog import Local, OnHub, Packaged, Shipped, catalog, find, read_entry, wanted_model

GOOD = 'description = "x"\nlicense = "x"\npackages = { install = "i", parts = ["p/f"] }\n[text]\nfile = "f"\n'
HALF = 'description = "x"\nlicense = "x"\n[vision]\nfile = "picto/mmproj-picto-f16.gguf"\n'
HUB = 'description = "x"\nlicense = "x"\n[hub]\nrepository = "o/r"\ntext = { file = "f" }\n'


# -- the shipped catalog ------------------------------------------------------------------------------------


def test_the_catalog_is_well_formed_and_its_vision_files_are_here() -> None:
    entries = catalog()
    assert "picto" in entries
    for entry in entries.values():
        if entry.vision is not None:
            assert (data_folder("models") / entry.vision.file).is_file()
        assert entry.llm is None or entry.llm in entries, f"{entry.name} names {entry.llm}, which is not here"


def test_an_llm_and_its_vlm_have_the_same_shape() -> None:
    entries = catalog()
    for entry in entries.values():
        if entry.llm is not None and entry.layers is not None:
            llm = entries[entry.llm]
            assert (llm.layers, llm.width) == (entry.layers, entry.width), entry.name


def test_sources_are_named_for_what_an_entry_states_and_hashes_are_hashes() -> None:
    for entry in catalog().values():
        stated = {"files", "license", "architecture", "projector", "shape", "template", "one_image", "llm"}
        assert set(entry.sources) <= stated, entry.name
        if isinstance(entry.files, OnHub):
            assert (entry.layers is None) == (entry.width is None)
            for file in filter(None, (entry.files.text, entry.files.vision)):
                assert re.fullmatch("[0-9a-f]{64}|", file.sha256), entry.name


def test_of_a_hub_entry_every_fact_has_a_source_or_is_unverified() -> None:
    no_fact = {"description", "layer", "sources", "width"}  # a suggested layer has its source beside it
    named = {"hub": "files", "vision": "files", "layers": "shape"}
    for entry in catalog().values():
        if isinstance(entry.files, OnHub):
            written = tomllib.loads((data_folder("models") / f"{entry.name}.toml").read_text("utf-8"))
            stated = {named.get(key, key) for key in written.keys() - no_fact}
            assert sorted([*entry.sources, *entry.unverified()]) == sorted(stated), entry.name


def test_a_hub_entry_says_in_words_which_quantization_it_names() -> None:
    for entry in catalog().values():
        if isinstance(entry.files, OnHub):
            found = re.search(r"\(((?:UD-)?I?Q\d\w*|B?F16)\)", entry.description)
            assert found, entry.name
            named = entry.files.text.file if entry.files.text else entry.files.quant or ""
            assert found[1].lower() in named.lower(), entry.name
            assert re.fullmatch("main|[0-9a-f]{40}", entry.files.revision), entry.name


def test_the_catalog_has_models_that_see_in_families() -> None:
    seeing = {entry.name for entry in catalog().values() if entry.sees}
    assert len(seeing) >= 24
    assert {"picto", "llava-1.5-7b", "llama-4-scout"} <= seeing  # a tower of its own, an mmproj, whatever the hub has
    for family in ("qwen3.5-", "gemma-4-", "qwen3-vl-", "ministral-3-", "lfm2", "smolvlm2-", "internvl3", "minicpm-v-"):
        assert sum(name.startswith(family) for name in seeing) > 1, family


def test_what_sees(models_folder: Path) -> None:
    models_folder.mkdir()
    hub = HUB.replace('text = { file = "f" }\n', "")
    for name, text, sees in (
        ("a", GOOD, False),
        ("b", HUB, False),
        ("c", HUB + 'vision = { file = "v" }\n', True),
        ("d", hub, None),
        ("e", 'projector = "pixtral"\n' + hub, True),
        ("f", "description = ''\nlicense = ''\n[local]\ntext = 't'\n", False),
        ("g", "description = ''\nlicense = ''\nvision_from = 'o/r'\n[local]\ntext = 't'\n", True),
        ("h", "llm = 'a'\n" + HALF, True),
    ):
        (models_folder / f"{name}.toml").write_text(text)
        entry = find(name)
        assert entry is not None
        assert entry.sees is sees, name


def test_the_extras_install_the_packages_of_the_catalog() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for name, files in ((entry.name, entry.files) for entry in catalog().values()):
        packages = None if isinstance(files, Local) else files.packages
        if packages is not None and (extra := re.fullmatch(r"tvcli\[(.*)\]", packages.install)):
            wanted = [part.split("/")[0].replace("_", "-") for part in packages.parts]
            installed = [requirement.split("==")[0] for requirement in extras[extra[1]]]
            assert installed in (wanted, [wanted[0].rsplit("-part", 1)[0]]), (
                name
            )  # or one package that needs the others


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "wheels = 4\n", "unknown key wheels in the table text"),
        ("color = 'red'\n" + GOOD, "unknown key color"),
        ("name = 'y'\n" + GOOD, "unknown key name"),
        (GOOD.replace('file = "f"\n', ""), "the key file is missing in the table text"),
        (GOOD.replace('license = "x"\n', ""), "the key license is missing"),
        (GOOD.replace('"i"', "3"), "the key install in the table packages cannot be 3"),
        (GOOD.replace('"p/f"', '"../f"'), "parts must be texts like 'package/path', not '../f'"),
        (GOOD.replace('"p/f"', ""), r"parts must be texts like 'package/path', not \[\]"),
        ("layers = '3'\n" + GOOD, "the key layers cannot be '3'"),
        ("sources = 3\n" + GOOD, "the key sources cannot be 3"),
        ("x = [", "x.toml"),
        ("", "one of the tables text, hub and local, found none"),
        (GOOD + "[hub]\n", "found text, hub"),
        (GOOD + "[layer]\nsuggested = 'x'\nsource = 'y'\n", "suggested"),
        (HUB.replace("text", "txt"), "unknown key txt in the table hub"),
        (HUB.replace('"f"', "1"), "the key file in the table hub.text cannot be 1"),
        ("hub = 3\n", "hub must be a table"),
        ("layer = 3\n" + GOOD, "layer must be a table"),
        ("local = { text = 3 }\n", "the key text in the table local cannot be 3"),
        ("sources = { files = 3 }\n" + GOOD, "the key sources cannot be {'files': 3}"),
        (HALF, "expected one of the tables text, hub and local, found none"),
        ("llm = 3\n" + HALF, "expected one of the tables text, hub and local, found none"),
        ("llm = 'nope'\n" + HALF, "there is no table text, hub or local, and no model 'nope' to take it from"),
        ("llm = '../x'\n" + HALF, "there is no table text, hub or local, and no model '../x' to take it from"),
        ("llm = 'picto'\n" + HALF, "picto.toml has none of its own"),
        ("llm = 'gemma3-270m'\n" + HALF + "more = 1\n", "unknown key more in the table vision"),
    ],
)
def test_a_malformed_entry_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(UnavailableError, match=words) as caught:
        read_entry(tmp_path / "x.toml")
    assert str(tmp_path / "x.toml") in str(caught.value)


def test_a_vision_half_has_the_text_of_its_language_model(models_folder: Path) -> None:
    models_folder.mkdir()
    (models_folder / "mine.toml").write_text("llm = 'other'\n" + HALF)
    (models_folder / "other.toml").write_text(GOOD)
    mine, other, picto, gemma = map(find, ("mine", "other", "picto", "gemma3-270m"))
    for whole, half in ((mine, other), (picto, gemma)):
        assert whole is not None
        assert half is not None
        assert isinstance(whole.files, Packaged)
        assert whole.files == half.files
        assert whole.vision == Shipped("picto/mmproj-picto-f16.gguf")
        assert half.vision is None


def test_a_text_that_is_nowhere_or_broken_is_said_with_both_files(models_folder: Path) -> None:
    models_folder.mkdir()
    a, b = models_folder / "a.toml", models_folder / "b.toml"
    a.write_text("llm = 'b'\n" + HALF)
    for text, said in (
        ("llm = 'a'\n" + HALF, f"{a}: there is no table text, hub or local, and {b} has none of its own"),
        (GOOD.replace('file = "f"\n', ""), f"{a}: {b}: the key file is missing in the table text"),
        ("text = 3\n", f"{a}: {b}: text must be a table, not 3"),
    ):
        b.write_text(text)
        with pytest.raises(UnavailableError) as caught:
            find("a")
        assert str(caught.value) == said
    b.write_text("x = [")
    with pytest.raises(UnavailableError, match=f"^{re.escape(str(b))}: "):
        find("a")
    a.write_text("llm = 'a'\n" + HALF)
    with pytest.raises(UnavailableError, match=f"^{re.escape(str(a))}: .* of its own$"):
        find("a")


# -- the default ----------------------------------------------------------------------------------------------


def test_the_environment_names_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TV_MODEL", raising=False)
    assert wanted_model(None) == "picto"
    monkeypatch.setenv("TV_MODEL", "other")
    assert wanted_model(None) == "other"
    assert wanted_model("given") == "given"
