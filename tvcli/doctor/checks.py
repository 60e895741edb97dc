"""The checks of ``tv doctor``: does this model work with tv on this machine?

Results that are compared bit by bit come from batches of the same shape: llama.cpp picks its kernels by the shape.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tvcli.doctor.isolated import DiedError, Send, isolated
from tvcli.doctor.machine import (
    Machine,
    Software,
    anonymous,
    missing_instructions,
    processor,
    software,
    this_machine,
)
from tvcli.engine.native import faults, places
from tvcli.engine.native import log as llama_log
from tvcli.engine.protocol import Decoding, Engine, ImageTokens, Patch, Token, tail
from tvcli.errors import TvError
from tvcli.images import Image
from tvcli.models.catalog import FAKE, wanted_model
from tvcli.models.opening import Model, ModelRequest
from tvcli.progress import silent
from tvcli.prompts.prompt import Prompt, zero_shot
from tvcli.timing import interleaved
from tvcli.vector import ModelInfo

ROUNDS = 5
NEW_TOKENS = 32
FUSION_TOLERANCE = 1e-5  # of the largest logit; float32 sums in another order, 7e-7 seen
LEAST_MOVE = 1e-3  # of the largest logit; far above the effect of fusing, far below that of noise
LOADS = "llama.cpp and the model load and run"
ADAPTER_TOLERANCE = 0.01  # of the patch's effect on the logits; on a CPU they are bit-equal, a GPU may fuse steps


@dataclass(frozen=True)
class Check:
    """The result of one check: what was measured, or what is wrong."""

    name: str
    healthy: bool
    detail: str
    exit_code: int = 1  # if it is not healthy


@dataclass(frozen=True)
class Subject:
    """The checked model, the buffers of its layers' outputs, and the tokens of the queries."""

    name: str
    model: ModelInfo
    vision: bool
    buffers: list[str]
    tokens: dict[str, list[Token | ImageTokens]]


@dataclass(frozen=True)
class Repairs:
    """What tv changes in llama.cpp's encoding of images, so that it is the model's; one sentence each."""

    sentences: list[str]


@dataclass(frozen=True)
class Speed:
    """Tokens per second of the text query (plain, patched at half the depth, read at all layers) and of an answer."""

    prompt_tokens: int
    plain: float
    patched: float
    read: float
    generated: float


class _CheckFailedError(Exception):
    """A check failed; the message says what was measured."""


Finding = Software | Machine | Subject | Repairs | Check | Speed


def diagnose(request: ModelRequest, step: Callable[[int], None], log: Path | None = None) -> Iterator[Finding]:
    """All findings in order, up to a failure to load; `step` counts forward passes.

    Native code that may crash runs in a separate process, so that there is always a verdict. The folders of the model's
    files and the addresses of servers are left out. llama.cpp's log, which has them, is written to the file `log`.
    """
    for finding in _findings(request, step, log):
        if isinstance(finding, Check):
            yield replace(finding, detail=_without_places(finding.detail, request))
        elif isinstance(finding, Subject):
            yield replace(finding, name=_without_places(finding.name, request))
        else:
            yield finding


def _without_places(text: str, request: ModelRequest) -> str:
    """The text without the folders of the model's files and the addresses of servers, however they are written."""
    folders = {
        spelled
        for file in request.own_files()
        for path in (file, file.absolute(), Path(os.path.realpath(file)))
        for spelled in (str(path.parent), anonymous(str(path.parent)))
    }
    for folder in sorted(folders - {".", "/"}, key=len, reverse=True):
        text = text.replace(f"{folder}{os.sep}", "")
    for server in request.settings.rpc:
        text = text.replace(server, "…")
    return text


