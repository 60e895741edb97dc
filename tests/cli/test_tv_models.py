"""`tv models`: what is added, listed, and said of a model."""

import json
from pathlib import Path

import pytest
from conftest import Runner
from random_models.llama import llava

from tvcli.engine.gguf.repair import CLASS_FIRST_SENTENCE
from tvcli.models.catalog import OnHub, catalog, find
from tvcli.models.resolve import describe, resolve, size

HUB = 'description = "x"\nlicense = "x"\n[hub]\nrepository = "o/r"\ntext = { file = "f" }\n'


def test_what_no_source_is_named_for_is_unverified(tv: Runner, models_folder: Path) -> None:
    models_folder.mkdir()
    (models_folder / "a.toml").write_text("layers = 3\nwidth = 4\n" + HUB + '[sources]\nshape = "seen"\n')
    entry = find("a")
    assert entry is not None
    assert entry.unverified() == ["files", "license"]
    assert "unverified\tfiles, license" in tv("models", "info", "a").out


def test_an_added_model_is_found_by_its_name(tv: Runner, models_folder: Path, ggufs: tuple[Path, Path]) -> None:
    ran = tv("models", "add", ggufs[0], "--mmproj", ggufs[1], "--name", "mine")
    assert ran.code == 0
    assert f"added mine ({ggufs[0]}); delete {models_folder / 'mine.toml'} to remove it" in ran.err
    assert [resolve("mine").text, resolve("mine").vision] == list(ggufs)
    assert size(describe("mine")) == 68
    assert tv("models", "path", "mine").out.splitlines() == [str(path) for path in ggufs]
    record = json.loads(tv("models", "path", "mine", "--json").out)
    assert record == {"name": "mine", "text": str(ggufs[0]), "vision": str(ggufs[1])}
    assert "mine\t68 B\tyes\tyes\tunknown" in tv("models", "list").out
    assert tv("models", "add", ggufs[0], "--mmproj", ggufs[1], "--name", "mine").code == 0


def test_the_name_is_the_files_by_default(tv: Runner, models_folder: Path, ggufs: tuple[Path, Path]) -> None:
    assert tv("models", "add", ggufs[0]).code == 0
    assert resolve("Mine-Q4_K_M").text == ggufs[0]


@pytest.mark.parametrize("name", ["picto", "fake", "taken", "a/b", "..", ".hidden", "a\nb", ""])
def test_a_name_cannot_be_taken_twice_or_lead_elsewhere(
    tv: Runner, models_folder: Path, ggufs: tuple[Path, Path], name: str
) -> None:
    assert tv("models", "add", ggufs[1], "--name", "taken").code == 0
    ran = tv("models", "add", ggufs[0], "--name", name)
    assert ran.code in (2, 3)
    assert len(ran.err.splitlines()) == 1
    assert [path.name for path in models_folder.iterdir()] == ["taken.toml"]


def test_what_is_no_model_is_not_added(
    tv: Runner, models_folder: Path, ggufs: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "x.gguf").write_bytes(b"no model")
    for arguments in ([tmp_path / "x.gguf"], [tmp_path / "none.gguf"], [ggufs[0], "--mmproj", tmp_path / "x.gguf"]):
        assert tv("models", "add", *arguments).code == 3
    assert not models_folder.exists()


def test_a_model_that_was_moved_away_is_said(tv: Runner, models_folder: Path, ggufs: tuple[Path, Path]) -> None:
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


def test_info_says_what_is_repaired_in_image_tokens(tv: Runner, models_folder: Path, tmp_path: Path) -> None:
    files = llava().write(tmp_path)
    assert files.vision is not None
    assert tv("models", "add", files.text, "--mmproj", files.vision, "--name", "mine").code == 0
    said = [line for line in tv("models", "info", "mine").out.splitlines() if line.startswith("image tokens")]
    assert [line.removeprefix("image tokens\t") for line in said] == [
        CLASS_FIRST_SENTENCE,
        "all 2 blocks of the image encoder are computed; llama.cpp alone omits the last",
    ]
    assert len(json.loads(tv("models", "info", "mine", "--json").out)["image tokens"]) == 2
    files.vision.write_bytes(b"broken")
    assert "image tokens" not in tv("models", "info", "mine").out


