"""``tv doctor``: checks of this machine and a model, as text for a bug report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

import typer

from tvcli.cli.commands.options import ModelOptions
from tvcli.cli.output import out, visible
from tvcli.cli.work.opening import model_request
from tvcli.doctor.checks import Check, Finding, Repairs, Speed, Subject, diagnose, verdict
from tvcli.doctor.machine import Machine, Software
from tvcli.engine.protocol import ImageTokens, Token
from tvcli.files import byte_size


def run(model_options: ModelOptions, *, json: bool) -> None:
    findings: list[Finding] = []
    with out.meter(None, "forward passes") as step:
        for finding in diagnose(model_request(model_options), step):
            findings.append(finding)
            for line in describe(finding) if not json else ():
                out.line(line)
    checks = [finding for finding in findings if isinstance(finding, Check)]
    said = verdict(checks)
    if json:
        out.record({**as_record(findings), "healthy": all(check.healthy for check in checks), "verdict": said})
    else:
        out.line(f"verdict: {said}")
    for check in checks:
        if not check.healthy:
            raise typer.Exit(check.exit_code)


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