def _findings(request: ModelRequest, step: Callable[[int], None], log: Path | None) -> Iterator[Finding]:
    yield software()
    features = ""
    try:
        for finding in isolated(_machine, request.settings.rpc):
            features = finding.features if isinstance(finding, Machine) else features
            yield finding
            if isinstance(finding, Check):
                return
        is_fake = wanted_model(request.name) == FAKE
        yield from _model(request, step) if is_fake else _model_in_a_child(request, step, log)
    except DiedError as died:
        yield Check(LOADS, False, anonymous(_crash(died, features)))


def _machine(send: Send, endpoints: Sequence[str]) -> None:
    try:
        send(this_machine(endpoints))
    except TvError as error:
        send(_unavailable(error))


def _model(request: ModelRequest, step: Callable[[int], None]) -> Iterator[Finding]:
    try:
        with request.open() as loaded:
            prompts = queries(loaded.engine)
            yield _subject(loaded, prompts)
            yield from examine(loaded.engine, prompts, step)
            if loaded.engine.repairs:
                yield Repairs(list(loaded.engine.repairs))
            yield measure(loaded.engine, prompts["text"])
    except TvError as error:
        yield _unavailable(error)


def _model_in_a_child(request: ModelRequest, step: Callable[[int], None], log: Path | None) -> Iterator[Finding]:
    """The child sends loading progress as floats, numbers of forward passes as integers, and findings."""
    progress = request.settings.progress
    sent = replace(request, settings=replace(request.settings, progress=None), meter=silent)  # functions cannot be sent
    for item in isolated(_send_model, sent, log):
        if isinstance(item, int):
            step(item)
        elif not isinstance(item, float):
            yield item
        elif progress is not None:
            progress(item)


def _send_model(send: Send, request: ModelRequest, log: Path | None) -> None:
    if log is not None:
        llama_log.write_to(log)
    for finding in _model(replace(request, settings=replace(request.settings, progress=send)), send):
        send(finding)


def _unavailable(error: TvError) -> Check:
    return Check(LOADS, False, anonymous(str(error)), error.exit_code)


def _crash(died: DiedError, features: str) -> str:
    """Why the child process died, with the processor and a known cause."""
    place = places.find()
    if died.signal is None:
        return f"the process that ran {place} ended: {died}"
    cause = f"{faults.fault(died.signal, str(place), place.remedy)}; the processor is {processor()}"
    missing = missing_instructions(features)
    built = f", and the library was built for {', '.join(missing)}, which it does not have" if missing else ""
    return f"{cause}{built}; the last output was: {died}"


def verdict(checks: Sequence[Check]) -> str:
    """One sentence that names the failed checks."""
    failed = [f"{check.name} ({check.detail})" for check in checks if not check.healthy]
    if not failed:
        return f"healthy, all {len(checks)} checks passed"
    return f"not healthy, {len(failed)} of {len(checks)} checks failed: {'; '.join(failed)}"


def queries(engine: Engine) -> dict[str, Prompt]:
    """One query per modality: a word and, for a model with an image encoder, a generated image."""
    prompts = {"text": zero_shot("Greece")}
    if engine.has_vision:
        red, green = np.meshgrid(np.arange(224, dtype=np.uint8), np.arange(224, dtype=np.uint8))
        prompts["image"] = zero_shot(Image(np.dstack([red, green, 255 - red]), "a color gradient"))
    return prompts


def examine(engine: Engine, prompts: Mapping[str, Prompt], step: Callable[[int], None]) -> Iterator[Check]:
    """All checks of all queries; `step` counts forward passes."""
    yield _check("one delimiter", lambda: _one_delimiter(engine, prompts))
    for modality, prompt in prompts.items():
        for name, check in CHECKS.items():
            yield _check(f"{modality}: {name}", lambda c=check, p=prompt: c(_Probe(engine, p, step)))  # type: ignore[misc]


