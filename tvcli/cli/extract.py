"""``tv extract``: examples or an instruction to a vector file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tvcli.cli import options
from tvcli.cli.bundle import bundle
from tvcli.cli.output import out
from tvcli.errors import UsageError

if TYPE_CHECKING:
    from tvcli.engine.protocol import Engine
    from tvcli.models.opening import ModelRequest
    from tvcli.prompts.prompt import Example
    from tvcli.vector import TaskVector


@bundle(request=options.model_request)
def extract(
    request: ModelRequest,
    output: options.VectorOutput,
    examples: Annotated[
        str | None, typer.Option("--examples", "-e", help="File of pairs: input<TAB>output, @path<TAB>output, JSON.")
    ] = None,
    instruction: Annotated[str | None, typer.Option(help="The task in one sentence.")] = None,
    modality: options.Modality = "text",
    shots: Annotated[int, typer.Option(min=2, help="Examples in a prompt, the last one left unanswered.")] = 5,
    prompts: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Prompts to average over; by default one an example.")
    ] = None,
    seed: options.Seed = 1,
    select_layer: Annotated[
        bool, typer.Option("--select-layer", help="Choose the layer that answers the examples best.")
    ] = False,
) -> None:
    """Read a task vector from examples or from an instruction.

    With both, there are two vectors: NAME.examples.npy and NAME.instruction.npy.

    Examples:
        tv extract --examples pairs.txt -o capital.npy
        tv extract --examples pairs.txt --select-layer -o capital.npy
        tv extract --instruction "The capital city:" -o instruction.npy
        tv extract --examples - -o - < pairs.txt | tv show -
    """
    from tvcli.inputs.examples import read_examples
    from tvcli.method.extract import check_examples, from_instruction

    _check(output, examples, instruction, select_layer)
    pairs = read_examples(examples, modality) if examples is not None else []
    if pairs:
        check_examples(pairs, shots)
    both = examples is not None and instruction is not None
    with request.open() as loaded:
        if pairs:
            vector = _from_pairs(loaded.engine, pairs, shots=shots, prompts=prompts, seed=seed)
            _write(_select(loaded.engine, vector, pairs) if select_layer else vector, _name(output, "examples", both))
        if instruction is not None:
            _write(from_instruction(loaded.engine, instruction), _name(output, "instruction", both))


def _check(output: str, examples: str | None, instruction: str | None, select_layer: bool) -> None:
    from tvcli.cli.inputs import STDOUT, check_output
    from tvcli.prompts import prompt as prompts

    if examples is None and instruction is None:
        raise UsageError("nothing to read a task from: give --examples FILE or --instruction TEXT")
    if examples is None and select_layer:
        raise UsageError("--select-layer needs --examples to try the layers on")
    if examples is not None and instruction is not None and output == STDOUT:
        raise UsageError("examples and an instruction give two vectors, which cannot both go to stdout")
    if instruction is not None:
        prompts.instruction(instruction)  # refuses an empty one
    check_output(output)


def _from_pairs(engine: Engine, pairs: list[Example], *, shots: int, prompts: int | None, seed: int) -> TaskVector:
    from tvcli.method.extract import from_examples

    vector = from_examples(
        engine,
        pairs,
        shots=shots,
        prompts=prompts,
        seed=seed,
        progress=lambda all_: out.progress(all_, len(all_), "read prompt"),
    )
    if vector.provenance.shots != shots:
        out.note(f"only {len(pairs)} examples: {vector.provenance.shots} shots a prompt instead of {shots}")
    return vector


def _name(output: str, kind: str, both: bool) -> str:
    return str(Path(output).with_suffix(f".{kind}.npy")) if both else output


def _select(engine: Engine, vector: TaskVector, pairs: list[Example]) -> TaskVector:
    from tvcli.method.layers import layer_accuracy

    accuracy = layer_accuracy(engine, vector, pairs, lambda all_: out.progress(all_, len(all_), "tried the layers on"))
    best = int(accuracy.argmax())  # ties: the lowest layer, as in the paper
    out.note(f"layer {best} answers {accuracy[best]:.0%} of the examples' queries")
    return vector.with_layer(best, "best on its own examples", float(accuracy[best]))


def _write(vector: TaskVector, output: str) -> None:
    from tvcli.cli.inputs import write_vector

    place = write_vector(vector, output)
    origin = vector.provenance
    shots = f" of {origin.shots} examples" if origin.shots else ""
    out.note(
        f"read {origin.prompts} prompt{'s' if origin.prompts != 1 else ''}{shots} ({origin.source}) in {origin.model}, "
        f"layers 0 to {vector.n_layer - 1}, at the delimiter {origin.delimiter!r} (token {origin.delimiter_id})"
    )
    out.note(f"wrote {place}")
