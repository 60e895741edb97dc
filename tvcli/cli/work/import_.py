"""``tv import``: vectors from other programs' formats."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tvcli.cli.output import out
from tvcli.cli.work.inputs import check_output, write_vector
from tvcli.engine.gguf.control_vector import load
from tvcli.errors import TvError
from tvcli.files import read_standard_input
from tvcli.inputs.lines import STDIN
from tvcli.vector import TaskVector


def run(file: Path, output: str, layers: int | None) -> None:
    check_output(output, file)
    vector, missing = load(file, layers) if str(file) != STDIN else _from_standard_input(layers)
    if missing:
        out.note(f"{file} has no direction for {spans(missing)}: zero rows, which should not be patched")
    if vector.provenance.model is None:
        out.note(f"{file}: the model of this vector is not recorded")
    out.note(f"wrote {write_vector(vector, output)}: {vector.n_layer} layers × {vector.n_embd}")


def _from_standard_input(layers: int | None) -> tuple[TaskVector, list[int]]:
    """Raises what `load` does; the reader of GGUF files needs a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard input"
        path.write_bytes(read_standard_input("a control vector"))
        try:
            return load(path, layers)
        except TvError as error:
            raise type(error)(str(error).replace(str(path), path.name)) from error


def spans(layers: list[int]) -> str:
    """``layers 0 to 4, 9``; `layers` is in order and not empty."""
    starts = [n for n in layers if n - 1 not in layers]
    ends = [n for n in layers if n + 1 not in layers]
    named = [str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True)]
    return f"layer{'s' if len(layers) > 1 else ''} {', '.join(named)}"
