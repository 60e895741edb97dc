"""Runs `tv` in this process on the fake engine, and makes the files that tests need."""

from __future__ import annotations

import io
import locale
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from PIL import Image as Pillow
from random_models import FAMILIES

from tvcli.cli import main
from tvcli.cli.output import out
from tvcli.engine.fake import FakeEngine
from tvcli.engine.native import process
from tvcli.vector import Provenance, TaskVector, save

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
PAIRS = [("Greece", "Athens"), ("France", "Paris"), ("Peru", "Lima"), ("Egypt", "Cairo"), ("Norway", "Oslo")]


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str
    raw: bytes


Runner = Callable[..., Ran]

# an evaluation of seconds in a process of its own
EVAL = ["eval", "-m", "fake", "--query", "text", "-T", "food-color", "--seeds", "1", "--limit", "20", "--json"]


class Process(subprocess.Popen[bytes]):
    """A child that ends with its block when something in there fails: a test may fail, but never wait for ever."""

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:
            self.kill()
        super().__exit__(*error)


def started(*arguments: object, **options: Any) -> Process:
    """`tv` in a process of its own, on the fake model; `env` adds to the environment."""
    here = {"PYTHONPATH": str(ROOT), "TV_MODEL": "fake"}
    command = [sys.executable, "-m", "tvcli", *map(str, arguments)]
    return Process(command, env={**os.environ, **here, **options.pop("env", {})}, **options)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    """Ctrl-C is heard here and in every child, also where a script runs the tests in its background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tv(monkeypatch: pytest.MonkeyPatch) -> Runner:
    """`tv("apply", ..., stdin=b"...")` in this process, on the fake model unless TV_MODEL is given."""

    def run(*arguments: object, stdin: bytes = b"", model: str = "fake") -> Ran:
        stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with monkeypatch.context() as patched:
            patched.setenv("TV_MODEL", model)
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
            patched.setattr(sys, "stdout", stdout)
            patched.setattr(sys, "stderr", stderr)
            try:
                code = main([str(argument) for argument in arguments])
            finally:
                out.quiet = out.verbose = False
        raw = stdout.buffer.getvalue()
        return Ran(code, raw.decode("utf-8", "replace"), stderr.buffer.getvalue().decode(), raw)

    return run


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text("".join(f"{x}\t{y}\n" for x, y in PAIRS), encoding="utf-8")
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Pillow.new("RGB", (8, 6), (200, 30, 60)).save(path)
    return path


@pytest.fixture
def vector() -> TaskVector:
    """A vector of the fake engine's shape, with full provenance."""
    rows = np.arange(6 * 16, dtype=np.float32).reshape(6, 16) / 50
    origin = Provenance(model=FakeEngine().model, source="text examples", delimiter=":", prompts=5, shots=5, seed=1)
    return TaskVector(rows, origin)


@pytest.fixture
def made(tv: Runner, pairs_file: Path, tmp_path: Path) -> Path:
    """A file of a vector that `tv extract` made of pairs_file."""
    path = tmp_path / "v.npy"
    assert tv("extract", "--examples", pairs_file, "-o", path).code == 0
    return path


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Files of three vectors that have most in common."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal((6, 16)) * 10
    paths = [tmp_path / f"{name}.npy" for name in "abc"]
    for path in paths:
        save(TaskVector((common + rng.standard_normal((6, 16))).astype(np.float32)), path)
    return paths


@pytest.fixture
def models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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


@pytest.fixture
def planted_folder() -> Iterator[Path]:
    """The planted tasks."""
    with planted.planted() as tasks:
        yield tasks


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with random weights."""
    return FAMILIES["llama"]().write(tmp_path_factory.mktemp("model")).text


@pytest.fixture(autouse=True)
def _a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process belongs to pytest, also after a test that called `main` as the command does.

    llama-cpp-python's modules, once imported, take over the log of the library that tv has loaded.
    """
    monkeypatch.setattr(process, "_owners", [])
    assert "llama_cpp" not in sys.modules, "a test before this one has imported llama-cpp-python"


@pytest.fixture(autouse=True)
def _no_home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast tests need no home directory: they get one that does not exist."""
    if request.node.get_closest_marker("model") is None:
        monkeypatch.setenv("HOME", str(tmp_path / "no-such-home"))


@pytest.fixture
def ascii_locale() -> Iterator[None]:
    """Text files without a named encoding are ASCII in here."""
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    yield
    locale.setlocale(locale.LC_CTYPE, before)


def aged(path: Path, seconds: int = 60) -> Path:
    """As if it had been written a while ago."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 10**9))
    return path
