"""What a query costs: the memory is that of a process of its own, of the same model, loaded in the same way."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import parts

from tvcli.cli import main
from tvcli.encoded import EncodedImage
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import ImageTokens, Lora, Patch, Settings, Token
from tvcli.errors import TvError, UsageError
from tvcli.images import Image
from tvcli.inputs.tasks import Sample, Task, find_task
from tvcli.kinds import Modality
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
        memory_of(["apply", "none.npy", "--text", "x"], ModelRequest("fake"))


def test_servers_memory_is_not_known() -> None:
    assert math.isnan(memory_of(["apply", "none.npy"], ModelRequest("fake", None, Settings(rpc=("host:1",)))))


def test_the_other_process_loads_the_model_in_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Settings(context=512, threads=3, gpu_layers=0)
    unset = {f.name for f in fields(Settings) if f.compare and getattr(whole, f.name) == f.default}
    assert unset == {"rpc", "picture"}  # not measured; given with the image
    opened = []

    def keep(request: ModelRequest) -> Model:
        opened.append(request)
        return Model(FakeEngine(), "fake")

    monkeypatch.setattr(ModelRequest, "open", keep)
    for request in (ModelRequest("fake", tmp_path / "mmproj.gguf", whole), ModelRequest()):
        assert main(["prompt", "--text", "x", *map(str, model_options(request))]) == 0
        assert opened.pop() == request


@posix
@pytest.mark.parametrize("modality", Modality)
def test_a_patch_costs_less_than_thirty_examples(engine: FakeEngine, modality: Modality) -> None:
    prompt, patch = measure_cost(engine, ModelRequest("fake"), find_task("food-color"), modality)
    assert prompt.tokens > 30 * patch.tokens
    assert all(cost.seconds > cost.seeing for cost in (prompt, patch))
    assert all(20 < cost.megabytes < 500 for cost in (prompt, patch))


# -- in this process ------------------------------------------------------------------------------------------


SAMPLES = tuple(Sample(f"x{i}", (f"y{i}",), Path("no picture")) for i in range(50))
TASK = Task("t", Path(), "d", "i:", validation=SAMPLES[:20], test=SAMPLES[20:])
EXAMPLES = [Example(cost.LONG.format(x=f"x{i}"), f"y{i}") for i in range(31) if i != 20]  # x20 is the query


class Asked(FakeEngine):
    """Keeps what it was asked and what it was told to forget; a pass takes as many seconds as `time` says."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
        [prompt], [patch] = prompts, patches
        self.asked.append((prompt, patch and (patch.layer, patch.row.tolist())))
        return super().logits(prompts, patches)

    def forget(self, image: Image | EncodedImage) -> None:
        self.asked.append(("forget", image))


@pytest.mark.parametrize("modality", Modality)
def test_a_prompt_of_thirty_long_examples_is_measured_against_a_patch(
    modality: Modality, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = tuple(replace(sample, image=picture) for sample in SAMPLES)
    task = replace(TASK, validation=samples[:20], test=samples[20:])
    request, plain, engine = ModelRequest("fake"), FakeEngine(), Asked()
    query = ["--text", "x20"] if modality == Modality.TEXT else ["--image", picture, "--picture", "model"]

    def memory(command: Sequence[object], given: ModelRequest) -> float:
        assert given == request
        name, *rest = command
        command, asked = rest[: -len(query)], rest[-len(query) :]
        assert asked == query
        file = next(Path(part) for part in rest if isinstance(part, Path))
        if name == "prompt":
            assert command == ["--examples", file, "--shots", 30]
            lines = file.read_text("utf-8").splitlines()
            assert file.suffix == ".jsonl"
            assert [json.loads(line) for line in lines] == [{"input": e.input, "output": e.output} for e in EXAMPLES]
            return 11
        assert (name, command) == ("apply", [file])
        assert np.array_equal(load(file).rows, from_examples(plain, EXAMPLES[:10]).rows)
        return 22

    def seconds(*works: Callable[[], object], rounds: int) -> list[float]:
        assert rounds == 5
        for work in works:
            work()
        return [8, 5, 3]

    monkeypatch.setattr(cost, "memory_of", memory)
    monkeypatch.setattr(cost, "interleaved", seconds)
    x = samples[20].load(modality)
    shown, bare = few_shot(x, EXAMPLES, shots=30, seed=1), zero_shot(x)
    seeing = 2 if modality == Modality.IMAGE else 0
    assert measure_cost(engine, request, task, modality) == [
        Cost("prompt, 30 long examples", len(plain.layout(shown)), 8, seeing, 11),
        Cost("patch", len(plain.layout(bare)), 5, seeing, 22),
    ]
    row = from_examples(plain, EXAMPLES[:10]).rows[3].tolist()
    assert simple(engine.asked) == simple(
        [*forgotten(shown), (shown, None), *forgotten(bare), (bare, (3, row)), (bare, (3, row))]
    )


def forgotten(prompt: Prompt) -> list[Any]:
    return [("forget", image) for image in prompt.images]


def simple(asked: Sequence[Any]) -> list[Any]:
    """Images by their pixels."""
    return [("forget", what[1].digest) if what[0] == "forget" else (parts([what[0]]), what[1]) for what in asked]


def test_every_image_token_counts(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    monkeypatch.setattr(cost, "memory_of", lambda *_: 1.0)
    monkeypatch.setattr(engine, "layout", lambda prompt: [ImageTokens(576)] * len(prompt.images) + [Token(1, ":")])
    task = replace(TASK, test=(replace(SAMPLES[20], image=picture),))
    assert [one.tokens for one in measure_cost(engine, ModelRequest("fake"), task, Modality.IMAGE)] == [577, 577]


def test_a_query_that_there_is_not_is_an_error(engine: FakeEngine) -> None:
    task = replace(TASK, test=(Sample("x", ("y",)),))
    with pytest.raises(UsageError, match=r"^task t has no test samples with image$"):
        measure_cost(engine, ModelRequest("fake"), task, Modality.IMAGE)


def test_all_steps_are_counted(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    @contextmanager
    def meter(total: int | None, what: str, *, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
        yield steps.append
        assert sum(steps) == total

    monkeypatch.setattr(cost, "memory_of", lambda *_: 1.0)
    measure_cost(engine, ModelRequest("fake"), TASK, Modality.TEXT, meter)
    assert steps


def test_the_memory_is_that_of_the_command_with_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[object] = []

    def measured(command: Sequence[str]) -> float:
        commands.append(command)
        return 7.0

    monkeypatch.setattr(cost, "peak_megabytes", measured)
    request = ModelRequest("m.gguf", Path("v.gguf"), Settings(512, 3, 0))
    assert memory_of(["apply", Path("v.npy"), "--text", "x"], request) == 7
    asked = ["apply", "v.npy", "--text", "x", "--max-tokens", "1"]
    named = ["--model", "m.gguf", "--mmproj", "v.gguf", "--context", "512", "--threads", "3", "--gpu-layers", "0"]
    assert commands == [[sys.executable, "-m", "tvcli", *asked, *named]]
    assert model_options(ModelRequest()) == []
    assert model_options(ModelRequest(loras=(Lora(Path("a.gguf"), 0.1),))) == ["--lora", "a.gguf:0.1"]
    assert math.isnan(memory_of(["apply"], replace(request, settings=Settings(rpc=("h:1",)))))
