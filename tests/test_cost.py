"""What a query costs: the memory is that of a process of its own, of the same model, loaded in the same way."""

from __future__ import annotations

import math
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tvcli.cli import main
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Settings
from tvcli.errors import TvError
from tvcli.inputs.tasks import find_task
from tvcli.models.opening import Model, ModelRequest
from tvcli.paper.cost import measure_cost, memory_of, model_options
from tvcli.paper.memory import peak_megabytes

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
HOLDS_300_MB = "held = bytearray(b'x') * 300_000_000"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@posix
def test_memory_is_in_millions_of_bytes_and_the_childs_own() -> None:
    held = np.ones(600_000_000, np.uint8)
    assert 300 < peak_megabytes(python(HOLDS_300_MB)) < 350
    assert peak_megabytes(python("")) < 50 < held.nbytes / 1e6


@posix
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import sys; sys.exit('first\\ntv: no such file')", "failed with exit code 1: no such file"),
        ("raise SystemExit(3)", "failed with exit code 3: it gave no reason"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL: it gave no reason"),
    ],
)
def test_the_memory_of_a_process_that_failed_is_an_error(code: str, sentence: str) -> None:
    with pytest.raises(TvError, match=sentence):
        peak_megabytes(python(code))


@posix
def test_a_command_that_failed_gives_no_figure() -> None:
    with pytest.raises(TvError, match=r"exit code 3: vector none\.npy cannot be read"):
        memory_of(["apply", "none.npy"], "x", ModelRequest("fake"))


def test_servers_memory_is_not_known() -> None:
    assert math.isnan(memory_of(["apply", "none.npy"], "x", ModelRequest("fake", None, Settings(rpc=("host:1",)))))


def test_where_the_system_does_not_tell_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert math.isnan(peak_megabytes(python("")))


def test_the_other_process_loads_the_model_in_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Settings(context=512, threads=3, gpu_layers=0)
    unset = {f.name for f in fields(Settings) if f.compare and getattr(whole, f.name) == f.default}
    assert unset == {"rpc"}  # not measured
    opened = []

    def keep(request: ModelRequest) -> Model:
        opened.append(request)
        return Model(FakeEngine(), "fake")

    monkeypatch.setattr(ModelRequest, "open", keep)
    for request in (ModelRequest("fake", tmp_path / "mmproj.gguf", whole), ModelRequest()):
        assert main(["prompt", "--text", "x", *map(str, model_options(request))]) == 0
        assert opened.pop() == request


@posix
def test_a_patch_costs_less_than_thirty_examples(engine: FakeEngine) -> None:
    prompt, patch = measure_cost(engine, ModelRequest("fake"), find_task("food-color"))
    assert prompt.tokens > 30 * patch.tokens
    assert all(cost.seconds > 0 for cost in (prompt, patch))
    assert all(20 < cost.megabytes < 500 for cost in (prompt, patch))
