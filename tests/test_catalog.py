"""The catalogue's files, and the user's own, as models by name."""

import json
import re
from pathlib import Path

import pytest
from conftest import Runner

from tvcli.data import data_folder
from tvcli.errors import UnavailableError
from tvcli.models.catalog import OnHub, Packaged, PackagedVision, catalog, find, read_entry, wanted_model
from tvcli.models.resolve import describe, is_here, resolve, size

GOOD = 'description = "x"\nlicense = "x"\n[text]\npackage = "p"\nfile = "f"\ninstall = "i"\n'
HALF = 'description = "x"\nlicense = "x"\n[vision]\nfile = "picto/mmproj-picto-f16.gguf"\n'
HUB = 'description = "x"\nlicense = "x"\n[hub]\nrepository = "o/r"\ntext = { file = "f" }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own models."""
    monkeypatch.setenv("TV_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def ggufs(tmp_path: Path) -> tuple[Path, Path]:
    """A text and a vision file that look like GGUF."""
    paths = tmp_path / "Mine-Q4_K_M.gguf", tmp_path / "mmproj-Mine.gguf"
    for path in paths:
        path.write_bytes(b"GGUF\x03" + bytes(29))
    return paths


# -- the shipped catalogue --------------------------------------------------------------------------------


def test_the_catalogue_is_well_formed_and_its_vision_files_are_here() -> None:
    entries = catalog()
    assert "picto" in entries
    for entry in entries.values():
        if isinstance(entry.files, Packaged) and entry.files.vision is not None:
            assert (data_folder("models") / entry.files.vision.file).is_file()
        assert entry.llm is None or entry.llm in entries, f"{entry.name} names {entry.llm}, which is not here"


def test_an_llm_and_its_vlm_have_the_same_shape() -> None:
    entries = catalog()
    for entry in entries.values():
        if entry.llm is not None and entry.layers is not None:
            llm = entries[entry.llm]
            assert (llm.layers, llm.width) == (entry.layers, entry.width), entry.name


def test_sources_are_named_for_what_an_entry_states_and_hashes_are_hashes() -> None:
    for entry in catalog().values():
        stated = {"files", "license", "architecture", "projector", "shape", "template", "llm"}
        assert set(entry.sources) <= stated, entry.name
        if isinstance(entry.files, OnHub):
            assert (entry.layers is None) == (entry.width is None)
            for file in filter(None, (entry.files.text, entry.files.vision)):
                assert re.fullmatch("[0-9a-f]{64}|", file.sha256), entry.name


def test_the_readme_lists_the_catalogue() -> None:
    """To write it anew: print what `expected` is."""
    rows = []
    for entry in catalog().values():
        where = entry.files.repository if isinstance(entry.files, OnHub) else "pip"
        layer = "" if entry.layer is None else str(entry.layer.suggested)
        shape = "" if entry.layers is None else f"{entry.layers} × {entry.width}"
        rows.append(f"| {entry.name} | {where} | {shape} | {layer} | {entry.llm or ''} |\n")
    expected = "| model | from | layers × width | layer | language model |\n|---|---|---|---|---|\n" + "".join(rows)
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    assert expected in readme, expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "wheels = 4\n", "unknown key wheels in the table text"),
        ("colour = 'red'\n" + GOOD, "unknown key colour"),
        ("name = 'y'\n" + GOOD, "unknown key name"),
        (GOOD.replace('file = "f"\n', ""), "the key file is missing in the table text"),
        (GOOD.replace('license = "x"\n', ""), "the key license is missing"),
        (GOOD.replace('"i"', "3"), "the key install in the table text cannot be 3"),
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
        ("llm = 'nope'\n" + HALF, "there is no text, and no model 'nope' to take it from"),
        ("llm = '../x'\n" + HALF, "there is no text, and no model '../x' to take it from"),
        ("llm = 'picto'\n" + HALF, "picto.toml has no table text of its own"),
        ("llm = 'gemma3-270m'\n" + HALF + "more = 1\n", "unknown key more in the table vision"),
    ],
)
def test_a_malformed_entry_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(UnavailableError, match=words) as caught:
        read_entry(tmp_path / "x.toml")
    assert str(tmp_path / "x.toml") in str(caught.value)


def test_a_vision_half_has_the_text_of_its_language_model(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.toml").write_text("llm = 'other'\n" + HALF)
    (folder / "other.toml").write_text(GOOD)
    mine, other, picto, gemma = map(find, ("mine", "other", "picto", "gemma3-270m"))
    for whole, half in ((mine, other), (picto, gemma)):
        assert whole is not None
        assert half is not None
        assert isinstance(whole.files, Packaged)
        assert isinstance(half.files, Packaged)
        assert whole.files.text == half.files.text
        assert whole.files.vision == PackagedVision("picto/mmproj-picto-f16.gguf")
        assert half.files.vision is None


def test_a_text_that_is_nowhere_or_broken_is_said_with_both_files(folder: Path) -> None:
    folder.mkdir()
    a, b = folder / "a.toml", folder / "b.toml"
    a.write_text("llm = 'b'\n" + HALF)
    for text, said in (
        ("llm = 'a'\n" + HALF, f"{a}: there is no text, and {b} has no table text of its own to take"),
        (HUB, f"{a}: there is no text, and {b} has no table text of its own to take"),
        (GOOD.replace('file = "f"\n', ""), f"{a}: the key file is missing in the table text of {b}"),
        ("text = 3\n", f"{a}: text of {b} must be a table, not 3"),
    ):
        b.write_text(text)
        with pytest.raises(UnavailableError) as caught:
            find("a")
        assert str(caught.value) == said
    b.write_text("x = [")
    with pytest.raises(UnavailableError, match=f"^{re.escape(str(b))}: "):
        find("a")
    a.write_text("llm = 'a'\n" + HALF)
    with pytest.raises(UnavailableError, match=f"^{re.escape(str(a))}: .* to take$"):
        find("a")


def test_what_no_source_is_named_for_is_unverified(tv: Runner, folder: Path) -> None:
    folder.mkdir()
    (folder / "a.toml").write_text("layers = 3\nwidth = 4\n" + HUB + '[sources]\nshape = "seen"\n')
    entry = find("a")
    assert entry is not None
    assert entry.unverified() == ["files", "license"]
    assert "unverified\tfiles, license" in tv("models", "info", "a").out


# -- names ------------------------------------------------------------------------------------------------


def test_a_path_is_a_model_and_takes_an_mmproj(ggufs: tuple[Path, Path]) -> None:
    files = resolve(str(ggufs[0]), ggufs[1])
    assert (files.text, files.vision, files.layer) == (*ggufs, None)


def test_a_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picto").write_bytes(b"x")
    assert resolve("picto").text == Path("picto")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnavailableError, match=r"no model 'nope'.*picto"):
        resolve("nope")


