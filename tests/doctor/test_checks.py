"""What ``tv doctor`` finds out, in this process: each check against engines that are wrong by a known amount."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tvcli.engine.devices
import tvcli.engine.native.library
import tvcli.engine.native.places
from tvcli.cli.work.doctor import as_record, describe
from tvcli.doctor import checks as doctor
from tvcli.doctor.checks import (
    CHECKS,
    LOADS,
    Check,
    Repairs,
    Speed,
    Subject,
    diagnose,
    examine,
    measure,
    queries,
    verdict,
)
from tvcli.doctor.isolated import DiedError
from tvcli.doctor.machine import Machine, Software
from tvcli.engine.fake import FakeEngine
from tvcli.engine.native.places import Place
from tvcli.engine.protocol import FIRST_TOKEN, Answer, Decoding, ImageTokens, Patch, Settings, Token
from tvcli.errors import TvError, UnavailableError
from tvcli.images import Image
from tvcli.models.opening import Model, ModelRequest
from tvcli.prompts.prompt import Prompt, zero_shot
from tvcli.vector import ModelInfo

Patches = Sequence[Patch | None]
READ, SELF, MOVES, BELOW, ADAPTER, TRACE = CHECKS


def examined(engine: FakeEngine, name: str) -> Check:
    """One check of the text query."""
    return doctor._check(name, lambda: CHECKS[name](doctor._Probe(engine, zero_shot("Greece"), unheard)))


def unheard(steps: int) -> None:
    """Hears of forward passes, and says nothing."""


def seen(engine: FakeEngine, name: str) -> tuple[bool, str]:
    check = examined(engine, name)
    return check.healthy, check.detail


# -- the queries and a sound engine ---------------------------------------------------------------------------


def test_a_word_is_asked_and_a_picture_if_the_model_sees() -> None:
    asked = queries(FakeEngine())
    assert list(asked) == ["text", "image"]
    assert asked["text"] == zero_shot("Greece")
    [picture] = asked["image"].images
    assert isinstance(picture, Image)
    assert picture.name == "a color gradient"
    pixels = picture.pixels
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[10, 200].tolist() == [200, 10, 55]
    assert list(queries(FakeEngine(vision=False))) == ["text"]


def test_each_check_of_a_sound_engine_says_what_was_seen() -> None:
    engine, steps = FakeEngine(), []  # type: ignore[var-annotated]
    checks = list(examine(engine, queries(engine), steps.append))
    assert all(check.healthy for check in checks)
    found = {check.name: check.detail for check in checks}
    assert list(found) == ["one delimiter", *(f"{kind}: {name}" for kind in ("text", "image") for name in CHECKS)]
    assert list(CHECKS) == [
        "residuals can be read",
        "a patch with the query's own residual changes nothing",
        "a patch changes the logits at every layer",
        "a patch is written, and layers below it are unchanged",
        "a patch changes the logits as llama.cpp's control-vector adapter does",
        "earlier runs change nothing",
    ]
    assert found["one delimiter"] == "text ':' (7), image ':' (7)"
    assert found[f"text: {READ}"] == "6 layers × 16"
    assert found[f"text: {SELF}"] == found[f"text: {BELOW}"] == "bit-equal at all 6 layers"
    assert found[f"image: {SELF}"] == found[f"image: {BELOW}"] == "bit-equal at layers 0, 3, 5"
    assert found[f"text: {TRACE}"] == "bit-equal"
    text = [1] + [1] * 14 + [1] * 3 + [1] * 7 + [1, 1] + [1, 2] * 3 + [1] * 4
    image = [1] + [1] * 8 + [1] * 3 + [1] * 4 + [1, 1] + [1, 2] * 3 + [1] * 4
    assert steps == text + image


def test_a_model_of_few_layers_is_examined_at_each() -> None:
    for count, layers in ((1, "0"), (2, "0, 1"), (3, "0, 1, 2")):
        assert examined(FakeEngine(n_layer=count), SELF).detail == f"bit-equal at layers {layers}"
    assert examined(FakeEngine(n_layer=4), SELF).detail == "bit-equal at all 4 layers"
    assert examined(FakeEngine(n_layer=1), ADAPTER).detail == "not checked: the model has one layer"
    assert examined(FakeEngine(n_layer=2), ADAPTER).detail.endswith(" of the patch's effect, at layers 1")


# -- each check against an engine that is wrong by a known amount ---------------------------------------------


class Reads(FakeEngine):
    """Residuals as they are given."""

    def __init__(self, residuals: np.ndarray) -> None:
        super().__init__()
        self.residuals = residuals.astype(np.float32)

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        return self.residuals[None]


def test_residuals_are_finite_not_zero_and_of_the_models_shape() -> None:
    sound = np.zeros((6, 16))
    sound[:, 3] = 1  # zeros among others are no fault
    assert seen(Reads(sound), READ) == (True, "6 layers × 16")
    zero, one_nan, two = sound.copy(), sound.copy(), sound.copy()
    zero[4], one_nan[5, 0], two[0], two[2, 1] = 0, np.nan, 0, np.inf
    assert seen(Reads(zero), READ) == (False, "the residual is zero or not finite at layer 4")
    assert seen(Reads(one_nan), READ) == (False, "the residual is zero or not finite at layer 5")
    assert seen(Reads(two), READ) == (False, "the residual is zero or not finite at layers 0, 2")
    assert seen(Reads(sound[:5]), READ) == (False, "the residuals have the shape (5, 16), not (6, 16)")


class Moves(FakeEngine):
    """Logits of 1 and -4, of which a patch moves the second down by a known amount for its layer."""

    def __init__(self, *moves: float) -> None:
        super().__init__()
        self.moves = moves

    def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
        rows = [[1, -4 - (0 if patch is None else self.moves[patch.layer])] for patch in patches]
        return np.array([rows], np.float32)


def test_a_patch_must_move_the_logits_by_a_thousandth_of_the_largest() -> None:
    assert seen(Moves(1, 2, 0.0045, 3, 1, 1), MOVES) == (True, "by 0.0045 to 3")
    assert seen(Moves(1, 2, 0.0035, 3, 1, 0), MOVES) == (False, "the patch changes nothing at layers 2, 5")


def test_the_querys_own_residual_may_move_the_logits_by_what_fusing_does() -> None:
    assert seen(Moves(*[0] * 6), SELF) == (True, "bit-equal at all 6 layers")
    said = "bit-equal at all 6 layers; logits differ by up to 7.5e-06 of the largest"
    assert seen(Moves(0, 0, 3e-5, 0, 1.5e-5, 0), SELF) == (True, said)
    assert seen(Moves(0, 0, 5e-5, 0, 3e-5, 0), SELF) == (False, "the residuals or logits change at layer 2")


class Changes(FakeEngine):
    """Reads another value at some layers when one is patched."""

    def __init__(self, changed: dict[int, list[int]]) -> None:
        super().__init__()
        self.changed = changed

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        residuals = super().read(prompts, patch)
        for layer in self.changed.get(-1 if patch is None else patch.layer, []):
            residuals[:, layer, 2] += 1
        return residuals


def test_a_patch_is_the_row_that_was_written_and_nothing_below_it_changes() -> None:
    wrong = "the row at the patched layer is not the one that was written, or a layer below it changes at layer"
    assert seen(Changes({2: [3, 5], 0: [1]}), BELOW) == (True, "bit-equal at all 6 layers")
    assert seen(Changes({2: [2]}), BELOW) == (False, f"{wrong} 2")
    assert seen(Changes({3: [2]}), BELOW) == (False, f"{wrong} 3")
    assert seen(Changes({3: [0], 5: [5]}), BELOW) == (False, f"{wrong}s 3, 5")
    assert seen(Changes({4: [5]}), SELF) == (False, "the residuals or logits change at layer 4")


class Adapts(FakeEngine):
    """The adapter is off by a known share of what the patch moves."""

    def __init__(self, shares: dict[int, float], n_layer: int = 6) -> None:
        super().__init__(n_layer=n_layer)
        self.shares = shares

    def logits_by_adapter(self, prompt: Prompt, patch: Patch) -> np.ndarray:
        plain, patched = self.logits([prompt], [None, patch])[0]
        moved = np.abs(patched - plain)
        patched[moved.argmax()] -= self.shares.get(patch.layer, 0) * moved.max()
        return np.asarray(patched)


def test_the_adapter_may_differ_by_a_hundredth_of_what_the_patch_moves() -> None:
    said = "differs by at most 0.009 of the patch's effect, at layers 1, 3, 5"
    assert seen(Adapts({1: 0.001, 3: 0.009, 5: 0.004}), ADAPTER) == (True, said)
    said = "the logits differ by 0.0234 of the patch's effect at layers 1, 5"
    assert seen(Adapts({1: 0.0234, 3: 0.009, 5: 0.02}), ADAPTER) == (False, said)
    said = "differs by at most 0.005 of the patch's effect, at layers 1, 4, 7"
    assert seen(Adapts({4: 0.005}, n_layer=8), ADAPTER) == (True, said)
    quiet = Adapts({3: 0.02})
    quiet._unembedding = quiet._unembedding / 1000
    said = "the logits differ by 0.02 of the patch's effect at layer 3"
    assert seen(quiet, ADAPTER) == (False, said)


def test_a_tolerance_itself_is_tolerated_and_the_least_move_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    class Exact(Moves):
        def logits_by_adapter(self, prompt: Prompt, patch: Patch) -> np.ndarray:
            return np.asarray(self.logits([prompt], [patch])[0, 0] + np.array([0.25, 0], np.float32))

    engine = Exact(*[1] * 6)
    for name in ("FUSION_TOLERANCE", "ADAPTER_TOLERANCE", "LEAST_MOVE"):
        monkeypatch.setattr(doctor, name, 0.25)
    assert seen(engine, SELF) == (True, "bit-equal at all 6 layers; logits differ by up to 0.25 of the largest")
    assert seen(engine, ADAPTER) == (True, "differs by at most 0.25 of the patch's effect, at layers 1, 3, 5")
    assert seen(engine, MOVES) == (False, "the patch changes nothing at layers 0, 1, 2, 3, 4, 5")


def test_what_a_patch_leaves_behind_is_a_fault() -> None:
    class Remembers(FakeEngine):
        patched = 0

        def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
            found = super().logits(prompts, patches) + self.patched
            self.patched += len(patches) == 6 and None not in patches
            return found

    said = "the same query has different logits after a patched run"
    assert seen(Remembers(), TRACE) == (False, said)


def test_queries_must_end_in_one_token() -> None:
    class Ends(FakeEngine):
        def layout(self, prompt: Prompt) -> list[Token | ImageTokens]:
            return [Token(8, "x"), Token(8, " :") if prompt.images else Token(7, ":")]

    engine = Ends()
    check = next(examine(engine, queries(engine), unheard))
    said = "queries end in different tokens: text ':' (7), image ' :' (8)"
    assert check == Check("one delimiter", False, said)


def test_noise_is_as_long_as_the_querys_own_residual_and_always_the_same() -> None:
    own = np.array([[3, 4], [0, 0.5]], np.float32)
    probe = doctor._Probe(FakeEngine(), zero_shot("x"), unheard)
    noise = probe.noise(own)
    assert [patch.layer for patch in noise] == [0, 1]
    assert [patch.row.dtype for patch in noise] == [np.float32] * 2
    assert [float(np.linalg.norm(patch.row)) for patch in noise] == pytest.approx([5, 0.5])
    rows = np.random.default_rng(0).standard_normal((2, 2))
    for patch, row in zip(noise, rows, strict=True):
        assert patch.row / np.linalg.norm(patch.row) == pytest.approx(row / np.linalg.norm(row))


def test_an_error_of_the_engine_is_a_finding_without_the_home_folder() -> None:
    class Broken(FakeEngine):
        def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
            raise TvError(f"no {Path.home()}/x")

    assert examined(Broken(), READ) == Check(READ, False, "no ~/x", 1)


def test_a_verdict_is_one_sentence_that_names_what_failed() -> None:
    good, bad, worse = Check("a", True, "fine"), Check("b", False, "why"), Check("c", False, "so", 3)
    assert verdict([good, good]) == "healthy, all 2 checks passed"
    assert verdict([bad, good, worse]) == "not healthy, 2 of 3 checks failed: b (why); c (so)"


# -- speed ----------------------------------------------------------------------------------------------------


def test_speed_is_tokens_by_median_seconds_of_each_kind_of_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counts(FakeEngine):
        calls: list[object]

        def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
            self.calls.append(("read", *prompts))
            return super().read(prompts, patch)

        def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
            self.calls.append(("logits", *prompts, *(patch and (patch.layer, patch.row.tolist()) for patch in patches)))
            return super().logits(prompts, patches)

        def answer(
            self, prompts: Sequence[Prompt], patches: Patches = (None,), decoding: Decoding = FIRST_TOKEN
        ) -> list[list[Answer]]:
            self.calls.append(("answer", *prompts, decoding))
            return [[Answer("x", (1,) * 32, 1.0)]]

    seconds: list[list[float]] = [[0.5, 0.25, 0.125], [4.0]]
    heard: list[int] = []

    def interleaved(*works: Callable[[], object], rounds: int) -> list[float]:
        heard.append(rounds)
        for work in works:
            work()
        return seconds[len(heard) - 1]

    monkeypatch.setattr(doctor, "interleaved", interleaved)
    engine, prompt = Counts(), zero_shot("Greece")
    engine.calls = []
    own = FakeEngine().read([prompt])[0, 3].tolist()
    assert measure(engine, prompt) == Speed(5, 10, 20, 40, 8)
    assert heard == [5, 1]
    assert engine.calls == [
        ("read", prompt),
        ("logits", prompt, None),
        ("logits", prompt, (3, own)),
        ("read", prompt),
        ("answer", prompt, Decoding(32, stop_at_newline=False)),
    ]


# -- all findings in order ------------------------------------------------------------------------------------


SOFTWARE = Software({"tv": "1"}, "Linux", "cpu", "lib")
MACHINE = Machine("lib", "kernels", "AVX2 = 1", None, 1, [])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that would be done in a process of its own is done in this one, on a known machine."""

    def isolated(work: Callable[..., None], *arguments: Any) -> Iterator[Any]:
        sent: list[Any] = []
        pickle.dumps((work, arguments))  # as another process gets them
        work(sent.append, *arguments)
        yield from sent

    monkeypatch.setattr(doctor, "isolated", isolated)
    monkeypatch.setattr(doctor, "software", lambda: SOFTWARE)
    monkeypatch.setattr(doctor, "this_machine", {(): MACHINE, ("h:1",): replace(MACHINE, library="far")}.__getitem__)


