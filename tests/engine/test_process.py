"""What tv does to a process that imports it: no signals, no prints, every failure an exception."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from native_process import run

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
def test_a_library_does_not_touch_the_process_that_imports_it(random_model: Path) -> None:
    ran = run(["-c", GUEST, random_model])
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


def test_every_failure_of_the_library_is_an_exception_and_nothing_is_printed(
    random_model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(random_model.read_bytes()[:5000])
    ran = run(["-c", FAILING, random_model, broken, tmp_path / "nowhere.gguf"])
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
