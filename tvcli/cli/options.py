"""Options that several commands share, so that all spell them alike, in the groups that --help shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tvcli.cli import completion
from tvcli.cli.output import out

if TYPE_CHECKING:
    from tvcli.engine.protocol import Decoding
    from tvcli.models.opening import ModelRequest


# the groups of options in --help, and two that commands word themselves
about_queries = partial(typer.Option, rich_help_panel="Queries")
about_model = partial(typer.Option, rich_help_panel="Model")
about_output = partial(typer.Option, rich_help_panel="Output")
one_layer = partial(typer.Option, "--layer", "-l", autocompletion=completion.layers)
other_model = partial(about_model, autocompletion=completion.models)


def _set_quiet(value: bool) -> bool:
    out.quiet = value
    return value


def _set_verbose(value: bool) -> bool:
    out.verbose = value
    return value


Model = Annotated[
    str | None,
    other_model("--model", "-m", help="Catalogue name, owner/repo, or GGUF file; by default $TV_MODEL, else picto."),
]
Mmproj = Annotated[Path | None, about_model(help="The vision half that belongs to the model file.")]
Context = Annotated[int | None, about_model(min=256, max=1 << 24, help="Size of the context in tokens.")]
Threads = Annotated[int | None, about_model(min=1, max=512, help="Processor threads.")]
GpuLayers = Annotated[int | None, about_model(min=0, max=1 << 16, help="Layers on a GPU; all by default, 0 for none.")]
Rpc = Annotated[
    list[str] | None,
    about_model("--rpc", metavar="HOST:PORT", help="A llama.cpp rpc-server to put layers on; may be repeated."),
]

Images = Annotated[
    list[str] | None, about_queries("--image", "-i", help="Picture files, a folder of them, or - for one on stdin.")
]
ImagesFrom = Annotated[str | None, about_queries(help="File of picture names, one a line; - for stdin.")]
Null = Annotated[bool, about_queries("--null", "-0", help="Names end in NUL, as find -print0 writes them.")]
Texts = Annotated[list[str] | None, about_queries("--text", "-t", help="A query in words; may be repeated.")]
Queries = Annotated[str | None, about_queries(help="File of queries, one a line, @path for images; - for stdin.")]
MaxTokens = Annotated[int, about_output("--max-tokens", "-n", min=1, help="Longest answer, in tokens.")]
Multiline = Annotated[bool, about_output("--multiline", help="Go on after the first newline.")]

VectorFile = Annotated[str, typer.Argument(autocompletion=completion.vectors, help="A vector file, or - for stdin.")]
VectorFiles = Annotated[
    list[str], typer.Argument(autocompletion=completion.vectors, help="Vector files, one of them may be - for stdin.")
]
VectorOutput = Annotated[
    str,
    about_output(
        "--output", "-o", autocompletion=completion.vectors, help="The vector file to write, or - for stdout."
    ),
]
Plot = Annotated[Path | None, about_output(help="Draw a picture, .png, .svg or .pdf (needs the extra plots).")]
Json = Annotated[bool, about_output("--json", help="One JSON object a line.")]
Quiet = Annotated[bool, about_output("--quiet", "-q", callback=_set_quiet, help="Only warnings and errors.")]
Verbose = Annotated[
    bool, about_output("--verbose", "-v", callback=_set_verbose, help="Say which token and layer was touched.")
]

Seed = Annotated[int, typer.Option(help="Of the random choice of examples.")]
Seeds = Annotated[str, typer.Option(help="Random choices of examples, between commas.")]
Modality = Annotated[Literal["text", "image"], typer.Option(help="Which to take where a JSON record has both.")]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task", "-T", autocompletion=completion.tasks, help="A shipped task or a folder; by default the paper's six."
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many samples of each split.")]


def model_request(
    model: Model = None,
    mmproj: Mmproj = None,
    context: Context = None,
    threads: Threads = None,
    gpu_layers: GpuLayers = None,
    rpc: Rpc = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ModelRequest:
    """Which model, and how it is loaded."""
    from tvcli.engine.protocol import Settings
    from tvcli.engine.rpc import parse_endpoints
    from tvcli.models.opening import ModelRequest

    servers = parse_endpoints(rpc or [])
    return ModelRequest(model, mmproj, Settings(context, threads, gpu_layers, servers, out.loading), out.meter)


@dataclass(frozen=True)
class Asking:
    """Queries, how long their answers may get, and how they are printed."""

    images: list[str]
    images_from: str | None
    null: bool  # ends the names in that file, instead of a newline
    texts: list[str]
    queries: str | None
    modality: str
    decoding: Decoding
    json: bool

    @property
    def sources(self) -> list[str | None]:
        """What may be standard input."""
        return [*self.images, self.images_from, self.queries]


def asking(
    image: Images = None,
    images_from: ImagesFrom = None,
    null: Null = False,
    text: Texts = None,
    queries: Queries = None,
    modality: Modality = "text",
    max_tokens: MaxTokens = 16,
    multiline: Multiline = False,
    json: Json = False,
) -> Asking:
    """What to ask."""
    from tvcli.engine.protocol import Decoding

    decoding = Decoding(max_tokens, not multiline)
    return Asking(image or [], images_from, null, text or [], queries, modality, decoding, json)