@pytest.mark.usefixtures("here")
def test_findings_come_in_order_up_to_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(doctor, "_model_in_a_child")  # a model without native code needs no process of its own
    steps: list[int] = []
    one, two, subject, *checks, speed = diagnose(ModelRequest("fake"), steps.append)
    assert (one, two) == (SOFTWARE, MACHINE)
    engine = FakeEngine()
    tokens = {kind: engine.layout(prompt) for kind, prompt in queries(engine).items()}
    assert subject == Subject("fake", engine.model, True, ["NumPy"] * 6, tokens)
    assert [check.healthy for check in checks if isinstance(check, Check)] == [True] * 13
    assert isinstance(speed, Speed)
    assert speed.prompt_tokens == 5
    assert sum(steps) == 71
    [_, far, *_] = diagnose(ModelRequest("fake", None, Settings(rpc=("h:1",))), unheard)
    assert far == replace(MACHINE, library="far")


@pytest.mark.usefixtures("here")
def test_a_library_that_does_not_load_ends_the_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    def this_machine(endpoints: Sequence[str]) -> Machine:
        raise UnavailableError(f"no library in {Path.home()}/lib")

    monkeypatch.setattr(doctor, "this_machine", this_machine)
    assert list(diagnose(ModelRequest("fake"), unheard)) == [SOFTWARE, Check(LOADS, False, "no library in ~/lib", 3)]
    assert LOADS == "llama.cpp and the model load and run"


