"""``tv models``: which models there are, and getting them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tvcli.cli import options
from tvcli.cli.output import out
from tvcli.files import byte_size

if TYPE_CHECKING:
    from tvcli.models.catalog import Entry
    from tvcli.models.resolve import ModelFiles

app = typer.Typer(help="List, describe, fetch and add models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name of the catalogue, owner/repo on the hub, or a GGUF file.")]
Quant = Annotated[str | None, typer.Option(help="The quantization, where a repository has several: Q4_K_M, Q8_0 ...")]


@app.command("list")
def list_models(json: options.Json = False) -> None:
    """List the models of the catalogue: size, whether it is on this machine, licence.

    Example: tv models list
    """
    from tvcli.models.catalog import catalog
    from tvcli.models.resolve import is_here, size

    entries = [(entry, is_here(entry), size(entry)) for entry in catalog().values()]
    if json:
        for entry, here, bytes_ in entries:
            out.record({"name": entry.name, "here": here, "bytes": bytes_, "license": entry.license})
        return
    rows = [
        [entry.name, byte_size(bytes_) if bytes_ else "", "here" if here else "", entry.license, entry.description]
        for entry, here, bytes_ in entries
    ]
    out.table("", ["model", "size", "on disk", "licence", "what"], rows)


@app.command()
def info(name: Name, quant: Quant = None, json: options.Json = False) -> None:
    """Say all that is known of a model, and what of it was not verified.

    Example: tv models info llava-1.5-7b
    """
    from tvcli.models.resolve import describe

    facts = _facts(describe(name, quant))
    if json:
        out.record(facts)
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            for inner, fact in value.items():
                if fact is not None:
                    out.line(f"{key}: {inner}", _in_words(fact))
        elif value not in (None, "", []):
            out.line(key, ", ".join(value) if isinstance(value, list) else str(value))


@app.command()
def pull(
    name: Name,
    quant: Quant = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read and hash what is here already, too.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch a model, or go on where that was interrupted; what is here already is not fetched again.

    Example: tv models pull ggml-org/SmolVLM-256M-Instruct-GGUF --quant Q8_0
    """
    from tvcli.models.resolve import describe
    from tvcli.models.resolve import pull as fetch

    _print_paths(fetch(describe(name, quant), verify=verify, meter=out.meter), json=json)


@app.command()
def path(name: Name, quant: Quant = None, json: options.Json = False) -> None:
    """Print the local files of a model, text before vision, without fetching anything.

    Example: tv models path picto
    """
    from tvcli.errors import UnavailableError
    from tvcli.models.resolve import describe, present

    files = present(describe(name, quant))
    if files is None:
        raise UnavailableError(f"the model {name} is not on this machine; run: tv models pull {name}")
    _print_paths(files, json=json)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A GGUF file; it stays where it is.")],
    mmproj: options.Mmproj = None,
    name: Annotated[str | None, typer.Option(help="What to call it; by default, the file's name.")] = None,
    quiet: options.Quiet = False,
) -> None:
    """Give a GGUF file of your own a name for --model.

    Example: tv models add my-Q8_0.gguf --mmproj my-mmproj.gguf --name mine
    """
    from tvcli.engine.gguf.checks import check_gguf
    from tvcli.models.catalog import register

    for given in filter(None, (file, mmproj)):
        check_gguf(given)
    chosen = file.stem if name is None else name
    written = register(chosen, file, mmproj)
    out.note(f"--model {chosen} is {file.resolve()} now; to forget that, delete {written}")


def _print_paths(files: ModelFiles, *, json: bool) -> None:
    if json:
        vision = None if files.vision is None else str(files.vision)
        out.record({"name": files.name, "text": str(files.text), "vision": vision})
        return
    out.line(str(files.text))
    if files.vision is not None:
        out.line(str(files.vision))


def _facts(entry: Entry) -> dict[str, Any]:
    """What `tv models info` prints, in order; nothing that is unknown."""
    from dataclasses import asdict

    from tvcli.models.catalog import OnHub
    from tvcli.models.resolve import is_here, size

    facts = asdict(entry)
    facts["files"] = {key: str(v) if isinstance(v, Path) else v for key, v in facts["files"].items()}
    if isinstance(entry.files, OnHub):
        facts["page"] = f"https://huggingface.co/{entry.files.repository}"
    if entry.layer is not None:
        facts["layer"] = f"{entry.layer.suggested} ({entry.layer.source})"
    facts["here"] = is_here(entry)
    facts["bytes"] = size(entry)
    facts["unverified"] = entry.unverified()
    return facts


def _in_words(fact: Any) -> str:
    """A file's table as "its name, size 123", anything else as it is."""
    if not isinstance(fact, dict):
        return str(fact)
    return ", ".join(str(v) if key == "file" else f"{key} {v}" for key, v in fact.items() if v)
