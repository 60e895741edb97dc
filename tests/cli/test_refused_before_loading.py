"""What cannot work is refused before a model is loaded, not after the work."""

from pathlib import Path

import pytest
from conftest import Runner

from tvcli.models.opening import ModelRequest

SMALL = ["-T", "food-color", "-T", "animal-young", "--limit", 3]

REFUSED = [
    (["lens", "-t", "x", "--plot", "a.png"], 2, "--plot draws the curves of --task"),
    (["lens", "--vector", "none.npy"], 3, "none.npy cannot be read"),
    (["lens", "--image", "none.png"], 3, "none.png cannot be read"),
    (["lens", "-T", "nope"], 3, "unknown task 'nope'"),
    (["lens", "-T", "food-color", "--plot", "a.bmp"], 2, "is not a supported plot format"),
    (["lens", "-T", "food-color", "--plot", "folder.png"], 3, "folder.png cannot be written: is a directory"),
    (["map", *SMALL, "--plot", "no/such.png"], 2, "the folder of no/such.png does not exist"),
    (["extract", "-e", "pairs.txt", "-o", "folder.png"], 3, "folder.png cannot be written: is a directory"),
    (["extract", "-e", "pairs.txt", "-o", "no/such.npy"], 2, "the folder of no/such.npy does not exist"),
    (["extract", "-e", "one.txt", "-o", "v.npy"], 2, "needs at least 2 examples"),
    (["extract", "-e", "pairs.txt", "--instruction", ":", "-o", "v.npy"], 2, "the instruction is empty"),
    (["report", *SMALL, "-o", "folder.png"], 3, "folder.png cannot be written: is a directory"),
    (["report", *SMALL, "-o", "no/such.html"], 2, "the folder of no/such.html does not exist"),
    (["report", *SMALL, "-o", "r.html", "--seeds", "x"], 2, "--seeds must be comma-separated integers"),
    (["report", *SMALL, "-o", "r.html", "--llm", "nope"], 3, "unknown model 'nope'"),
    (["doctor", "--bundle", "folder.png"], 3, "folder.png cannot be written: is a directory"),
    (["doctor", "--bundle", "no/such.json"], 2, "the folder of no/such.json does not exist"),
]


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: ModelRequest) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(ModelRequest, "open", refuse)


@pytest.mark.usefixtures("unloadable")
@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED, ids=str)
def test_a_request_that_cannot_work_loads_no_model(
    tv: Runner, pairs_file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object], code: int, words: str
) -> None:
    monkeypatch.chdir(pairs_file.parent)
    Path("folder.png").mkdir()
    Path("one.txt").write_text("a\tb\n")
    ran = tv(*arguments)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert ran.out == ""


@pytest.mark.usefixtures("unloadable")
def test_a_map_without_scikit_learn_is_refused_before_it_is_read(tv: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "sklearn" else found(name, *a))
    ran = tv("map", *SMALL, "--method", "tsne")
    assert ran.code == 3
    said = ran.err.replace("`method`", "--method")
    assert "--method tsne needs scikit-learn; run: pip install 'tvcli[plots]'; or use --method pca" in said