class Opens(ModelRequest):
    """A fake model that says how much of it is loaded, or does not open."""

    def open(self) -> Model:
        if self.name == "broken":
            raise UnavailableError(f"{Path.home()}/m.gguf is broken")
        if self.settings.progress is not None:
            self.settings.progress(0.5)
        return Model(FakeEngine(n_layer=2, vision=False), f"{Path.home()}/m.gguf")


class Repaired(FakeEngine):
    """Says what it repaired once it was read."""

    def __init__(self) -> None:
        super().__init__(n_layer=2)
        self.used = False

    def read(self, *given: Any, **more: Any) -> np.ndarray:
        self.used = True
        return super().read(*given, **more)

    @property
    def repairs(self) -> Sequence[str]:
        return ["x is y", "z too"] if self.used else []


class OpensRepaired(ModelRequest):
    def open(self) -> Model:
        return Model(Repaired(), "m.gguf")


@pytest.mark.usefixtures("here")
def test_what_was_repaired_by_then_is_said_after_the_checks() -> None:
    found = list(diagnose(OpensRepaired("fake"), unheard))
    assert [type(one) for one in found][-2:] == [Repairs, Speed]
    [repairs] = [one for one in found if isinstance(one, Repairs)]
    assert list(describe(repairs)) == ["image tokens: x is y", "image tokens: z too"]
    assert as_record(found)["repairs"] == {"sentences": ["x is y", "z too"]}


