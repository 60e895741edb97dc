"""`kill -9` at random moments: nothing is torn, nothing is lost, the next run works. `TV_ROUNDS` sets how often."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import EVAL, Process, started
from local_hub import LocalHub, serve

from tvcli.models.catalog import ModelFile, Packaged, find
from tvcli.vector import load

ROUNDS = int(os.environ.get("TV_ROUNDS", "6"))
REPOSITORY = "some-org/Tiny-VLM-GGUF"
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")


def rounds(seconds: float) -> Iterator[float]:
    """Moments to kill at, up to `seconds`: always the same ones."""
    rng = random.Random(0)
    return (rng.uniform(0, seconds) for _ in range(ROUNDS))


def kill(process: Process, moment: float) -> None:
    with process:
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()


def finish(process: Process) -> None:
    with process:
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint


def test_extract_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "vector.npy"
    command = ["extract", "--instruction", "a:", "-o", path]
    finish(started(*command, **QUIET))
    whole = load(path)
    for moment in rounds(0.8):
        kill(started(*command, **QUIET), moment)
        assert np.array_equal(load(path).rows, whole.rows)
    finish(started(*command, **QUIET))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_eval_keeps_every_line_and_ends_as_if_it_had_never_been_killed(tmp_path: Path) -> None:
    path, clean = tmp_path / "killed.jsonl", tmp_path / "clean.jsonl"
    finish(started(*EVAL, "--samples", clean, **QUIET))
    lines: list[bytes] = []
    for moment in rounds(1.2):
        kill(started(*EVAL, "--samples", path, "--resume", **QUIET), moment)
        data = path.read_bytes() if path.exists() else b""
        kept = data[: data.rfind(b"\n") + 1].splitlines()
        assert kept[: len(lines)] == lines
        assert all(json.loads(line) for line in kept)
        lines = kept
    finish(started(*EVAL, "--samples", path, "--resume", **QUIET))
    assert sorted(path.read_bytes().splitlines()) == sorted(clean.read_bytes().splitlines())


def test_pull_never_shows_a_torn_file_and_gets_there(tmp_path: Path) -> None:
    content = {"model-Q4_K_M.gguf": b"GGUF" + os.urandom(6 << 20), "mmproj-f16.gguf": b"GGUF" + os.urandom(1 << 20)}
    with serve(LocalHub({REPOSITORY: content})) as hub:
        here = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
        pull = partial(started, "models", "pull", REPOSITORY, env=here, **QUIET)
        for moment in rounds(1.5):
            kill(pull(), moment)
            for path in tmp_path.glob("hub/*/snapshots/*/*.gguf"):
                assert path.read_bytes() == content[path.name]
        finish(pull())
    found = {path.name: path.read_bytes() for path in tmp_path.glob("hub/*/snapshots/*/*.gguf")}
    assert found == content
    assert not list(tmp_path.glob("hub/*/blobs/*.incomplete"))


# -- putting Gemma together from its packages -------------------------------------------------------------

GEMMA = "gemma3-270m"


def assembling(cache: Path) -> Process:
    code = f"from tvcli.models.resolve import resolve; resolve({GEMMA!r})"
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return Process([sys.executable, "-c", code], env=environment, **QUIET)


def gemma() -> ModelFile:
    entry = find(GEMMA)
    assert entry is not None
    assert isinstance(entry.files, Packaged)
    return entry.files.text


def check(folder: Path) -> None:
    """The model is there and whole, and at most what one process left unfinished."""
    assert hashlib.sha256((folder / gemma().file).read_bytes()).hexdigest() == gemma().sha256
    assert {path.suffix for path in folder.iterdir()} == {".gguf", ".lock"}


@pytest.mark.model
@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME moves the cache on Linux")
def test_a_model_is_put_together_whole_or_not_at_all(tmp_path: Path) -> None:
    size = gemma().size
    for moment in rounds(2.0):
        kill(assembling(tmp_path), moment)
        for path in (tmp_path / "tv").glob("*"):
            assert path.suffix != ".gguf" or path.stat().st_size == size
        assert len(list((tmp_path / "tv").glob(".*"))) <= 1
        (tmp_path / "tv" / gemma().file).unlink(missing_ok=True)
    finish(assembling(tmp_path))
    check(tmp_path / "tv")


@pytest.mark.model
@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME moves the cache on Linux")
def test_processes_that_fill_the_same_cache_do_the_work_once(tmp_path: Path) -> None:
    several = [assembling(tmp_path) for _ in range(3)]
    for process in several:
        finish(process)
    check(tmp_path / "tv")
