"""A crash of llama.cpp is one sentence that names its suspects."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import patched_library
import pytest
from native_process import tv
from patched_library import patchable

from tvcli.engine.native import faults


@patchable
def test_a_library_for_another_processor_is_one_sentence_and_doctor_survives_it(
    tmp_path: Path, random_model: Path
) -> None:
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.crashing("llama", "llama_decode"))
    ran = tv("prompt", "-m", random_model, "-t", "x", TV_LLAMA_LIB=folder)
    assert (ran.returncode, ran.stdout) == (3, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith(
        f"tv: llama.cpp crashed (SIGILL): the llama.cpp of TV_LLAMA_LIB in {folder} has instructions"
    )
    doctor = tv("doctor", "-m", random_model, TV_LLAMA_LIB=folder)
    assert (doctor.returncode, doctor.stderr) == (1, "")
    verdict = doctor.stdout.splitlines()[-1]
    assert verdict.startswith("verdict: not healthy, 1 of 1 checks failed: llama.cpp and the model load and run (")
    for part in ("SIGILL", "that this processor does not support", "the processor is ", "to another folder"):
        assert part in verdict
    assert "llama.cpp: llama.cpp " in doctor.stdout
    assert json.loads(tv("doctor", "--json", "-m", random_model, TV_LLAMA_LIB=folder).stdout)["healthy"] is False


@patchable
def test_a_library_that_crashes_while_it_is_loaded_is_a_verdict_too(tmp_path: Path) -> None:
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.crashing("llama", "llama_version"))
    doctor = tv("doctor", "-m", "fake", TV_LLAMA_LIB=folder)
    assert (doctor.returncode, doctor.stderr) == (1, "")
    assert "SIGILL" in doctor.stdout.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE])
def test_other_crashes_name_both_suspects(number: signal.Signals) -> None:
    said = faults.fault(number, "the llama.cpp of x in /y", "install it anew: z")
    assert said.startswith(f"llama.cpp crashed ({number.name}): either the model or mmproj file")
    assert "or the llama.cpp of x in /y is broken" in said
    assert said.endswith("install it anew: z")