@pytest.mark.usefixtures("here")
def test_a_model_in_a_child_tells_its_progress_its_steps_and_its_findings() -> None:
    steps: list[int] = []
    parts: list[float] = []
    settings = Settings(threads=3, progress=lambda part: parts.append(part))
    found = list(diagnose(Opens("m.gguf", None, settings), steps.append))
    assert [type(one) for one in found] == [Software, Machine, Subject, *[Check] * 7, Speed]
    assert isinstance(found[2], Subject)
    assert (found[2].name, found[2].vision, list(found[2].tokens)) == ("~/m.gguf", False, ["text"])
    assert parts == [0.5]
    assert (len(steps), sum(steps)) == (21, 22)
    silent = diagnose(Opens("m.gguf"), unheard)
    assert len(list(silent)) == len(found)


@pytest.mark.usefixtures("here")
def test_a_model_that_does_not_open_is_the_last_finding() -> None:
    [*_, last] = diagnose(Opens("broken"), unheard)
    assert last == Check(LOADS, False, "~/m.gguf is broken", 3)


PLACE = Place("here", Path("lib"), Path("lib"), "mend it")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("signal", "missing", "said"),
    [
        (None, [], "the process that ran the llama.cpp of here in lib ended: why ~"),
        (
            4,
            ["AVX2", "FMA"],
            "llama.cpp crashed (SIGILL): the llama.cpp of here in lib has instructions that this processor does not "
            "support; mend it; the processor is cpu, and the library was built for AVX2, FMA, which it does not have; "
            "the last output was: why ~",
        ),
        (
            4,
            [],
            "llama.cpp crashed (SIGILL): the llama.cpp of here in lib has instructions that this processor does not "
            "support; mend it; the processor is cpu; the last output was: why ~",
        ),
    ],
)
def test_a_crash_is_a_finding_that_names_the_signal_the_processor_and_the_last_words(
    monkeypatch: pytest.MonkeyPatch, signal: int | None, missing: list[str], said: str
) -> None:
    monkeypatch.setattr(tvcli.engine.native.places, "find", lambda: PLACE)
    monkeypatch.setattr(doctor, "processor", lambda: "cpu")
    monkeypatch.setattr(doctor, "missing_instructions", {"AVX2 = 1": missing}.__getitem__)

    def crash(request: ModelRequest, step: object, log: object) -> Iterator[Any]:
        raise DiedError(signal, f"why {Path.home()}")
        yield

    monkeypatch.setattr(doctor, "_model_in_a_child", crash)
    assert list(diagnose(ModelRequest("m.gguf"), unheard)) == [SOFTWARE, MACHINE, Check(LOADS, False, said, 1)]


@pytest.mark.usefixtures("here")
def test_a_library_that_crashes_while_it_is_loaded_is_a_finding_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def isolated(*work: object) -> Iterator[Any]:
        raise DiedError(4, "nothing")
        yield

    monkeypatch.setattr(doctor, "isolated", isolated)
    monkeypatch.setattr(tvcli.engine.native.places, "find", lambda: PLACE)
    monkeypatch.setattr(doctor, "processor", lambda: "cpu")
    monkeypatch.setattr(doctor, "missing_instructions", {"": []}.__getitem__)  # nothing is known of the library
    one, last = diagnose(ModelRequest("fake"), unheard)
    assert one == SOFTWARE
    assert isinstance(last, Check)
    assert (last.healthy, last.detail.rsplit("; ", 2)[1:]) == (
        False,
        ["the processor is cpu", "the last output was: nothing"],
    )


def test_a_model_is_named_without_its_home() -> None:
    with Opens("m.gguf").open() as loaded:
        subject = doctor._subject(loaded, {"text": zero_shot("x")})
        layout = loaded.engine.layout(zero_shot("x"))
    assert (subject.name, subject.model) == ("~/m.gguf", ModelInfo("fake", "fake", 2, 16))
    assert subject.tokens == {"text": layout}
