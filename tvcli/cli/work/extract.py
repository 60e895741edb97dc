"""``tv extract``: examples or an instruction to a vector file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out
from tvcli.cli.work.describe import reading
from tvcli.cli.work.inputs import STDOUT, check_output, given_text, write_vector
from tvcli.cli.work.opening import model_request
from tvcli.engine.protocol import Engine
from tvcli.errors import UsageError
from tvcli.images import AnyImage
from tvcli.inputs.examples import read_examples
from tvcli.inputs.lines import STDIN
from tvcli.kinds import Modality
from tvcli.method.extract import check_examples, from_examples, from_instruction
from tvcli.method.layers import layer_accuracy
from tvcli.metrics import Judge, Metric
from tvcli.prompts import prompt
from tvcli.prompts.prompt import Example, most_shots
from tvcli.vector import TaskVector


def run(
    model_options: ModelOptions,
    output: str,
    examples: str | None,
    instruction: str | None,
    *,
    modality: Modality,
    shots: int,
    prompts: int | None,
    seed: int,
    select_layer: bool,
    metric: Metric | None,
) -> None:
    request = model_request(model_options)
    if metric is not None and not select_layer:
        raise UsageError("--metric needs --select-layer")
    both = examples is not None and instruction is not None
    _check(output, examples, instruction, select_layer)
    outputs = [_name(output, kind, both) for kind in (("examples", "instruction") if both else ("",))]
    for one in outputs:
        check_output(one, examples, *request.own_files())
    pairs = read_examples(examples, modality) if examples is not None else []
    if pairs:
        for one in outputs:
            check_output(one, *_image_files(str(examples), pairs))
        check_examples(pairs, shots)
    with request.open() as loaded:
        if pairs:
            vector = _from_pairs(loaded.engine, pairs, shots=shots, prompts=prompts, seed=seed)
            if select_layer:
                vector = _select(loaded.engine, vector, pairs, Judge(metric or Metric.PAPER))
            _write(vector, _name(output, "examples", both))
        if instruction is not None:
            _write(from_instruction(loaded.engine, instruction), _name(output, "instruction", both))


def _check(output: str, examples: str | None, instruction: str | None, select_layer: bool) -> None:
    if examples is None and instruction is None:
        raise UsageError("nothing to read a task from: give --examples FILE or --instruction TEXT")
    if examples is None and select_layer:
        raise UsageError("--select-layer needs --examples to try the layers on")
    if examples is not None and instruction is not None and output == STDOUT:
        raise UsageError("examples and an instruction give two vectors, which cannot both go to stdout")
    if instruction is not None:
        prompt.instruction(instruction and given_text(instruction, "--instruction"))  # raises for a lone colon


def _image_files(source: str, pairs: list[Example]) -> Iterator[Path]:
    """The images of a pairs file, which names them relative to itself."""
    folder = Path() if source == STDIN else Path(source).parent
    return (folder / pair.input.name for pair in pairs if isinstance(pair.input, AnyImage))


def _from_pairs(engine: Engine, pairs: list[Example], *, shots: int, prompts: int | None, seed: int) -> TaskVector:
    vector = from_examples(
        engine,
        pairs,
        shots=shots,
        prompts=prompts,
        seed=seed,
        progress=lambda all_: out.progress(all_, len(all_), "prompts read"),
    )
    if vector.provenance.shots != shots:
        repeats = ", of which some repeat others" if most_shots(pairs) < len(pairs) else ""
        out.note(f"only {len(pairs)} examples{repeats}: {vector.provenance.shots} shots per prompt instead of {shots}")
    return vector


def _name(output: str, kind: str, both: bool) -> str:
    return str(Path(output).with_suffix(f".{kind}.npy")) if both else output


def _select(engine: Engine, vector: TaskVector, pairs: list[Example], judge: Judge) -> TaskVector:
    accuracy = layer_accuracy(
        engine, vector, pairs, lambda all_: out.progress(all_, len(all_), "examples tried"), judge
    )
    best = int(accuracy.argmax())  # ties: the lowest layer, as in the paper
    if accuracy[best] == 0:
        out.warn(f"no layer answers any of the example queries correctly; the vector's layer is {best} all the same")
    else:
        out.note(f"layer {best} answers {accuracy[best]:.0%} of the example queries correctly")
    return vector.with_layer(best, "best on its own examples", float(accuracy[best]))


def _write(vector: TaskVector, output: str) -> None:
    place = write_vector(vector, output)
    out.note(reading(vector))
    out.note(f"wrote {place}")
