"""The file of ``tv doctor --bundle``: what a bug report needs to know of a model, of this machine and of the checks.

Nothing in it identifies the owner of the machine or of the model. What is taken from a model's files is listed here:
keys with numbers, some keys with words, tensors; no other text. Texts of others are masked (`private`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gguf.constants import GGMLQuantizationType, GGUFValueType

from tvcli.doctor import private
from tvcli.doctor.checks import Check, Finding, Repairs, Speed, Subject, verdict
from tvcli.doctor.machine import Machine, Software
from tvcli.doctor.private import MASK, Mask
from tvcli.engine.gguf.checked import ADAPTER, MMPROJ, MODEL, checked
from tvcli.engine.gguf.checks import gguf_digest
from tvcli.engine.gguf.header import Header, HeaderError, Tensor, Value, read_header
from tvcli.engine.gguf.parts import all_parts
from tvcli.engine.protocol import ImageTokens, Token
from tvcli.errors import UnavailableError, reason
from tvcli.models.catalog import FAKE, OnHub, shipped, wanted_model
from tvcli.models.opening import ModelRequest
from tvcli.models.resolve import describe

FORMAT = 1
LOG_LINES = 80  # the last ones of llama.cpp's log, without repetitions
NUMBERS = ("clip.", "split.", "tokenizer.ggml.", "adapter.lora.")  # keys that start so, and the architecture's own
GENERAL = ("general.file_type", "general.quantization_version", "general.alignment")
WORDS = (
    *("general.architecture", "general.type", "tokenizer.ggml.model", "tokenizer.ggml.pre", "adapter.type"),
    *("clip.projector_type", "clip.vision.projector_type", "clip.audio.projector_type"),
    "clip.vision.mm_patch_merge_type",
)
TEMPLATE = "tokenizer.chat_template"
KEY = re.compile(r"[a-z0-9_]{1,40}(?:\.[a-z0-9_]{1,40}){0,5}")
WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")
TENSOR = re.compile(r"[A-Za-z0-9_.-]+")
BLOCK = re.compile(r"(?<=blk\.)(\d+)(?=\.)")
# lines of llama.cpp's log that quote a file's metadata
QUOTING = re.compile(r" - kv |general\.|model name|description")


@dataclass(frozen=True)
class _File:
    """A GGUF file of the model, with the headers of all its parts, or what is wrong with them."""

    path: Path
    headers: tuple[Header, ...] = ()
    problem: str = ""

    @property
    def kind(self) -> str:
        """MODEL, MMPROJ or ADAPTER, by what it says of itself; an empty string for a file that cannot be read."""
        if not self.headers:
            return ""
        first = self.headers[0]
        if first.text("general.architecture") == "clip" or first.text("general.type") == "mmproj":
            return MMPROJ
        return ADAPTER if first.text("general.type") == "adapter" else MODEL


def bundle(request: ModelRequest, findings: Sequence[Finding], log: Sequence[str] = ()) -> dict[str, object]:
    """What to report of these findings about a model; `log` is llama.cpp's.

    Reads the model's files, and hashes those that were not hashed before.
    """
    files = [_read(path) for path in _paths(request)]
    mask = private.masking(_private_words(request, files))
    checks = [finding for finding in findings if isinstance(finding, Check)]
    return {
        "bundle": FORMAT,
        "verdict": mask(verdict(checks)),
        **_machine(findings, mask),
        "model": {"from": _origin(request), **_subject(findings), **_settings(request)},
        "checks": [{"name": one.name, "healthy": one.healthy, "detail": mask(one.detail)} for one in checks],
        "speed": _speed(findings),
        "files": [_about(file, request, mask) for file in files],
        "log": _last_lines(log, mask),
    }


def as_text(record: Mapping[str, object]) -> str:
    """A bundle as JSON, with lists of numbers on one line."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    return re.sub(r"\[[\s\d.,eE+-]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text) + "\n"


# -- the files ------------------------------------------------------------------------------------------------


def _paths(request: ModelRequest) -> list[Path]:
    """The GGUF files of the model that are on this machine; nothing is fetched."""
    try:
        found = request.files_here()
    except UnavailableError:
        found = None
    paths = request.own_files() if found is None else [found.text, found.vision, *(one.path for one in found.loras)]
    given = [lora.path for lora in request.loras] if found is not None else []
    return [path for path in (*paths, *given) if path is not None and _is_file(path)]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a folder that may not be read, a NUL character in the name
        return False


