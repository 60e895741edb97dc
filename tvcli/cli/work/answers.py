"""Answer queries one after another and print the answers: shared by `tv apply` and `tv prompt`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer

from tvcli.cli.commands.options import QueryOptions
from tvcli.cli.output import out, visible
from tvcli.cli.work.inputs import Queries
from tvcli.engine.protocol import Answer, Decoding, Engine, Patch, tail
from tvcli.errors import TvError, UnavailableError, UsageError, VectorError
from tvcli.images import Image
from tvcli.inputs.examples import Query
from tvcli.prompts.prompt import Input, Prompt


def answer_all(
    engine: Engine,
    queries: Queries,
    make_prompt: Callable[[Input], Prompt],
    patches: Sequence[Patch | None],
    query_options: QueryOptions,
) -> None:
    """Print one line per answer, in order; of several queries, one that cannot be answered is named, skipped, counted.

    Each query runs alone: its answer does not depend on the other queries.
    """
    failed: list[TvError] = []
    decoding = Decoding(query_options.max_tokens, stop_at_newline=not query_options.multiline)

    def skip(query: Query, error: TvError) -> None:
        if not queries.several:
            raise error
        failed.append(error)
        out.error(_named(error, query))

    for query in out.progress(queries.items, queries.total, "answered"):
        try:
            query_input = query.load()
        except TvError as error:
            skip(query, error)
            continue
        _check_encodable(engine, query_input)
        try:
            prompt = make_prompt(query_input)
            describe(engine, query.name, prompt, patches)
            answers = engine.answer([prompt], patches, decoding)[0]
        except VectorError:  # not an error of this query alone
            raise
        except TvError as error:
            skip(query, error)
            continue
        finally:
            if not isinstance(query_input, str):
                engine.forget(query_input)
        for patch, answer in zip(patches, answers, strict=True):
            if query_options.json:
                out.record(_record(query.name, prompt, patch, answer))
            else:
                layers = [str(patch.layer)] if patch is not None and len(patches) > 1 else []
                out.line(*([query.name] if queries.several else []), *layers, answer.text.strip())
    if failed:
        were = "were" if len(failed) > 1 else "was"
        out.error(f"{len(failed)} of the queries could not be answered and {were} skipped")
        raise typer.Exit(UnavailableError.exit_code)


def _check_encodable(engine: Engine, query_input: Input) -> None:
    """Raises UsageError for an image if the model has no image encoder: every other image would fail too."""
    if isinstance(query_input, Image) and not engine.has_vision:
        raise UsageError(f"the model {engine.model.name} has no image encoder; add `mmproj`")


def _named(error: TvError, query: Query) -> str:
    """The error's message, with the query that it is about."""
    name, message = query.name.strip() or repr(query.name), str(error)
    return ": ".join([*filter(None, [query.where]), *([] if name in message else [name]), message])


def describe(engine: Engine, name: str, prompt: Prompt, patches: Sequence[Patch | None]) -> None:
    """With --verbose: the token pieces around the delimiter, and which layers are overwritten there."""
    if not out.verbose:
        return
    used = sorted((patch for patch in patches if patch is not None), key=lambda patch: patch.layer)
    what = f"{used[0].operation.doing} layer {_span([patch.layer for patch in used])} at" if used else "no patch;"
    out.detail(f"{name}: {what} the delimiter {pieces(engine, prompt)}")


def pieces(engine: Engine, prompt: Prompt) -> str:
    """The last tokens of a prompt, the delimiter in brackets with its id."""
    *before, delimiter = tail(engine, prompt, 6)
    return f"…{'|'.join(visible(token.text) for token in before)}|[{delimiter.text}] (token {delimiter.id})"


def _span(layers: Sequence[int]) -> str:
    return str(layers[0]) if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"


def _record(name: str, prompt: Prompt, patch: Patch | None, answer: Answer) -> dict[str, Any]:
    return {
        "input": name,
        "kind": "image" if prompt.images else "text",
        "layer": None if patch is None else patch.layer,
        "answer": answer.text.strip(),
        "tokens": list(answer.tokens),
        "margin": round(answer.margin, 4),
    }
