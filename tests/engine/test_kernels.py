"""AMX is left out of llama.cpp's kernels, and nothing else is."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest
from native_process import run

from tvcli.engine.native import kernels, library, pinned


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
