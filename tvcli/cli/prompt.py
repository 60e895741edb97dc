"""``tv prompt``: the same queries without a patch, to compare with."""

from __future__ import annotations

from typing import Annotated

import typer

from tvcli.cli import options


def prompt(
    image: options.Images = None,
    text: options.Texts = None,
    queries: options.Queries = None,
    modality: options.Modality = "text",
    examples: Annotated[str | None, typer.Option("--examples", "-e", help="Pairs to put before the query.")] = None,
    shots: Annotated[int, typer.Option(min=1, help="How many of the examples.")] = 5,
    seed: options.Seed = 1,
    system: Annotated[str, typer.Option(help="A text to put before everything.")] = "",
    max_tokens: options.MaxTokens = 16,
    multiline: options.Multiline = False,
    json: options.Json = False,
    model: options.Model = None,
    mmproj: options.Mmproj = None,
    context: options.Context = None,
    threads: options.Threads = None,
    gpu_layers: options.GpuLayers = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Answer queries without a vector: alone, or after examples or a system text.

    Example: tv prompt --examples pairs.txt --image flag.png
    """
    from tvcli.cli.answers import answer_all
    from tvcli.cli.inputs import check_one_stdin, gather
    from tvcli.engine.protocol import Decoding, Settings
    from tvcli.loading import open_model
    from tvcli.pairs import read_examples
    from tvcli.prompts import few_shot

    check_one_stdin(examples, queries, *(image or ()))
    pairs = read_examples(examples, modality) if examples is not None else []
    asked, total = gather(image, text, queries, modality)
    with open_model(model, mmproj, Settings(context, threads, gpu_layers)) as loaded:
        answer_all(
            loaded.engine,
            asked,
            total,
            lambda x: few_shot(x, pairs, shots=shots, seed=seed, system=system),
            [None],
            Decoding(max_tokens, not multiline),
            json=json,
        )