def measure(engine: Engine, prompt: Prompt) -> Speed:
    """Median speeds without the hook, with a patch, and reading all layers."""
    tokens, layer = len(engine.layout(prompt)), engine.model.n_layer // 2
    patch = Patch(layer, engine.read([prompt])[0, layer])
    decoding = Decoding(NEW_TOKENS, stop_at_newline=False)
    plain, patched, read = interleaved(
        lambda: engine.logits([prompt]),
        lambda: engine.logits([prompt], [patch]),
        lambda: engine.read([prompt]),
        rounds=ROUNDS,
    )
    answers: list[int] = []
    [seconds] = interleaved(
        lambda: answers.append(len(engine.answer([prompt], decoding=decoding)[0][0].tokens)), rounds=1
    )
    return Speed(tokens, tokens / plain, tokens / patched, tokens / read, answers[-1] / seconds)


def _subject(loaded: Model, prompts: Mapping[str, Prompt]) -> Subject:
    engine = loaded.engine
    tokens = {modality: engine.layout(prompt) for modality, prompt in prompts.items()}
    buffers = [anonymous(name) for name in engine.buffers]
    return Subject(anonymous(loaded.name), engine.model, engine.has_vision, buffers, tokens)


def _check(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except (_CheckFailedError, TvError) as error:
        return Check(name, False, anonymous(str(error)))


def _one_delimiter(engine: Engine, prompts: Mapping[str, Prompt]) -> str:
    """The delimiter is the same token after a word and after an image."""
    ends = {modality: tail(engine, prompt, 1)[-1] for modality, prompt in prompts.items()}
    seen = ", ".join(f"{modality} {token.text!r} ({token.id})" for modality, token in ends.items())
    if len(set(ends.values())) > 1:
        raise _CheckFailedError(f"queries end in different tokens: {seen}")
    return seen


@dataclass(frozen=True)
class _Probe:
    """An engine, and the query that it is checked with."""

    engine: Engine
    prompt: Prompt
    step: Callable[[int], None]

    @property
    def n_layer(self) -> int:
        return self.engine.model.n_layer

    def layers(self) -> list[int]:
        """The layers that are patched one at a time: all, or three for an image, which takes longer."""
        if not self.prompt.images:
            return list(range(self.n_layer))
        return sorted({0, self.n_layer // 2, self.n_layer - 1})

    def read(self, patch: Patch | None = None) -> np.ndarray:
        """Residuals of the query, float32 (L, D)."""
        self.step(1)
        return np.asarray(self.engine.read([self.prompt], patch)[0])

    def logits(self, *patches: Patch | None) -> np.ndarray:
        """Logits under all patches in one batch, float32 (K, V)."""
        self.step(1)
        return np.asarray(self.engine.logits([self.prompt], patches)[0])

    def logits_by_adapter(self, patch: Patch) -> np.ndarray:
        """Logits of the query, float32 (V,)."""
        self.step(2)
        return self.engine.logits_by_adapter(self.prompt, patch)

    def noise(self, own: np.ndarray) -> list[Patch]:
        """One patch per layer: a random row with the norm of the query's own residual."""
        rows = np.random.default_rng(0).standard_normal(own.shape)
        rows *= np.linalg.norm(own, axis=1, keepdims=True) / np.linalg.norm(rows, axis=1, keepdims=True)
        return [Patch(layer, row) for layer, row in enumerate(rows.astype(np.float32))]


def _readable(probe: _Probe) -> str:
    residuals, model = probe.read(), probe.engine.model
    if residuals.shape != (model.n_layer, model.n_embd):
        raise _CheckFailedError(f"the residuals have the shape {residuals.shape}, not {(model.n_layer, model.n_embd)}")
    fine = np.isfinite(residuals).all(axis=1) & residuals.any(axis=1)
    _expect({layer: bool(fine[layer]) for layer in range(model.n_layer)}, "the residual is zero or not finite")
    return f"{model.n_layer} layers × {model.n_embd}"


def _self_patch(probe: _Probe) -> str:
    """Residuals must be bit-equal, since both are read with the graph cut at all layers; logits may differ slightly.

    The logits of a plain run come from a graph without cuts, in which a GPU's backend fuses steps that it computes
    one by one where a patch is written; seen with Vulkan, and not with ``GGML_VK_DISABLE_FUSION``.
    """
    own, plain = probe.read(), probe.logits(None)[0]
    scale, equal, away = float(np.abs(plain).max()), {}, 0.0
    for layer in probe.layers():
        patch = Patch(layer, own[layer])
        apart = float(np.abs(probe.logits(patch)[0] - plain).max()) / scale
        equal[layer] = np.array_equal(probe.read(patch), own) and apart <= FUSION_TOLERANCE
        away = max(away, apart)
    equality = _expect(equal, "the residuals or logits change")
    return equality if away == 0 else f"{equality}; logits differ by up to {away:.2g} of the largest"


def _every_layer(probe: _Probe) -> str:
    plain = probe.logits(*[None] * probe.n_layer)
    moved = np.abs(probe.logits(*probe.noise(probe.read())) - plain).max(axis=1)
    least = LEAST_MOVE * np.abs(plain).max()
    _expect({layer: bool(moved[layer] > least) for layer in range(probe.n_layer)}, "the patch changes nothing")
    return f"by {moved.min():.3g} to {moved.max():.3g}"


def _below(probe: _Probe) -> str:
    own = probe.read()
    noise, fine = probe.noise(own), {}
    for layer in probe.layers():
        patched = probe.read(noise[layer])
        written = np.array_equal(patched[layer], noise[layer].row)
        fine[layer] = written and np.array_equal(patched[:layer], own[:layer])
    return _expect(fine, "the row at the patched layer is not the one that was written, or a layer below it changes")


def _by_adapter(probe: _Probe) -> str:
    if probe.n_layer < 2:
        return "not checked: the model has one layer"
    own, plain, away = probe.read(), probe.logits(None)[0], {}
    noise = probe.noise(own)
    for layer in sorted({1, probe.n_layer // 2, probe.n_layer - 1}):
        # what llama.cpp's sum is after rounding: a quantized model can make much of the last bit
        summed = own[layer] + (noise[layer].row - own[layer])
        patched = probe.logits(Patch(layer, summed))[0]
        apart = np.abs(probe.logits_by_adapter(noise[layer]) - patched).max()
        away[layer] = float(apart / max(np.abs(patched - plain).max(), 1e-12))
    fine = {layer: share <= ADAPTER_TOLERANCE for layer, share in away.items()}
    _expect(fine, f"the logits differ by {max(away.values()):.3g} of the patch's effect")
    return f"differs by at most {max(away.values()):.2g} of the patch's effect, at layers {_listed(away)}"


def _no_trace(probe: _Probe) -> str:
    before = probe.logits(None)
    probe.logits(*probe.noise(probe.read()))
    if not np.array_equal(probe.logits(None), before):
        raise _CheckFailedError("the same query has different logits after a patched run")
    return "bit-equal"


CHECKS: dict[str, Callable[[_Probe], str]] = {
    "residuals can be read": _readable,
    "a patch with the query's own residual changes nothing": _self_patch,
    "a patch changes the logits at every layer": _every_layer,
    "a patch is written, and layers below it are unchanged": _below,
    "a patch changes the logits as llama.cpp's control-vector adapter does": _by_adapter,
    "earlier runs change nothing": _no_trace,
}


def _expect(fine: Mapping[int, bool], otherwise: str) -> str:
    """Raises _CheckFailedError that names the failing layers."""
    failed = [layer for layer, healthy in fine.items() if not healthy]
    if failed:
        raise _CheckFailedError(f"{otherwise} at layer{'s' if len(failed) > 1 else ''} {_listed(failed)}")
    return f"bit-equal at {f'all {len(fine)} layers' if len(fine) > 3 else f'layers {_listed(fine)}'}"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
