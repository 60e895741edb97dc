"""``tv export``: vectors to other programs' formats."""

from __future__ import annotations

from pathlib import Path

from tvcli.cli.output import out
from tvcli.cli.work.inputs import STDOUT, check_output, place, read_vector
from tvcli.engine.gguf.control_vector import save, to_bytes


def run(vector: str, control_vector: str) -> None:
    check_output(control_vector, vector)
    loaded = read_vector(vector)
    if control_vector == STDOUT:
        out.binary(to_bytes(loaded))
    else:
        save(loaded, Path(control_vector))
    out.note(f"wrote {place(control_vector)}: direction.1 to direction.{loaded.n_layer - 1}, and layer 0 as metadata")
    out.note("llama.cpp adds them at every position; a patch overwrites only the delimiter")
