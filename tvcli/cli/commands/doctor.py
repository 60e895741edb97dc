"""``tv doctor``: checks of this machine and a model, as text for a bug report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tvcli.cli import work
from tvcli.cli.commands import completion, options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ModelOptions


@command(model_options=ModelOptions, quiet=True, verbose=True)
def doctor(
    model_options: ModelOptions,
    name: Annotated[str | None, typer.Argument(autocompletion=completion.models, help="The same as --model.")] = None,
    bundle: Annotated[
        Path | None, options.about_output(help="Write all of it to one JSON file, to attach to a bug report.")
    ] = None,
    json: Annotated[bool, options.about_output("--json", help="One JSON object.")] = False,
) -> None:
    """Check that a model can be read and patched on this machine, layer by layer; for bug reports.

    The file of --bundle also has the model's hyperparameters and tensors and
    the end of llama.cpp's log, but no image, name, path or address.

    Examples:
        tv doctor picto
        tv doctor picto --bundle report.json
    """
    work.doctor.run(model_options, name, bundle, json=json)
