"""``tv models``: list, describe, fetch and add models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from tvcli.cli.output import out
from tvcli.engine.gguf.checks import check_gguf
from tvcli.engine.gguf.repair import repair
from tvcli.errors import UnavailableError, UsageError
from tvcli.files import byte_size
from tvcli.models import resolve
from tvcli.models.catalog import Entry, OnHub, catalog, register
from tvcli.models.resolve import ModelFiles, describe, is_here, on_disk, present, size
from tvcli.models.vision_half.files import checked_source

REPAIRS = "image tokens"
ORDERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "name": lambda facts: facts["name"],
    "size": lambda facts: (facts["bytes"] is None, facts["bytes"]),  # unknown sizes last
    "architecture": lambda facts: (not facts["architecture"], facts["architecture"]),
}


def list_all(text: str | None, *, sees: bool, here: bool, sort: str, json: bool) -> None:
    broken: list[UnavailableError] = []
    every = [_facts(entry) for entry in catalog(broken).values() if text is None or _contains(entry, text)]
    listed = [facts for facts in every if (facts["sees"] or not sees) and (facts["here"] or not here)]
    if not listed:
        out.note("no model matches")
    _print_list(sorted(listed, key=ORDERS[sort]), json=json)
    for error in broken:
        out.error(str(error))
    if broken:
        raise typer.Exit(UnavailableError.exit_code)


def _contains(entry: Entry, text: str) -> bool:
    """Whether the name, the description or the architecture contains the text, in any letter case."""
    return any(text.casefold() in words.casefold() for words in (entry.name, entry.description, entry.architecture))


def _print_list(listed: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        for facts in listed:
            out.record(facts)
        return
    rows = [
        [
            facts["name"],
            byte_size(facts["bytes"]) if facts["bytes"] else "",
            "yes" if facts["here"] else "",
            "yes" if facts["sees"] else "",
            facts["license"],
            facts["description"],
        ]
        for facts in listed
    ]
    out.table("", ["model", "size", "on disk", "sees", "license", "description"], rows)


def info(name: str, quant: str | None, *, json: bool) -> None:
    facts = _facts(describe(name, quant))
    if json:
        out.record(facts)
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            for inner, fact in value.items():
                if fact is not None:
                    out.line(f"{key}: {inner}", _in_words(fact))
        elif key == REPAIRS:
            for sentence in value:
                out.line(key, sentence)
        elif value not in (None, "", []):
            out.line(key, ", ".join(value) if isinstance(value, list) else str(value))


def pull(name: str, quant: str | None, *, verify: bool, json: bool) -> None:
    entry = describe(name, quant)
    if verify and not isinstance(entry.files, OnHub):
        raise UsageError(f"--verify needs a model on the hub; {name} is not one")
    _print_paths(resolve.pull(entry, verify=verify, meter=out.meter), json=json)


def path(name: str, quant: str | None, *, json: bool) -> None:
    files = present(describe(name, quant))
    if files is None:
        raise UnavailableError(f"the model {name} is not on this machine; run: tv models pull {name}")
    _print_paths(files, json=json)


def add(file: Path, mmproj: Path | None, name: str | None, vision_from: str | None) -> None:
    if mmproj is not None and vision_from is not None:
        raise UsageError("give one of --mmproj and --vision-from")
    for given in filter(None, (file, mmproj)):
        check_gguf(given)
    chosen = file.stem if name is None else name
    written = register(chosen, file, mmproj, "" if vision_from is None else checked_source(vision_from))
    out.note(f"added {chosen} ({file.resolve()}); delete {written} to remove it")


def _print_paths(files: ModelFiles, *, json: bool) -> None:
    if json:
        vision = None if files.vision is None else str(files.vision)
        out.record({"name": files.name, "text": str(files.text), "vision": vision})
        return
    out.line(str(files.text))
    if files.vision is not None:
        out.line(str(files.vision))
    if files.half is not None:
        out.line(str(files.half.folder))


def _facts(entry: Entry) -> dict[str, Any]:
    """What `tv models info` prints, in order, without unknown facts."""
    facts = asdict(entry)
    facts["files"] = {key: str(v) if isinstance(v, Path) else v for key, v in facts["files"].items()}
    if isinstance(entry.files, OnHub):
        facts["page"] = f"https://huggingface.co/{entry.files.repository}"
    if entry.layer is not None:
        facts["layer"] = f"{entry.layer.suggested} ({entry.layer.source})"
    facts["one_image"] = entry.one_image or None
    facts["sees"] = entry.sees
    facts["here"] = is_here(entry)
    facts["bytes"] = size(entry)
    facts[REPAIRS] = _repairs(entry)
    facts["unverified"] = entry.unverified()
    return facts


def _repairs(entry: Entry) -> list[str]:
    """What tv changes in llama.cpp's image tokens, if the mmproj is on this machine and can be read."""
    with suppress(UnavailableError):
        files = on_disk(entry)
        if files is not None and files.vision is not None:
            return repair(check_gguf(files.vision)).sentences()
    return []


def _in_words(fact: Any) -> str:
    """A file's table as "its name, size 123", packages as "install NAME, 4 parts", anything else as it is."""
    if not isinstance(fact, dict):
        return str(fact)
    words = {"file": lambda v: str(v), "parts": lambda v: f"{len(v)} parts"}
    return ", ".join(words[key](v) if key in words else f"{key} {v}" for key, v in fact.items() if v)