def _read(path: Path) -> _File:
    try:
        return _File(path, tuple(read_header(part) for part in all_parts(path)))
    except HeaderError as error:
        return _File(path, problem=f"the file {error}")
    except OSError as error:
        return _File(path, problem=f"a file cannot be read: {reason(error)}")


def _about(file: _File, request: ModelRequest, mask: Mask) -> dict[str, object]:
    sizes = [part.stat().st_size for part in all_parts(file.path) if part.is_file()]
    known = {"kind": file.kind or "unknown", "parts": len(sizes), "bytes": sum(sizes), "digest": _digest(file, request)}
    if not file.headers:
        return known | {"problem": mask(file.problem)}
    first = file.headers[0]
    shown = {key: _shown(key, value) for key, value in first.keys.items() if _is_public(key, value, first)}
    template = first.text(TEMPLATE).encode()
    return known | {
        "metadata": shown,
        "other keys": len(first.keys) - len(shown),
        "chat template": {"bytes": len(template), "sha256": hashlib.sha256(template).hexdigest()} if template else None,
        "tensors": _tensors({name: tensor for header in file.headers for name, tensor in header.tensors.items()}),
    }


def _digest(file: _File, request: ModelRequest) -> str:
    """See `gguf_digest`; an empty string for what cannot be read."""
    try:
        return checked(file.path, file.kind or MODEL, request.settings.progress).digest
    except UnavailableError:  # a check that the file does not pass
        try:
            return gguf_digest([part for part in all_parts(file.path) if part.is_file()], request.settings.progress)
        except OSError:
            return ""


def _is_public(key: str, value: Value, header: Header) -> bool:
    """Whether a key's value says something of the model's form: numbers, some words, and how long lists are."""
    own = f"{header.text('general.architecture')}."
    if key == f"{own}rope.scaling.type" or key in WORDS:
        return value.kind == GGUFValueType.STRING and value.length is None
    of_the_form = key in GENERAL or key.startswith((*NUMBERS, own))
    return bool(of_the_form and KEY.fullmatch(key) and (value.kind != GGUFValueType.STRING or value.length is not None))


def _shown(key: str, value: Value) -> object:
    """A number or word, a list of numbers, or of other lists only how many there are."""
    if value.length is not None:
        is_long = value.kind == GGUFValueType.STRING or len(value.data) < value.length or key.startswith("tokenizer.")
        return f"{value.length} of {value.kind.name.lower()}" if is_long else list(map(_number, value.data))
    if value.kind == GGUFValueType.STRING:
        return value.data if WORD.fullmatch(value.data) else MASK
    return _number(value.data)


def _number(number: float) -> object:
    """The number, as text where JSON has none."""
    return number if math.isfinite(number) else str(number)


def _tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Shape in ggml's order, type and layers of each tensor, those of the same name in other layers together."""
    layers: dict[tuple[str, str], list[int]] = {}
    for name, tensor in tensors.items():
        found = BLOCK.search(name)
        shared = BLOCK.sub("*", name) if TENSOR.fullmatch(name) else MASK
        form = f"{' × '.join(map(str, tensor.shape))}, {_type(tensor.kind)}"
        layers.setdefault((shared, form), []).extend([int(found[1])] if found else [])
    forms: dict[str, list[str]] = {}
    for (name, form), numbers in layers.items():
        forms.setdefault(name, []).append(f"{form}, layers {', '.join(_ranges(numbers))}" if numbers else form)
    return {name: "; ".join(shapes) for name, shapes in forms.items()}


def _type(kind: int) -> str:
    try:
        return str(GGMLQuantizationType(kind).name)
    except ValueError:
        return f"type {kind}"


def _ranges(numbers: Iterable[int]) -> Iterator[str]:
    """ "0-3" and "7" for 0, 1, 2, 3 and 7."""
    ordered = sorted(set(numbers))
    starts = [number for number in ordered if number - 1 not in ordered]
    ends = [number for number in ordered if number + 1 not in ordered]
    for start, end in zip(starts, ends, strict=True):
        yield f"{start}-{end}" if end > start else str(start)


# -- the findings ---------------------------------------------------------------------------------------------


