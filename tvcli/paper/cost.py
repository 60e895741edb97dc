"""The cost of a query with examples in the prompt, and with a patch (paper, table 7)."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvcli.engine.protocol import Engine, ImageTokens, Patch
from tvcli.errors import UsageError
from tvcli.inputs.tasks import Sample, Task
from tvcli.kinds import Modality, Split
from tvcli.method.extract import from_examples
from tvcli.models.opening import ModelRequest
from tvcli.paper.memory import peak_megabytes
from tvcli.progress import Advance, Meter, silent
from tvcli.prompts.prompt import Example, Prompt, few_shot, zero_shot
from tvcli.timing import interleaved
from tvcli.vector import TaskVector, save

EXAMPLES = 30
ROUNDS = 5
LONG = (
    "{x}, of which it is written here at some length, with more words than the question needs, "
    "so that each of the examples is a long one"
)


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass: tokens, median seconds, and a process's peak memory in MB (1e6 bytes).

    `seeing` are those of the `seconds` that encode the query's image; 0 for a text query.
    """

    name: str
    tokens: int
    seconds: float
    seeing: float
    megabytes: float


def measure_cost(
    engine: Engine, request: ModelRequest, task: Task, modality: Modality, meter: Meter = silent
) -> list[Cost]:
    """A prompt with 30 long text examples, then a patch of the same task, for a query of the modality.

    Raises:
        UsageError: the task has no test sample with the modality.
        TvError: the process whose memory is measured failed.
    """
    samples = task.samples(Split.TEST, modality)
    if not samples:
        raise UsageError(f"task {task.name} has no test samples with {modality}")
    examples = [Example(LONG.format(x=e.input), e.output) for e in _examples(task, samples[0])]
    x = samples[0].load(modality)
    prompt, bare = few_shot(x, examples, shots=EXAMPLES, seed=1), zero_shot(x)
    seen = ["--image", samples[0].image, "--picture", request.settings.picture]
    asked = ["--text", x] if isinstance(x, str) else seen
    vector = from_examples(engine, examples[:10])
    with meter(2 + 3 * (1 + ROUNDS), "measured") as advance:
        prompted, patched = _memory(asked, examples, vector, request, advance)
        [long, short, seeing] = seconds(engine, prompt, bare, Patch.of(vector, vector.n_layer // 2), advance)
    return [
        Cost(f"prompt, {EXAMPLES} long examples", _length(engine, prompt), long, seeing, prompted),
        Cost("patch", _length(engine, bare), short, seeing, patched),
    ]


def seconds(
    engine: Engine, prompt: Prompt, bare: Prompt, patch: Patch, advance: Advance = lambda steps: None
) -> list[float]:
    """Median seconds of a pass over the prompt, of a patched pass over the bare query, and of encoding its image.

    An engine keeps encoded images, so the image is dropped before a pass; the third is the difference from a pass
    with it kept.
    """

    def answered(asked: Prompt, by: Patch | None, *, kept: bool) -> Callable[[], object]:
        def action() -> None:
            for image in () if kept else asked.images:
                engine.forget(image)
            engine.logits([asked], [by])
            advance(1)

        return action

    long, short, again = interleaved(
        answered(prompt, None, kept=False),
        answered(bare, patch, kept=False),
        answered(bare, patch, kept=True),
        rounds=ROUNDS,
    )
    return [long, short, max(0.0, short - again) if bare.images else 0.0]


def _memory(
    query: Sequence[object], examples: Sequence[Example], vector: TaskVector, request: ModelRequest, advance: Advance
) -> list[float]:
    """Of a process that answers the query (options) after the examples, and of one that answers it patched, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        pairs, file = Path(folder) / "pairs.jsonl", Path(folder) / "vector.npy"
        lines = (json.dumps({"input": e.input, "output": e.output}) for e in examples)
        pairs.write_text("\n".join(lines), encoding="utf-8")
        save(vector, file)
        found = []
        for command in (["prompt", "--examples", pairs, "--shots", EXAMPLES], ["apply", file]):
            found.append(memory_of([*command, *query], request))
            advance(1)
    return found


def _examples(task: Task, query: Sample) -> list[Example]:
    own = query.identities(images=False)
    others = (sample for sample in (*task.validation, *task.test) if own.isdisjoint(sample.identities(images=False)))
    return [sample.example(Modality.TEXT) for sample in others if sample.has(Modality.TEXT)][:EXAMPLES]


def _length(engine: Engine, prompt: Prompt) -> int:
    return sum(piece.count if isinstance(piece, ImageTokens) else 1 for piece in engine.layout(prompt))


def memory_of(command: Sequence[object], request: ModelRequest) -> float:
    """Peak memory of a `tv` process that answers one query, in MB; see `peak_megabytes`.

    NaN with RPC servers: they have the model, and serve one client at a time, which is this process.
    """
    if request.settings.rpc:
        return float("nan")
    options = ["--max-tokens", 1, *model_options(request)]
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
