"""``tv doctor``: checks of this machine and a model, as text for a bug report."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path

import typer

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out, visible
from tvcli.cli.work.inputs import check_folder
from tvcli.cli.work.opening import model_request
from tvcli.doctor.checks import Check, Finding, Repairs, Speed, Subject, diagnose, verdict
from tvcli.doctor.machine import Machine, Software
from tvcli.engine.protocol import ImageTokens, Token
from tvcli.errors import UsageError
from tvcli.files import byte_size, check_not_input, check_target, replacing
from tvcli.models.opening import ModelRequest


def run(model_options: ModelOptions, name: str | None, bundle: Path | None, *, json: bool) -> None:
    request = model_request(_named(model_options, name))
    _check_bundle(bundle, request)
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        log = None if bundle is None else Path(folder) / "log"
        with out.meter(None, "forward passes") as step:
            for finding in diagnose(request, step, log):
                findings.append(finding)
                for line in describe(finding) if not json else ():
                    out.line(line)
        if bundle is not None and log is not None:
            _write(bundle, request, findings, log)
    checks = [finding for finding in findings if isinstance(finding, Check)]
    said = verdict(checks)
    if json:
        out.record({**as_record(findings), "healthy": all(check.healthy for check in checks), "verdict": said})
    else:
        out.line(f"verdict: {said}")
    for check in checks:
        if not check.healthy:
            raise typer.Exit(check.exit_code)


def _named(model_options: ModelOptions, name: str | None) -> ModelOptions:
    """Raises UsageError if a model is named twice."""
    if name is None:
        return model_options
    if model_options.model is not None:
        raise UsageError(f"{name} and --model {model_options.model} are two models; give one")
    return replace(model_options, model=name)


def _check_bundle(bundle: Path | None, request: ModelRequest) -> None:
    """Check before the work starts. Raises what `files.check_target` and `files.check_not_input` do."""
    check_folder("--bundle", bundle)
    if bundle is not None:
        check_target(bundle)
        check_not_input(bundle, request.own_files())


def _write(bundle: Path, request: ModelRequest, findings: Sequence[Finding], log: Path) -> None:
    from tvcli.doctor import bundle as bundles  # loads the gguf package

    lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    text = bundles.as_text(bundles.bundle(request, findings, lines))
    with replacing(bundle) as temporary:
        temporary.write_text(text, encoding="utf-8")
    out.note(f"wrote {bundle}, for a bug report; read it before you attach it")


def describe(finding: Finding) -> Iterator[str]:
    """Lines to print."""
    match finding:
        case Software():
            yield from _software(finding)
        case Machine():
            yield from _machine(finding)
        case Subject():
            yield from _subject(finding)
        case Check():
            yield _check(finding)
        case Repairs():
            yield from (f"image tokens: {sentence}" for sentence in finding.sentences)
        case Speed():
            yield _speed(finding)


def _software(found: Software) -> Iterator[str]:
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in found.versions.items())
    yield f"system: {found.system}, {found.processor}"
    yield f"library: {found.library}"


def _machine(found: Machine) -> Iterator[str]:
    yield f"llama.cpp: {found.library}"
    yield f"kernels: {found.kernels}"
    yield f"features: {found.features}"
    yield f"memory: {_size(found.memory_free, found.memory_total)}"
    for device in found.devices:
        memory = _size(device.free, device.total)
        yield f"device: {device.name} ({device.kind}, {device.backend}), {device.description}, {memory}"


def _size(free: int | None, total: int) -> str:
    """Free and total memory; llama.cpp reports all memory of a CPU as free."""
    return byte_size(total) if free in (None, total) else f"{byte_size(free)} free of {byte_size(total)}"


def _subject(found: Subject) -> Iterator[str]:
    model = found.model
    yield f"model: {found.name}, {model}, {model.quantization or 'unknown quantization'}, file {model.digest or 'none'}"
    yield f"vision: {'yes' if found.vision else 'no'}"
    yield f"layers' outputs: {', '.join(_places(found.buffers))}"
    for modality, tokens in found.tokens.items():
        yield f"{modality} query: {' '.join(_tokens(tokens))}"


def _places(buffers: Sequence[str]) -> Iterator[str]:
    for name, run in groupby(enumerate(buffers), key=lambda place: place[1]):
        layers = [layer for layer, _ in run]
        yield f"{layers[0]} to {layers[-1]} in {name}"


def _tokens(layout: Sequence[Token | ImageTokens]) -> Iterator[str]:
    """Pieces with their ids, the delimiter in brackets."""
    for number, piece in enumerate(layout, 1):
        if isinstance(piece, Token):
            text = f'"{visible(piece.text)}"'
            yield f"{f'[{text}]' if number == len(layout) else text}:{piece.id}"
        else:
            yield f"({piece.count} image tokens)"


def _check(found: Check) -> str:
    return f"{'ok  ' if found.healthy else 'FAIL'} {found.name}: {found.detail}"


def _speed(found: Speed) -> str:
    return (
        f"tokens/s: query of {found.prompt_tokens} tokens {found.plain:.0f}, patched {found.patched:.0f}, "
        f"read at all layers {found.read:.0f}; answer {found.generated:.0f}"
    )


def as_record(findings: Sequence[Finding]) -> dict[str, object]:
    """Each finding under its own name, the checks in a list."""
    record: dict[str, object] = {
        type(finding).__name__.lower(): asdict(finding) for finding in findings if not isinstance(finding, Check)
    }
    checks = [finding for finding in findings if isinstance(finding, Check)]
    record["checks"] = [{"name": c.name, "healthy": c.healthy, "detail": c.detail} for c in checks]
    return record
