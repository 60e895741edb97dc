"""The files of one of the paper's items in the output folder: its table as Markdown and as JSON, and its plot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from tvcli import plots
from tvcli.cli.output import visible
from tvcli.files import check_not_input, replacing
from tvcli.kinds import Picture
from tvcli.paper.study import Table

MARKDOWN, RECORD, PLOT = ".md", ".json", ".svg"  # .jsonl has the answers


def check_files(folder: Path, names: Iterable[str], inputs: Sequence[Path | None]) -> None:
    """Raises UsageError if `write_files` would overwrite an input."""
    for name in names:
        for suffix in (MARKDOWN, RECORD, PLOT):
            check_not_input(folder / f"{name}{suffix}", inputs)


def write_files(folder: Path, name: str, title: str, made: Table, picture: Picture | None) -> list[Path]:
    """Write them; returns their paths. The plot is left out without matplotlib, or if the item has none."""
    texts = {
        MARKDOWN: markdown(title_of(name, title, made, picture), made),
        RECORD: json.dumps(record_of(name, title, made, picture), ensure_ascii=False, indent=1) + "\n",
    }
    for suffix, text in texts.items():
        with replacing(folder / f"{name}{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    written = [folder / f"{name}{suffix}" for suffix in texts]
    if made.draw is not None and plots.available():
        made.draw(folder / f"{name}{PLOT}")
        written.append(folder / f"{name}{PLOT}")
    return written


def title_of(name: str, title: str, made: Table, picture: Picture | None) -> str:
    """`picture` is `None` for a model that gets no images."""
    notes = [made.note, *([] if picture is None else [f"images {picture.words}"])]
    return f"{name}: {title}; {'; '.join(notes)}"


def record_of(name: str, title: str, made: Table, picture: Picture | None) -> dict[str, object]:
    """The table as one JSON object; its rows are objects too."""
    rows = [dict(zip(made.header, row, strict=True)) for row in made.rows]
    about = {"name": name, "title": title, "note": made.note, "picture": picture, "legend": made.legend}
    return {**about, "rows": rows}


def markdown(title: str, made: Table) -> str:
    """A title, the table, and its legend."""
    rule = ["---", *["---:"] * (len(made.header) - 1)]
    lines = [_line(map(_cell, made.header)), _line(rule), *(_line(map(_cell, row)) for row in made.rows)]
    return "\n\n".join(filter(None, (_text(title), "\n".join(lines), _text(made.legend)))) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """Model output and names literally, whatever Markdown or HTML they look like."""
    for character in "\\`*_<&":
        text = text.replace(character, "\\" + character)
    return visible(text)