def listed(tv: Runner, *arguments: object) -> list[str]:
    """The names that `tv models list` prints, in order."""
    ran = tv("models", "list", *arguments)
    assert ran.code == 0, ran.err
    header, *lines = ran.out.splitlines()
    assert header.split("\t")[:4] == ["model", "size", "on disk", "sees"]
    return [line.split("\t")[0] for line in lines]


def test_list_has_one_record_a_model_with_all_facts_of_info(tv: Runner, models_folder: Path) -> None:
    records = [json.loads(line) for line in tv("models", "list", "--json").out.splitlines()]
    assert [record["name"] for record in records] == sorted(catalog())
    by_name = {record["name"]: record for record in records}
    for name in ("picto", "llava-1.5-7b", "llama-4-scout", "smollm2-135m"):
        assert by_name[name] == json.loads(tv("models", "info", name, "--json").out)
    assert {"name", "here", "bytes", "license", "sees", "architecture", "files", "sources"} <= set(records[0])
    assert [by_name[name]["sees"] for name in ("picto", "smollm2-135m")] == [True, False]


def test_list_says_what_sees_and_is_here(tv: Runner, models_folder: Path, ggufs: tuple[Path, Path]) -> None:
    assert tv("models", "add", ggufs[0], "--mmproj", ggufs[1], "--name", "mine").code == 0
    assert tv("models", "add", ggufs[0], "--name", "blind").code == 0
    lines = tv("models", "list").out.splitlines()
    assert "mine\t68 B\tyes\tyes\tunknown\tadded from Mine-Q4_K_M.gguf" in lines
    assert "blind\t34 B\tyes\t\tunknown\tadded from Mine-Q4_K_M.gguf" in lines


def test_list_filters(tv: Runner, models_folder: Path, ggufs: tuple[Path, Path]) -> None:
    assert tv("models", "add", ggufs[0], "--mmproj", ggufs[1], "--name", "mine").code == 0
    assert tv("models", "add", ggufs[0], "--name", "blind").code == 0
    entries = catalog()
    assert listed(tv, "--sees") == [name for name in sorted(entries) if entries[name].sees]
    here = listed(tv, "--here")
    assert {"blind", "mine"} <= set(here)
    assert "llava-1.5-7b" not in here
    assert listed(tv, "--here", "--sees", "mine") == ["mine"]
    assert listed(tv, "IDEFICS3") == []  # a projector is no word of the list
    assert "no model matches" in tv("models", "list", "IDEFICS3").err
    assert listed(tv, "qwen35") == [name for name in sorted(entries) if entries[name].architecture == "qwen35"]
    assert listed(tv, "the PAPER's") == ["llava-1.5-7b"]
    assert listed(tv, "ministral") == ["ministral-3-14b", "ministral-3-3b", "ministral-3-8b"]
    assert json.loads(tv("models", "list", "ministral-3-3b", "--json").out)["name"] == "ministral-3-3b"


def test_list_sorts(tv: Runner, models_folder: Path) -> None:
    entries = catalog()
    assert listed(tv) == listed(tv, "--sort", "name") == sorted(entries)
    sizes = [size(entries[name]) for name in listed(tv, "--sort", "size")]
    known = [one for one in sizes if one is not None]
    assert 0 < len(known) < len(sizes)
    assert sizes == sorted(known) + [None] * (len(sizes) - len(known))
    architectures = [entries[name].architecture for name in listed(tv, "--sort", "architecture")]
    assert architectures == sorted(filter(None, architectures)) + [""] * architectures.count("")
    assert tv("models", "list", "--sort", "age").code == 2


def test_list_asks_no_hub_and_joins_no_packages(
    tv: Runner, models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("tvcli.models.packaged.packaged_file", refuse)
    monkeypatch.setattr("tvcli.models.packaged.is_installed", lambda packages: True)
    assert len(tv("models", "list", "--json").out.splitlines()) == len(catalog())