def test_a_repository_is_a_model_with_or_without_a_quantization() -> None:
    assert describe("owner/repo").files == OnHub("owner/repo")
    assert describe("owner/repo:Q8_0").files == OnHub("owner/repo", quant="Q8_0")
    assert describe("owner/repo", "Q4_0").files == OnHub("owner/repo", quant="Q4_0")


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
    assert not is_here(describe("picto"))


# -- tv models --------------------------------------------------------------------------------------------


def test_an_added_model_is_found_by_its_name(tv: Runner, folder: Path, ggufs: tuple[Path, Path]) -> None:
    ran = tv("models", "add", ggufs[0], "--mmproj", ggufs[1], "--name", "mine")
    assert ran.code == 0
    assert f"--model mine is {ggufs[0]} now; to forget that, delete {folder / 'mine.toml'}" in ran.err
    assert [resolve("mine").text, resolve("mine").vision] == list(ggufs)
    assert size(describe("mine")) == 68
    assert tv("models", "path", "mine").out.splitlines() == [str(path) for path in ggufs]
    record = json.loads(tv("models", "path", "mine", "--json").out)
    assert record == {"name": "mine", "text": str(ggufs[0]), "vision": str(ggufs[1])}
    assert "mine\t68 B\there\tunknown" in tv("models", "list").out
    assert tv("models", "add", ggufs[0], "--mmproj", ggufs[1], "--name", "mine").code == 0


def test_the_name_is_the_files_by_default(tv: Runner, folder: Path, ggufs: tuple[Path, Path]) -> None:
    assert tv("models", "add", ggufs[0]).code == 0
    assert resolve("Mine-Q4_K_M").text == ggufs[0]


@pytest.mark.parametrize("name", ["picto", "fake", "taken", "a/b", "..", ".hidden", "a\nb", ""])
def test_a_name_cannot_be_taken_twice_or_lead_elsewhere(
    tv: Runner, folder: Path, ggufs: tuple[Path, Path], name: str
) -> None:
    assert tv("models", "add", ggufs[1], "--name", "taken").code == 0
    ran = tv("models", "add", ggufs[0], "--name", name)
    assert ran.code in (2, 3)
    assert len(ran.err.splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["taken.toml"]


def test_what_is_no_model_is_not_added(tv: Runner, folder: Path, ggufs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"no model")
    for arguments in ([tmp_path / "x.gguf"], [tmp_path / "none.gguf"], [ggufs[0], "--mmproj", tmp_path / "x.gguf"]):
        assert tv("models", "add", *arguments).code == 3
    assert not folder.exists()


def test_a_model_that_was_moved_away_is_said(tv: Runner, folder: Path, ggufs: tuple[Path, Path]) -> None:
    assert tv("models", "add", ggufs[0], "--name", "mine").code == 0
    ggufs[0].unlink()
    ran = tv("models", "path", "mine")
    assert (ran.code, ran.out) == (3, "")
    assert f"model file {ggufs[0]} cannot be read: no such file" in ran.err
    assert json.loads(tv("models", "info", "mine", "--json").out)["here"] is False
    assert tv("models", "list").code == 0


def test_info_says_where_the_layer_comes_from(tv: Runner) -> None:
    ran = tv("models", "info", "picto")
    assert "layer\t11 (best validation accuracy over the six tasks" in ran.out
    assert json.loads(tv("models", "info", "picto", "--json").out)["llm"] == "gemma3-270m"


def test_info_names_the_files_and_where_each_fact_was_read(tv: Runner) -> None:
    entry = find("llava-1.5-7b")
    assert entry is not None
    assert isinstance(entry.files, OnHub)
    assert entry.files.text is not None
    record = json.loads(tv("models", "info", "llava-1.5-7b", "--json").out)
    assert record["files"]["text"]["file"] == entry.files.text.file
    text = tv("models", "info", "llava-1.5-7b").out
    assert f"files: text\t{entry.files.text.file}\n" in text
    assert "layer\t15 (Luo et al. 2025" in text
    assert "unverified\tlicense" in text


def test_list_has_one_record_a_model(tv: Runner, folder: Path) -> None:
    records = [json.loads(line) for line in tv("models", "list", "--json").out.splitlines()]
    assert [record["name"] for record in records] == sorted(catalog())
    assert set(records[0]) == {"name", "here", "bytes", "license"}
