"""``tv doctor``: checks of this machine and a model, as text for a bug report."""

from __future__ import annotations

from typing import Annotated

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ModelOptions


@command(model_options=ModelOptions, quiet=True, verbose=True)
def doctor(
    model_options: ModelOptions, json: Annotated[bool, options.about_output("--json", help="One JSON object.")] = False
) -> None:
    """Check that a model can be read and patched on this machine, layer by layer; for bug reports.

    Example: tv doctor --model picto
    """
    work.doctor.run(model_options, json=json)
