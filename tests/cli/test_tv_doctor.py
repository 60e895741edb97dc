"""`tv doctor` calls a sound engine healthy, and names what is wrong with a broken one."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Runner

import tvcli.cli.output
import tvcli.models.opening
from tvcli.doctor.checks import CHECKS, examine, queries
from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import ImageTokens, Patch, Token
from tvcli.errors import TvError
from tvcli.prompts.prompt import Prompt

Patches = Sequence[Patch | None]
READ, SELF, MOVES, BELOW, ADAPTER, TRACE = CHECKS


def test_a_sound_engine_is_healthy(tv: Runner) -> None:
    ran = tv("doctor")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[-1] == f"verdict: healthy, all {1 + 2 * len(CHECKS)} checks passed"
    assert sum(line.startswith("ok   ") for line in lines) == 1 + 2 * len(CHECKS)
    [text] = [line for line in lines if line.startswith("text query: ")]
    assert text.startswith('text query: "Q":7 ":":7 "Greece":')
    assert text.endswith('[":"]:7')
    [image] = [line for line in lines if line.startswith("image query: ")]
    assert "(1 image tokens)" in image
    for word in (
        "gguf ",
        "numpy ",
        "library: the llama.cpp of ",
        "kernels: ",
        "device: CPU ",
        "tokens/s: query of 5 tokens",
    ):
        assert word in ran.out


def test_json_is_one_object_with_the_same_findings(tv: Runner) -> None:
    ran = tv("doctor", "--json")
    [line] = ran.out.splitlines()
    record = json.loads(line)
    assert ran.code == 0
    assert record["healthy"] is True
    assert {"software", "machine", "subject", "speed", "verdict"} <= set(record)
    assert [check["name"] for check in record["checks"]][1:7] == [f"text: {name}" for name in CHECKS]
    assert record["subject"]["tokens"]["text"][-1] == {"id": 7, "text": ":"}
    assert record["machine"]["devices"][0]["total"] > 0


def test_a_model_without_eyes_is_asked_in_words_only() -> None:
    engine = FakeEngine(vision=False)
    steps: list[int] = []
    checks = list(examine(engine, queries(engine), steps.append))
    assert len(checks) == 1 + len(CHECKS)
    assert all(check.healthy for check in checks)
    assert sum(steps) > 2 * engine.model.n_layer


def test_what_a_backend_fuses_is_no_fault(tv: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tvcli.models.opening, "FakeEngine", Fuses)
    ran = tv("doctor")
    assert ran.code == 0
    assert re.search(
        f"ok   text: {SELF}: bit-equal at all 6 layers; logits differ by up to .*e-07 of the largest", ran.out
    )


class NeverPatches(FakeEngine):
    def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
        return super().logits(prompts, [None] * len(patches))

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        return super().read(prompts)


class SkipsLayerThree(FakeEngine):
    def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
        return super().logits(prompts, [None if p is not None and p.layer == 3 else p for p in patches])


class RoundsWhatItWrites(FakeEngine):
    def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
        rounded = [p and Patch(p.layer, p.row.astype(np.float16).astype(np.float32)) for p in patches]
        return super().logits(prompts, rounded)


class Fuses(FakeEngine):
    """Other last bits where no patch is written, as a backend has that fuses steps of an uncut graph."""

    def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
        found = super().logits(prompts, patches)
        found[:, [patch is None for patch in patches]] *= np.float32(1 + 5e-7)
        return found


class FusesAndNeverPatches(NeverPatches):
    def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
        return np.asarray(super().logits(prompts, patches) * np.float32(1 + 5e-7 * (patches[0] is None)))


class WritesTooEarly(FakeEngine):
    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        return super().read(prompts, patch and Patch(max(0, patch.layer - 1), patch.row))


class Remembers(FakeEngine):
    def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
        answer = super().logits(prompts, patches)
        if len(patches) > 1:
            self._unembedding = self._unembedding + np.float32(1e-3)
        return answer


class AddsInsteadOfOverwriting(FakeEngine):
    def logits(self, prompts: Sequence[Prompt], patches: Patches = (None,)) -> np.ndarray:
        [own] = self.read(prompts)
        return super().logits(prompts, [p and Patch(p.layer, p.row + own[p.layer]) for p in patches])


class ReadsNothing(FakeEngine):
    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        residuals = super().read(prompts, patch)
        residuals[:, 2] = np.nan
        return residuals


class LosesATensor(FakeEngine):
    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        if patch is not None:
            raise TvError(f"the tensor l_out-{patch.layer} appeared 0 times in the decode instead of once")
        return super().read(prompts)


class EndsDifferentlyAfterPictures(FakeEngine):
    def layout(self, prompt: Prompt) -> list[Token | ImageTokens]:
        found = super().layout(prompt)
        return [*found[:-1], Token(8, " :")] if prompt.images else found


@pytest.mark.parametrize(
    ("broken", "failing", "words"),
    [
        (NeverPatches, {MOVES, BELOW, ADAPTER}, "the patch changes nothing at layers 0, 1, 2, 3, 4, 5"),
        (FusesAndNeverPatches, {MOVES, BELOW, ADAPTER}, "the patch changes nothing at layers 0, 1, 2, 3, 4, 5"),
        (SkipsLayerThree, {MOVES, ADAPTER}, "the patch changes nothing at layer 3"),
        (RoundsWhatItWrites, {SELF}, "the residuals or logits change at layers 0, 1, 2, 3, 4, 5"),
        (WritesTooEarly, {SELF, BELOW}, "a layer below it changes at layers 1, 2, 3, 4, 5"),
        (Remembers, {TRACE}, "the same query has different logits after a patched run"),
        (AddsInsteadOfOverwriting, {SELF, ADAPTER}, "of the patch's effect at layers 1, 3, 5"),
        (ReadsNothing, {READ, SELF, MOVES, BELOW}, "the residual is zero or not finite at layer 2"),
        (LosesATensor, {SELF, BELOW}, "the tensor l_out-0 appeared 0 times in the decode instead of once"),
        (
            EndsDifferentlyAfterPictures,
            {"one delimiter"},
            "queries end in different tokens: text ':' (7), image ' :' (8)",
        ),
    ],
)
def test_a_broken_engine_is_not_healthy_and_the_fault_is_named(
    tv: Runner, monkeypatch: pytest.MonkeyPatch, broken: type[FakeEngine], failing: set[str], words: str
) -> None:
    monkeypatch.setattr(tvcli.models.opening, "FakeEngine", broken)
    ran = tv("doctor")
    assert ran.code == 1
    failed = [line.removeprefix("FAIL ") for line in ran.out.splitlines() if line.startswith("FAIL ")]
    assert {re.sub("^(text|image): ", "", line).split(":")[0] for line in failed} == failing
    assert any(words in line for line in failed)
    verdict = ran.out.splitlines()[-1]
    assert verdict.startswith(f"verdict: not healthy, {len(failed)} of 13 checks failed: ")
    assert all(name in verdict for name in failing)
    assert json.loads(tv("doctor", "--json").out)["healthy"] is False


def test_a_model_that_does_not_load_ends_the_report_without_the_home_folder(tv: Runner, tmp_path: Path) -> None:
    ran = tv("doctor", "-m", tmp_path / "no-such-home" / "model.gguf")  # HOME, see conftest
    assert ran.code == 3
    assert "versions: tv " in ran.out
    assert "model file model.gguf cannot be read: no such file" in ran.out.splitlines()[-1]
    assert str(tmp_path) not in ran.out


def test_a_llama_cpp_that_does_not_load_is_a_finding_too(
    tv: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("libllama.so", "libmtmd.so", "libllama.dylib", "libmtmd.dylib"):
        (tmp_path / name).write_bytes(b"no library")
    monkeypatch.setenv("TV_LLAMA_LIB", str(tmp_path))
    ran = tv("doctor")
    assert (ran.code, ran.err) == (3, "")
    assert "versions: tv " in ran.out
    assert f"the llama.cpp of TV_LLAMA_LIB in {tmp_path} cannot be loaded" in ran.out.splitlines()[-1]
