"""Read queries and vectors from arguments, and write vectors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvcli.cli.commands.options import QueryOptions
from tvcli.cli.output import out
from tvcli.errors import UnavailableError, UsageError
from tvcli.files import check_not_input, check_target, read_standard_input, standard_input_is_file
from tvcli.images import SUFFIXES, AnyImage, load_any
from tvcli.inputs.examples import Query, read_image_names, read_queries
from tvcli.inputs.lines import STDIN
from tvcli.inputs.tasks import SAMPLES, Task
from tvcli.text import clean
from tvcli.vector import TaskVector, load, save, to_bytes

STDOUT = "-"
COMPANIONS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})  # of Windows and macOS
MOST_NAMES = 5


def check_one_stdin(*sources: str | None) -> None:
    """Raises UsageError unless at most one source is standard input, which can be read once."""
    if sum(source == STDIN for source in sources) > 1:
        raise UsageError("only one of the inputs can be - (standard input)")


def read_vector(source: str) -> TaskVector:
    """A vector file, or standard input for ``-``; prints a note if its model is unknown."""
    vector = load(read_standard_input("a vector"), "standard input") if source == STDIN else load(Path(source))
    if vector.provenance.model is None:
        out.note(f"{source}: the model of this vector is not recorded")
    return vector


def check_output(output: str, *inputs: str | Path | None) -> None:
    """Check before the work starts, unless it is standard output; `inputs` are files that must not be overwritten.

    Raises what `files.check_target` and `files.check_not_input` do.
    """
    if output != STDOUT:
        check_target(Path(output))
        check_not_input(Path(output), map(input_file, inputs))


def input_file(source: str | Path | None) -> Path | None:
    """The file that an argument names; for standard input, the one that the shell opened (``< pairs.txt``)."""
    return None if source is None else Path("/dev/stdin" if source == STDIN else source)


def task_files(tasks: Sequence[Task]) -> Iterator[Path]:
    """The files that the tasks consist of."""
    for task in tasks:
        yield from (task.folder / "task.toml", task.folder / SAMPLES)
        yield from (sample.image for sample in (*task.validation, *task.test) if sample.image is not None)


def place(output: str) -> str:
    """What to call it."""
    return "standard output" if output == STDOUT else output


def write_vector(vector: TaskVector, output: str) -> str:
    """Write a vector file, or to standard output for ``-``; returns the name of the destination."""
    if output == STDOUT:
        out.binary(to_bytes(vector))
    else:
        save(vector, Path(output))
    return place(output)


@dataclass(frozen=True)
class Queries:
    """Queries in order, their number (`None` for a pipe that may stay open), and whether answers are printed with
    the names of their queries, as always for standard input."""

    items: Iterator[Query]
    total: int | None
    several: bool


def gather(query_options: QueryOptions) -> Queries:
    """All queries: images, texts, then those of the files.

    Raises:
        UsageError: no queries.
    """
    if query_options.null and query_options.images_from is None:
        raise UsageError("--null needs --images-from")
    given = [query for source in query_options.image or () for query in _image_queries(source)]
    given += [Query.text(given_text(text, "--text")) for text in query_options.text or ()]
    names = (
        ()
        if query_options.images_from is None
        else read_image_names(query_options.images_from, null=query_options.null)
    )
    listed = () if query_options.queries is None else read_queries(query_options.queries, query_options.modality)
    streamed = STDIN in (query_options.images_from, query_options.queries)
    if streamed and not standard_input_is_file():
        return Queries(itertools.chain(given, names, listed), None, several=True)
    given += [*names, *listed]
    if streamed:
        return Queries(iter(given), len(given), several=True)
    if not given and query_options.images_from is None and query_options.queries is None:
        raise UsageError("no queries: give --image, --text or --queries")
    if not given:
        raise UsageError(
            f"{query_options.images_from or query_options.queries} contains no queries; write one per line"
        )
    return Queries(iter(given), len(given), several=len(given) > 1)


def check_folder(option: str, folder: Path | None) -> None:
    """Raises UsageError for ``-``, which elsewhere is standard output."""
    if folder is not None and str(folder) == STDOUT:
        raise UsageError(f"{option} cannot be standard output; name a file or folder")


def given_text(text: str, option: str) -> str:
    """The text of an option as those of files are read. Raises UsageError if nothing is left, or it is no text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{option} holds bytes that are not UTF-8 text: {text!r}") from error
    text = clean(text)
    if not text:
        raise UsageError(f"{option} is empty")
    return text


def _image_queries(source: str) -> list[Query]:
    if source == STDIN:
        return [Query(STDIN, lambda: read_image(STDIN))]
    folder = Path(source)
    return _images_of(folder) if folder.is_dir() else [Query.image(folder, source)]


def read_image(source: str) -> AnyImage:
    """An image, or standard input for ``-``."""
    if source == STDIN:
        return load_any(read_standard_input("an image"), "standard input")
    return load_any(Path(source), source)


def _images_of(folder: Path) -> list[Query]:
    """The images of a folder by name; notes which other files are left out, except hidden and system files."""
    own = [path for path in sorted(folder.iterdir()) if path.name[0] != "." and path.name.lower() not in COMPANIONS]
    folders = [path for path in own if path.is_dir()]
    found = [path for path in own if path not in folders and path.suffix.lower() in SUFFIXES]
    others = [path for path in own if path not in folders and path not in found]
    if not found:
        but = f", but {_names(others)}; convert these to PNG or JPEG" if others else ""
        raise UnavailableError(f"folder {folder} contains no images{but}")
    for some, kind in ((others, "other file"), (folders, "folder")):
        if some:
            many = "s" if len(some) > 1 else ""
            out.note(f"{len(some)} {kind}{many} of {folder} {'were' if many else 'was'} left out: {_names(some)}")
    return [Query.image(path) for path in found]


def _names(paths: Sequence[Path]) -> str:
    return ", ".join([*(path.name for path in paths[:MOST_NAMES]), *(["…"] if len(paths) > MOST_NAMES else [])])
