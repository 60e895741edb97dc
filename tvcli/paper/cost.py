"""The cost of a query with examples in the prompt, and with a patch (paper, table 7)."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tvcli.engine.protocol import Engine, Patch, tail
from tvcli.inputs.tasks import Task
from tvcli.kinds import Modality, Split
from tvcli.method.extract import from_examples
from tvcli.models.opening import ModelRequest
from tvcli.paper.memory import peak_megabytes
from tvcli.prompts.prompt import Example, Prompt, few_shot, zero_shot
from tvcli.timing import interleaved
from tvcli.vector import save

EXAMPLES = 30
ROUNDS = 5
LONG = (
    "{x}, of which it is written here at some length, with more words than the question needs, "
    "so that each of the examples is a long one"
)


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass: tokens, median seconds, and a process's peak memory in MB (1e6 bytes)."""

    name: str
    tokens: int
    seconds: float
    megabytes: float


def measure_cost(engine: Engine, request: ModelRequest, task: Task) -> list[Cost]:
    """A prompt with 30 long examples, then a patch of the same task.

    Raises:
        TvError: the process whose memory is measured failed.
    """
    examples = [Example(LONG.format(x=e.input), e.output) for e in _examples(task)]
    x = task.samples(Split.TEST, Modality.TEXT)[0].input
    prompt, bare = few_shot(x, examples, shots=EXAMPLES, seed=1), zero_shot(x)
    vector = from_examples(engine, examples[:10])
    patch = Patch.of(vector, vector.n_layer // 2)
    with tempfile.TemporaryDirectory() as folder:
        pairs, file = Path(folder) / "pairs.jsonl", Path(folder) / "vector.npy"
        lines = (json.dumps({"input": e.input, "output": e.output}) for e in examples)
        pairs.write_text("\n".join(lines), encoding="utf-8")
        save(vector, file)
        prompted = memory_of(["prompt", "--examples", pairs, "--shots", EXAMPLES], x, request)
        patched = memory_of(["apply", file], x, request)
    [long] = interleaved(lambda: engine.logits([prompt]), rounds=ROUNDS)
    [short] = interleaved(lambda: engine.logits([bare], [patch]), rounds=ROUNDS)
    return [
        Cost(f"prompt, {EXAMPLES} long examples", _length(engine, prompt), long, prompted),
        Cost("patch", _length(engine, bare), short, patched),
    ]


def _examples(task: Task) -> list[Example]:
    return [sample.example(Modality.TEXT) for sample in (*task.validation, *task.test)][1 : EXAMPLES + 1]


def _length(engine: Engine, prompt: Prompt) -> int:
    return len(tail(engine, prompt, 1_000_000))


def memory_of(command: Sequence[object], x: str, request: ModelRequest) -> float:
    """Peak memory of a `tv` process that answers one query, in MB; see `peak_megabytes`.

    NaN with RPC servers: they have the model, and serve one client at a time, which is this process.
    """
    if request.settings.rpc:
        return float("nan")
    options = ["--text", x, "--max-tokens", 1, *model_options(request)]
    return peak_megabytes([sys.executable, "-m", "tvcli", *map(str, (*command, *options))])


def model_options(request: ModelRequest) -> list[object]:
    """A request as command-line options."""
    given: dict[str, object] = {
        "--model": request.name,
        "--mmproj": request.mmproj,
        "--context": request.settings.context,
        "--threads": request.settings.threads,
        "--gpu-layers": request.settings.gpu_layers,
    }
    pairs = [(option, value) for option, value in given.items() if value is not None]
    pairs += [("--lora", f"{lora.path}:{lora.scale!r}") for lora in request.loras]
    return [part for pair in pairs for part in pair]
