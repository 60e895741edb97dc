"""Options that several commands share, in the groups that --help shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from tvcli.cli.commands import completion
from tvcli.kinds import Modality, Picture, Source
from tvcli.metrics import Metric

# the groups of options in --help, and two options whose help each command writes
about_queries = partial(typer.Option, rich_help_panel="Queries")
about_model = partial(typer.Option, rich_help_panel="Model")
about_output = partial(typer.Option, rich_help_panel="Output")
one_layer = partial(typer.Option, "--layer", "-l", autocompletion=completion.layers)
other_model = partial(about_model, autocompletion=completion.models)


Model = Annotated[
    str | None,
    other_model("--model", "-m", help="Catalog name, owner/repo, or GGUF file; by default $TV_MODEL, else picto."),
]
Mmproj = Annotated[Path | None, about_model(help="The mmproj file (image encoder) of the model file.")]
Context = Annotated[int | None, about_model(min=256, max=1 << 24, help="Size of the context in tokens.")]
Threads = Annotated[int | None, about_model(min=1, max=512, help="Processor threads.")]
GpuLayers = Annotated[int | None, about_model(min=0, max=1 << 16, help="Layers on a GPU; all by default, 0 for none.")]
Rpc = Annotated[
    list[str] | None,
    about_model("--rpc", metavar="HOST:PORT", help="A llama.cpp rpc-server to put layers on; may be repeated."),
]
PictureOption = Annotated[
    Picture | None,
    about_model(
        "--picture",
        help="Images at full size (model), or as in the paper's code (paper; the default of tv paper and tv report).",
    ),
]

Loras = Annotated[
    list[str] | None,
    about_model("--lora", metavar="FILE[:SCALE]", help="A LoRA adapter (GGUF) of the model; may be repeated."),
]

Images = Annotated[
    list[str] | None,
    about_queries(
        "--image", "-i", help="Image files, a folder of them, - for one on stdin, or image tokens (.npy, .npz)."
    ),
]
ImagesFrom = Annotated[str | None, about_queries(help="File of image names, one per line; - for stdin.")]
Null = Annotated[bool, about_queries("--null", "-0", help="Names end in NUL, as find -print0 writes them.")]
Texts = Annotated[list[str] | None, about_queries("--text", "-t", help="A text query; may be repeated.")]
Queries = Annotated[str | None, about_queries(help="File of queries, one per line, @path for images; - for stdin.")]
MaxTokens = Annotated[int, about_output("--max-tokens", "-n", min=1, help="Maximum length of an answer, in tokens.")]
Multiline = Annotated[bool, about_output("--multiline", help="Continue after the first newline.")]

VectorFile = Annotated[str, typer.Argument(autocompletion=completion.vectors, help="A vector file, or - for stdin.")]
VectorFiles = Annotated[
    list[str], typer.Argument(autocompletion=completion.vectors, help="Vector files; one of them may be - for stdin.")
]
VectorOutput = Annotated[
    str,
    about_output(
        "--output", "-o", autocompletion=completion.vectors, help="The vector file to write, or - for stdout."
    ),
]
Plot = Annotated[Path | None, about_output(help="Draw a plot: .png, .svg or .pdf (needs the extra plots).")]
Json = Annotated[bool, about_output("--json", help="One JSON object per line.")]
Quiet = Annotated[bool, about_output("--quiet", "-q", help="Only warnings and errors.")]
Verbose = Annotated[bool, about_output("--verbose", "-v", help="Print which token and layer is read or patched.")]

Seed = Annotated[int, typer.Option(help="Seed for choosing examples.")]
Seeds = Annotated[str, typer.Option(help="Comma-separated seeds for choosing examples.")]
RecordModality = Annotated[Modality, typer.Option(help="Which modality to take if a JSON record has both.")]
Chat = Annotated[bool, typer.Option("--chat", help="Use the model's chat template instead of Q and A.")]
Judge = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="A command that judges every answer: it reads JSON Lines, and writes a verdict per line.",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        "-T",
        autocompletion=completion.tasks,
        help="A shipped task or a folder; by default the paper's six tasks.",
    ),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Ask at most this many samples of each split; prompts keep their shots.")
]
OneLayer = Annotated[
    bool,
    typer.Option(
        "--one-layer",
        help="Patch at the layer of table 2 in other tables too, but for table 4; by default each chooses its own.",
    ),
]


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and how it is loaded."""

    model: Model = None
    mmproj: Mmproj = None
    context: Context = None
    threads: Threads = None
    gpu_layers: GpuLayers = None
    rpc: Rpc = None
    lora: Loras = None


@dataclass(frozen=True)
class ImageModelOptions(ModelOptions):
    """The same for commands in which a model can get images."""

    picture: PictureOption = None


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
    def may_have_images(self) -> bool:
        return bool(self.image or self.images_from or self.queries)

    @property
    def sources(self) -> list[str | None]:
        """The arguments that may name standard input."""
        return [*(self.image or ()), self.images_from, self.queries]


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate."""

    task: Tasks = None
    source: Annotated[Source | None, typer.Option(help="What the vectors are read from; by default text.")] = None
    query: Annotated[
        Modality | None,
        typer.Option(help="Modality of the queries; by default image if the model has an image encoder."),
    ] = None
    pairs: Annotated[
        Literal["one", "all"], typer.Option(help="all: text and image examples × text and image queries.")
    ] = "one"
    method: Annotated[
        list[str] | None, typer.Option(help="'no context', prompt or patch; may be repeated, by default all.")
    ] = None
    seeds: Seeds = "1,2,3"
    shots: Annotated[int, typer.Option(min=2, help="Examples per prompt.")] = 5
    prompts: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Prompts per vector; by default one per validation sample."),
    ] = None
    metric: Annotated[Metric, typer.Option(help="paper compares one new token, exact the whole label.")] = Metric.PAPER
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", help="Ignore letter case, as in the paper's figure 6.")
    ] = False
    judge: Judge = None
    layer: Annotated[int | None, one_layer(min=0, help="Skip validation and patch this layer.")] = None
    wording: Annotated[str, typer.Option(help="Another wording of the instruction: question, typo, paraphrase ...")] = (
        ""
    )
    override: Annotated[
        bool, typer.Option("--override", help="Put the competing task's instruction in the prompt.")
    ] = False
    chat: Chat = False
    limit: Limit = None


@dataclass(frozen=True)
class FileOptions:
    """Files that an evaluation writes."""

    samples: Annotated[Path | None, about_output(help="Write every answer to this file, as JSON Lines.")] = None
    resume: Annotated[bool, about_output("--resume", help="Continue an interrupted --samples file.")] = False
    vectors: Annotated[Path | None, about_output(help="Folder to save the vectors in.")] = None