def _machine(findings: Sequence[Finding], mask: Mask) -> dict[str, object]:
    """Versions, system and devices, as far as they were found out."""
    record: dict[str, object] = {}
    for finding in findings:
        if isinstance(finding, Software):
            record |= {"versions": finding.versions, "system": mask(finding.system), "processor": finding.processor}
        elif isinstance(finding, Machine):
            devices = [
                {**asdict(device), "name": mask(device.name), "description": mask(device.description)}
                for device in finding.devices
            ]
            record |= {"llama.cpp": finding.library, "kernels": finding.kernels, "features": finding.features}
            record |= {"memory": finding.memory_total, "free memory": finding.memory_free, "devices": devices}
    return record


def _subject(findings: Sequence[Finding]) -> dict[str, object]:
    """What the loaded model is, without its name."""
    record: dict[str, object] = {}
    for finding in findings:
        if isinstance(finding, Subject):
            model = finding.model
            record |= {"architecture": model.architecture, "layers": model.n_layer, "width": model.n_embd}
            record |= {"quantization": model.quantization, "digest": model.digest, "vision": finding.vision}
            record |= {"buffers": list(dict.fromkeys(finding.buffers))}
            record |= {"queries": {kind: " ".join(map(_token, tokens)) for kind, tokens in finding.tokens.items()}}
        elif isinstance(finding, Repairs):
            record |= {"repairs": finding.sentences}
    return record


def _speed(findings: Sequence[Finding]) -> dict[str, float] | None:
    """In tokens per second."""
    found = [asdict(finding) for finding in findings if isinstance(finding, Speed)]
    return {name: round(value, 1) for name, value in found[0].items()} if found else None


def _token(piece: Token | ImageTokens) -> str:
    return f"{piece.text!r}:{piece.id}" if isinstance(piece, Token) else f"({piece.count} image tokens)"


def _settings(request: ModelRequest) -> dict[str, object]:
    settings = request.settings
    asked = {"context": settings.context, "threads": settings.threads, "gpu layers": settings.gpu_layers}
    return {"settings": {**asked, "servers": len(settings.rpc), "adapters": [lora.scale for lora in request.loras]}}


def _origin(request: ModelRequest) -> str:
    """How the model was named: by its name if that is public, else by the kind of the name."""
    wanted = wanted_model(request.name)
    if wanted == FAKE:
        return f"{FAKE}, the model without weights"
    try:
        entry = describe(wanted)
    except UnavailableError:
        return "an unknown name"
    known = shipped()
    if entry.name in known and entry == known[entry.name]:
        return f"the catalog: {entry.name}"
    if not isinstance(entry.files, OnHub):
        return "a file"
    publishers = {one.files.repository.split("/")[0] for one in known.values() if isinstance(one.files, OnHub)}
    is_public = entry.files.repository.split("/")[0] in publishers
    return f"the hub: {wanted}" if is_public else "a repository on the hub"


def _last_lines(log: Sequence[str], mask: Mask) -> list[str]:
    """The end of a log, each line once, where it stands last."""
    lines = (mask(line.rstrip()) for line in reversed(log) if line.strip(" .") and not QUOTING.search(line))
    return list(dict.fromkeys(lines))[:LOG_LINES][::-1]


# -- what is private ------------------------------------------------------------------------------------------


def _private_words(request: ModelRequest, files: Sequence[_File]) -> Iterator[str]:
    """Words of this machine, the names of the files, and every text in them that is not shown."""
    yield from private.of_this_machine()
    yield from private.of_paths([file.path for file in files])
    yield from private.of_paths(request.own_files())
    yield from (wanted_model(request.name), _vision_from(request))
    yield from (part for server in request.settings.rpc for part in (server, server.rpartition(":")[0]))
    yield from private.of_texts(text for file in files for header in file.headers for text in _hidden(header))


def _vision_from(request: ModelRequest) -> str:
    """The folder or repository that sees for the model, if there is one."""
    try:
        return "" if wanted_model(request.name) == FAKE else describe(wanted_model(request.name)).vision_from
    except UnavailableError:
        return ""


def _hidden(header: Header) -> Iterator[str]:
    """The texts of a file that are not shown, except those that are the same as a word that is."""
    shown = {header.text(key) for key in WORDS}
    for key, value in header.keys.items():
        if isinstance(value.data, str) and key != TEMPLATE and value.data not in shown:
            yield value.data
