"""Arguments to queries and vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tvcli.cli.options import Asking
from tvcli.errors import UnavailableError, UsageError
from tvcli.images import SUFFIXES, load_image
from tvcli.output import out
from tvcli.pairs import STDIN, Query, read_queries
from tvcli.vector import TaskVector, load


def check_one_stdin(*sources: str | None) -> None:
    """Standard input can be read once."""
    if sum(source == STDIN for source in sources) > 1:
        raise UsageError("only one of the inputs can be - (standard input)")


def read_vector(source: str) -> TaskVector:
    """A vector file, or standard input for ``-``; says so if nothing is known of where it came from."""
    vector = load(sys.stdin.buffer.read(), "standard input") if source == STDIN else load(Path(source))
    if vector.provenance.model is None:
        out.note(f"{source}: it is not recorded which model this vector was read in")
    return vector


@dataclass(frozen=True)
class Queries:
    """Queries in order, and how many, `None` while a pipe is still open."""

    items: Iterator[Query]
    total: int | None


def gather(asked: Asking) -> Queries:
    """All queries: images, then texts, then those of the file.

    Raises:
        UsageError: nothing to ask.
    """
    given = [query for source in asked.images for query in _image_queries(source)]
    given += [Query.text(text) for text in asked.texts if _not_blank(text)]
    if asked.queries == STDIN:
        return Queries(_chain(given, read_queries(STDIN, asked.modality)), None)
    if asked.queries is not None:
        given += read_queries(asked.queries, asked.modality)
        if not given:
            raise UsageError(f"{asked.queries} holds no queries; write one a line")
    if not given:
        raise UsageError("nothing to ask: give --image, --text or --queries")
    return Queries(iter(given), len(given))


def _chain(given: list[Query], more: Iterator[Query]) -> Iterator[Query]:
    yield from given
    yield from more


def _not_blank(text: str) -> bool:
    if not text.strip():
        raise UsageError("--text is empty")
    return True


def _image_queries(source: str) -> list[Query]:
    if source == STDIN:
        return [Query(STDIN, lambda: load_image(sys.stdin.buffer.read(), "standard input"))]
    folder = Path(source)
    if not folder.is_dir():
        return [Query.image(folder, source)]
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UnavailableError(f"folder {source} holds no images")
    return [Query.image(path) for path in found]
