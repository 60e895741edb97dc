"""Options that several commands share, so that all spell them alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tvcli.output import out

if TYPE_CHECKING:
    from tvcli.engine.protocol import Decoding
    from tvcli.loading import ModelChoice


def _set_quiet(value: bool) -> bool:
    out.quiet = value
    return value


def _set_verbose(value: bool) -> bool:
    out.verbose = value
    return value


Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Catalogue name, owner/repo, or GGUF file; by default $TV_MODEL, else picto."),
]
Mmproj = Annotated[Path | None, typer.Option(help="The vision half that belongs to the model file.")]
Context = Annotated[int | None, typer.Option(min=256, help="Size of the context in tokens.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads.")]
GpuLayers = Annotated[int | None, typer.Option(min=0, help="Layers to put on a GPU; all by default, 0 for none.")]
Rpc = Annotated[
    list[str] | None,
    typer.Option("--rpc", metavar="HOST:PORT", help="A llama.cpp rpc-server to put layers on; may be repeated."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_set_quiet, help="Only warnings and errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", callback=_set_verbose, help="Say which token and layer was touched.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Seed = Annotated[int, typer.Option(help="Of the random choice of examples.")]
Modality = Annotated[Literal["text", "image"], typer.Option(help="Which to take where a JSON record has both.")]
Tasks = Annotated[
    list[str] | None, typer.Option("--task", "-T", help="A shipped task or a folder; by default the paper's six.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many samples of each split.")]
Images = Annotated[
    list[str] | None, typer.Option("--image", "-i", help="Picture files, a folder of them, or - for one on stdin.")
]
Texts = Annotated[list[str] | None, typer.Option("--text", "-t", help="A query in words; may be repeated.")]
Queries = Annotated[str | None, typer.Option(help="File of queries, one a line, @path for images; - for stdin.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", "-n", min=1, help="Longest answer, in tokens.")]
Multiline = Annotated[bool, typer.Option("--multiline", help="Go on after the first newline.")]
Plot = Annotated[Path | None, typer.Option(help="Draw a picture, .png, .svg or .pdf (needs the extra plots).")]
VectorFile = Annotated[str, typer.Argument(help="A vector file, or - for stdin.")]


def model_choice(
    model: Model = None,
    mmproj: Mmproj = None,
    context: Context = None,
    threads: Threads = None,
    gpu_layers: GpuLayers = None,
    rpc: Rpc = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ModelChoice:
    """Which model, and how it is loaded."""
    from tvcli.engine.protocol import Settings
    from tvcli.engine.rpc import parse_endpoints
    from tvcli.loading import ModelChoice

    servers = parse_endpoints(rpc or [])
    return ModelChoice(model, mmproj, Settings(context, threads, gpu_layers, servers, out.loading))


@dataclass(frozen=True)
class Asking:
    """Queries, how long their answers may get, and how they are printed."""

    images: list[str]
    texts: list[str]
    queries: str | None
    modality: str
    decoding: Decoding
    json: bool


def asking(
    image: Images = None,
    text: Texts = None,
    queries: Queries = None,
    modality: Modality = "text",
    max_tokens: MaxTokens = 16,
    multiline: Multiline = False,
    json: Json = False,
) -> Asking:
    """What to ask."""
    from tvcli.engine.protocol import Decoding

    return Asking(image or [], text or [], queries, modality, Decoding(max_tokens, not multiline), json)
