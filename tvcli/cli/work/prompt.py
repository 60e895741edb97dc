"""``tv prompt``: the same queries without a patch, to compare with."""

from __future__ import annotations

from tvcli.cli.commands.options import ModelOptions, QueryOptions
from tvcli.cli.work.answers import answer_all
from tvcli.cli.work.inputs import check_one_stdin, gather
from tvcli.cli.work.opening import model_request
from tvcli.inputs.examples import read_examples
from tvcli.prompts.prompt import few_shot


def run(
    query_options: QueryOptions,
    model_options: ModelOptions,
    examples: str | None,
    *,
    shots: int,
    seed: int,
    system: str,
) -> None:
    request = model_request(model_options)
    check_one_stdin(examples, *query_options.sources)
    pairs = read_examples(examples, query_options.modality) if examples is not None else []
    queries = gather(query_options)
    with request.open() as loaded:
        answer_all(
            loaded.engine,
            queries,
            lambda x: few_shot(x, pairs, shots=shots, seed=seed, system=system),
            [None],
            query_options,
        )
