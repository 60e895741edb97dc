"""``tv prompt``: the same queries without a patch, to compare with."""

from __future__ import annotations

from tvcli.cli.commands.options import ModelOptions, QueryOptions
from tvcli.cli.output import out
from tvcli.cli.work.answers import answer_all
from tvcli.cli.work.inputs import check_one_stdin, gather, given_text
from tvcli.cli.work.opening import model_request
from tvcli.cli.work.planning import chat_template
from tvcli.inputs.examples import read_examples
from tvcli.prompts.prompt import QA, Example, Input, Prompt, Template, few_shot, others_than


def run(
    query_options: QueryOptions,
    model_options: ModelOptions,
    examples: str | None,
    *,
    shots: int,
    seed: int,
    system: str,
    chat: bool,
) -> None:
    request = model_request(model_options)
    check_one_stdin(examples, *query_options.sources)
    pairs = read_examples(examples, query_options.modality) if examples is not None else []
    queries = gather(query_options)
    system = given_text(system, "--system") if system else ""
    fewest = shots

    def make_prompt(x: Input, template: Template) -> Prompt:
        nonlocal fewest
        if pairs and (count := len(others_than(x, pairs))) < fewest:
            fewest = count
            out.note(_too_few(pairs, count, shots))
        return few_shot(x, pairs, shots=shots, seed=seed, system=system, template=template)

    with request.open() as loaded:
        template = chat_template(loaded) if chat else QA
        answer_all(
            loaded.engine,
            queries,
            lambda x: make_prompt(x, template),
            [None],
            query_options,
        )


def _too_few(pairs: list[Example], count: int, shots: int) -> str:
    own = len(pairs) - count
    repeats = f", of which {own} repeat{'s' * (own == 1)} the query" if own else ""
    return f"only {len(pairs)} examples{repeats}: {count} shots per prompt instead of {shots}"
