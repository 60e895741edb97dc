"""``tv demo``: what tv does, on one task, in seconds."""

from __future__ import annotations

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.options import ImageModelOptions


@command(model_options=ImageModelOptions, quiet=True, verbose=True)
def demo(model_options: ImageModelOptions, json: options.Json = False) -> None:
    """Ask a model for the capitals of a few flags: alone, after examples in words, and patched.

    Examples:
        tv demo
        tv demo --json
    """
    work.demo.run(model_options, json=json)
