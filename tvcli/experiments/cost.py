"""What a query costs with its examples in the prompt, and with the task patched in (paper, table 7)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tvcli.engine.protocol import Engine, Patch
from tvcli.experiments.extract import from_examples
from tvcli.experiments.timing import interleaved
from tvcli.loading import ModelChoice
from tvcli.prompts import Example, Prompt, few_shot, query
from tvcli.tasks import TEXT, Task
from tvcli.vector import save

EXAMPLES = 30
ROUNDS = 5
LONG = (
    "{x}, of which it is written here at some length, with more words than the question needs, "
    "so that each of the examples is a long one"
)


@dataclass(frozen=True)
class Cost:
    """Of one forward pass: tokens, median seconds, and peak memory of a process that runs it."""

    name: str
    tokens: int
    seconds: float
    megabytes: float


def measure_cost(engine: Engine, choice: ModelChoice, task: Task) -> list[Cost]:
    """A prompt with 30 long examples, then a patch of the same task."""
    examples = [Example(LONG.format(x=e.input), e.output) for e in _examples(task)]
    x = task.samples("test", TEXT)[0].input
    prompt, bare = few_shot(x, examples, shots=EXAMPLES, seed=1), query(x)
    vector = from_examples(engine, examples[:10])
    patch = Patch.of(vector, vector.n_layer // 2)
    with tempfile.TemporaryDirectory() as folder:
        pairs, file = Path(folder) / "pairs.txt", Path(folder) / "vector.npy"
        pairs.write_text("".join(f"{e.input}\t{e.output}\n" for e in examples), encoding="utf-8")
        save(vector, file)
        shown = _peak_megabytes(["prompt", "--examples", pairs, "--shots", EXAMPLES], x, choice)
        patched = _peak_megabytes(["apply", file], x, choice)
    [long] = interleaved(lambda: engine.logits([prompt]), rounds=ROUNDS)
    [short] = interleaved(lambda: engine.logits([bare], [patch]), rounds=ROUNDS)
    return [
        Cost(f"prompt, {EXAMPLES} long examples", _length(engine, prompt), long, shown),
        Cost("patch", _length(engine, bare), short, patched),
    ]


def _examples(task: Task) -> list[Example]:
    return [sample.example(TEXT) for sample in (*task.validation, *task.test)][1 : EXAMPLES + 1]


def _length(engine: Engine, prompt: Prompt) -> int:
    return len(engine.tail(prompt, 1_000_000))


def _peak_megabytes(command: Sequence[object], x: str, choice: ModelChoice) -> float:
    """Peak resident memory of a `tv` process, in MB; NaN where the system does not tell.

    Nor with RPC servers: they hold the model, and serve one client at a time, which is this process.
    """
    if not hasattr(os, "wait4") or choice.settings.rpc:
        return float("nan")
    given = {"--model": choice.name, "--mmproj": choice.mmproj, "--threads": choice.settings.threads}
    options = [str(part) for option, value in given.items() if value is not None for part in (option, value)]
    line = [sys.executable, "-m", "tvcli", *map(str, command), "--text", x, "-n", "1", *options]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - tv itself
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1024)
