"""``tv models``: list, describe, fetch and add models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tvcli.cli import work
from tvcli.cli.commands import options
from tvcli.cli.commands.bundle import command
from tvcli.cli.commands.strict import StrictCommand

app = typer.Typer(help="List, describe, fetch and add models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A catalog name, owner/repo on the hub, or a GGUF file.")]
Quant = Annotated[str | None, typer.Option(help="The quantization, where a repository has several: Q4_K_M, Q8_0 ...")]


@app.command("list", cls=StrictCommand)
def list_models(
    text: Annotated[
        str | None, typer.Argument(help="Only models whose name, description or architecture contains this.")
    ] = None,
    sees: Annotated[bool, typer.Option("--sees", help="Only models with an image encoder.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Only models on this machine.")] = False,
    sort: Annotated[
        Literal["name", "size", "architecture"], typer.Option(help="The order; of sizes, the smallest first.")
    ] = "name",
    json: options.Json = False,
) -> None:
    """List the models of the catalog: size, whether they are on this machine and see, license.

    With --json, every fact that tv models info prints.

    Examples:
        tv models list
        tv models list qwen --sees --sort size
        tv models list --here --json
    """
    work.models.list_all(text, sees=sees, here=here, sort=sort, json=json)


@app.command(cls=StrictCommand)
def info(name: Name, quant: Quant = None, json: options.Json = False) -> None:
    """Print all that is known about a model, and what of it was not verified.

    Example: tv models info llava-1.5-7b
    """
    work.models.info(name, quant, json=json)


@app.command(cls=StrictCommand)
@command(quiet=True)
def pull(
    name: Name,
    quant: Quant = None,
    verify: Annotated[bool, typer.Option("--verify", help="Also read and hash files that are already here.")] = False,
    json: options.Json = False,
) -> None:
    """Fetch a model, or continue an interrupted fetch; files that are already here are not fetched again.

    Example: tv models pull ggml-org/SmolVLM-256M-Instruct-GGUF --quant Q8_0
    """
    work.models.pull(name, quant, verify=verify, json=json)


@app.command(cls=StrictCommand)
def path(name: Name, quant: Quant = None, json: options.Json = False) -> None:
    """Print the local files of a model, text before vision, without fetching anything.

    Example: tv models path picto
    """
    work.models.path(name, quant, json=json)


@app.command(cls=StrictCommand)
@command(quiet=True)
def add(
    file: Annotated[Path, typer.Argument(help="A GGUF file; it stays where it is.")],
    mmproj: options.Mmproj = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; by default, the file's name.")] = None,
    vision_from: Annotated[
        str | None,
        typer.Option(
            help="A folder, or owner/repo on the hub, whose image encoder transformers runs (see docs/image-tokens.md)."
        ),
    ] = None,
) -> None:
    """Give a GGUF file of your own a name for --model.

    Example: tv models add my-Q8_0.gguf --mmproj my-mmproj.gguf --name mine
    """
    work.models.add(file, mmproj, name, vision_from)
