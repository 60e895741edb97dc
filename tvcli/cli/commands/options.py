"""Options that several commands share, so that all spell them alike, in the groups that --help shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from tvcli.cli.commands import completion
from tvcli.kinds import Modality, Source
from tvcli.metrics import Metric

# the groups of options in --help, and two that commands word themselves
about_queries = partial(typer.Option, rich_help_panel="Queries")
about_model = partial(typer.Option, rich_help_panel="Model")
about_output = partial(typer.Option, rich_help_panel="Output")
one_layer = partial(typer.Option, "--layer", "-l", autocompletion=completion.layers)
other_model = partial(about_model, autocompletion=completion.models)


Model = Annotated[
    str | None,
    other_model("--model", "-m", help="Catalog name, owner/repo, or GGUF file; by default $TV_MODEL, else picto."),
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
Quiet = Annotated[bool, about_output("--quiet", "-q", help="Only warnings and errors.")]
Verbose = Annotated[bool, about_output("--verbose", "-v", help="Say which token and layer was touched.")]

Seed = Annotated[int, typer.Option(help="Of the random choice of examples.")]
Seeds = Annotated[str, typer.Option(help="Random choices of examples, between commas.")]
RecordModality = Annotated[Modality, typer.Option(help="Which to take where a JSON record has both.")]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task", "-T", autocompletion=completion.tasks, help="A shipped task or a folder; by default the paper's six."
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only so many samples of each split.")]


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and how it is loaded."""

    model: Model = None
    mmproj: Mmproj = None
    context: Context = None
    threads: Threads = None
    gpu_layers: GpuLayers = None
    rpc: Rpc = None


@dataclass(frozen=True)
class QueryOptions:
    """Queries, how long their answers may get, and how they are printed."""

    image: Images = None
    images_from: ImagesFrom = None
    null: Null = False  # ends the names in that file, instead of a newline
    text: Texts = None
    queries: Queries = None
    modality: RecordModality = Modality.TEXT
    max_tokens: MaxTokens = 16
    multiline: Multiline = False
    json: Json = False

    @property
    def sources(self) -> list[str | None]:
        """What may be standard input."""
        return [*(self.image or ()), self.images_from, self.queries]


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate."""

    task: Tasks = None
    source: Annotated[Source | None, typer.Option(help="What the vectors are read from; by default text.")] = None
    query: Annotated[Modality | None, typer.Option(help="Queries; by default image where the model sees.")] = None
    pairs: Annotated[Literal["one", "all"], typer.Option(help="all: text and image examples × text and image.")] = "one"
    method: Annotated[
        list[str] | None, typer.Option(help="'no context', prompt or patch; may be repeated, by default all.")
    ] = None
    seeds: Seeds = "1,2,3"
    shots: Annotated[int, typer.Option(min=2, help="Examples in a prompt.")] = 5
    prompts: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Prompts in a vector; by default one a validation sample."),
    ] = None
    metric: Annotated[Metric, typer.Option(help="One new token, or the whole label.")] = Metric.PAPER
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", help="Compare without regard to letter case, as in the paper's figure 6.")
    ] = False
    layer: Annotated[int | None, one_layer(min=0, help="Skip validation and patch here.")] = None
    wording: Annotated[str, typer.Option(help="Another wording of the instruction: question, typo, paraphrase ...")] = (
        ""
    )
    override: Annotated[bool, typer.Option("--override", help="The prompt asks the task that this one is against.")] = (
        False
    )
    chat: Annotated[bool, typer.Option("--chat", help="The model's chat template instead of Q and A.")] = False
    limit: Limit = None


@dataclass(frozen=True)
class FileOptions:
    """What an evaluation leaves on disk."""

    samples: Annotated[Path | None, about_output(help="Write every answer here, as JSON Lines.")] = None
    resume: Annotated[bool, about_output("--resume", help="Go on with a --samples file.")] = False
    vectors: Annotated[Path | None, about_output(help="Folder to keep the vectors in.")] = None
