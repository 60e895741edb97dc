"""``tv prompt``: the same queries without a patch, to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tvcli.cli import options
from tvcli.cli.bundle import bundle

if TYPE_CHECKING:
    from tvcli.models.opening import ModelRequest


@bundle(asked=options.asking, request=options.model_request)
def prompt(
    asked: options.Asking,
    request: ModelRequest,
    examples: Annotated[str | None, typer.Option("--examples", "-e", help="Pairs to put before the query.")] = None,
    shots: Annotated[int, typer.Option(min=1, help="How many of the examples.")] = 5,
    seed: options.Seed = 1,
    system: Annotated[str, typer.Option(help="A text to put before everything.")] = "",
) -> None:
    """Answer queries without a vector: alone, or after examples or a system text.

    Examples:
        tv prompt --image flag.png
        tv prompt --examples pairs.txt --shots 3 --image flags/*.png
        tv prompt --system "Answer in one word." --queries queries.txt
    """
    from tvcli.cli.answers import answer_all
    from tvcli.cli.inputs import check_one_stdin, gather
    from tvcli.inputs.examples import read_examples
    from tvcli.prompts.prompt import few_shot

    check_one_stdin(examples, *asked.sources)
    pairs = read_examples(examples, asked.modality) if examples is not None else []
    queries = gather(asked)
    with request.open() as loaded:
        answer_all(
            loaded.engine,
            queries,
            lambda x: few_shot(x, pairs, shots=shots, seed=seed, system=system),
            [None],
            asked,
        )
