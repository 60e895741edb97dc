"""``tv tasks pull``: the paper's own data."""

from __future__ import annotations

from pathlib import Path

from tvcli.cli.output import out
from tvcli.cli.work.inputs import check_folder
from tvcli.errors import UsageError
from tvcli.inputs.paper_data import convert, fetch, mark_as_papers


def run(output: Path, annotations: Path | None, images: Path | None) -> None:
    if (annotations is None) != (images is None):
        raise UsageError("--annotations and --images must be given together")
    check_folder("--output", output)
    archives = (annotations, images) if annotations is not None and images is not None else fetch(out.meter)
    names = convert(*archives, output)
    if annotations is None:
        for name in names:
            mark_as_papers(output / name)
    else:
        out.note("it is not known whether the archives are the paper's, so tables call them other data")
    out.note(f"wrote {', '.join(names)} to {output}; use them as --task {output / names[0]}")
