"""What a query costs: the memory is that of a process of its own, of the same model, loaded in the same way."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from tvcli.cli import main
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Lora, Patch, Settings
from tvcli.errors import TvError
from tvcli.inputs.tasks import Sample, Task, find_task
from tvcli.method.extract import from_examples
from tvcli.models.opening import Model, ModelRequest
from tvcli.paper import cost
from tvcli.paper.cost import Cost, measure_cost, memory_of, model_options
from tvcli.prompts.prompt import Example, Prompt, few_shot, zero_shot
from tvcli.vector import load

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")


@posix
def test_a_command_that_failed_gives_no_figure() -> None:
    with pytest.raises(TvError, match=r"exit code 3: vector none\.npy cannot be read"):
        memory_of(["apply", "none.npy"], "x", ModelRequest("fake"))


def test_servers_memory_is_not_known() -> None:
    assert math.isnan(memory_of(["apply", "none.npy"], "x", ModelRequest("fake", None, Settings(rpc=("host:1",)))))


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


# -- in this process ------------------------------------------------------------------------------------------


SAMPLES = tuple(Sample(f"x{i}", (f"y{i}",), Path("no picture")) for i in range(50))  # asked in words
TASK = Task("t", Path(), "d", "i:", validation=SAMPLES[:20], test=SAMPLES[20:])


def test_a_prompt_of_thirty_long_examples_is_measured_against_a_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [Example(cost.LONG.format(x=f"x{i}"), f"y{i}") for i in range(1, 31)]
    request, engine, asked = ModelRequest("fake"), FakeEngine(), []  # type: ignore[var-annotated]

    def memory(command: Sequence[object], x: str, given: ModelRequest) -> float:
        assert (x, given) == ("x20", request)
        name, *rest = command
        file = next(Path(part) for part in rest if isinstance(part, Path))
        if name == "prompt":
            assert rest == ["--examples", file, "--shots", 30]
            lines = file.read_text("utf-8").splitlines()
            assert file.suffix == ".jsonl"
            assert [json.loads(line) for line in lines] == [{"input": e.input, "output": e.output} for e in examples]
            return 11
        assert (name, rest) == ("apply", [file])
        vector = load(file)
        assert np.array_equal(vector.rows, from_examples(engine, examples[:10]).rows)
        return 22

    def seconds(work: Callable[[], object], *, rounds: int) -> list[float]:
        assert rounds == 5
        work()
        return [len(asked) / 8]

    class Asked(FakeEngine):
        def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
            [patch] = patches
            asked.append((*prompts, patch and (patch.layer, patch.row.tolist())))
            return super().logits(prompts, patches)

    monkeypatch.setattr(cost, "memory_of", memory)
    monkeypatch.setattr(cost, "interleaved", seconds)
    shown, bare = few_shot("x20", examples, shots=30, seed=1), zero_shot("x20")
    assert measure_cost(Asked(), request, TASK) == [
        Cost("prompt, 30 long examples", len(engine.layout(shown)), 0.125, 11),
        Cost("patch", 5, 0.25, 22),
    ]
    row = from_examples(engine, examples[:10]).rows[3].tolist()
    assert asked == [(shown, None), (bare, (3, row))]


def test_the_memory_is_that_of_the_command_with_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[object] = []

    def measured(command: Sequence[str]) -> float:
        commands.append(command)
        return 7.0

    monkeypatch.setattr(cost, "peak_megabytes", measured)
    request = ModelRequest("m.gguf", Path("v.gguf"), Settings(512, 3, 0))
    assert memory_of(["apply", Path("v.npy")], "x", request) == 7
    asked = ["apply", "v.npy", "--text", "x", "--max-tokens", "1"]
    named = ["--model", "m.gguf", "--mmproj", "v.gguf", "--context", "512", "--threads", "3", "--gpu-layers", "0"]
    assert commands == [[sys.executable, "-m", "tvcli", *asked, *named]]
    assert model_options(ModelRequest()) == []
    assert model_options(ModelRequest(loras=(Lora(Path("a.gguf"), 0.1),))) == ["--lora", "a.gguf:0.1"]
    assert math.isnan(memory_of(["apply"], "x", replace(request, settings=Settings(rpc=("h:1",)))))
