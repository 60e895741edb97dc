"""Crashes and aborts in native code as one sentence, in a process that belongs to tv."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import threading
import time
from typing import Any

from tvcli.engine.native.process import Owner
from tvcli.errors import TvError, UnavailableError

EXIT_TIMEOUT = 5.0  # seconds
_callbacks: list[Any] = []  # callbacks, as long as the process lives


def catch_faults(owner: Owner, library: str, remedy: str) -> None:
    """Install handlers before the libraries are loaded: this processor may not support their first instruction.

    Python's own signal handlers run too late, after the failing instruction, which is then repeated.
    """
    if os.name != "posix" or faulthandler.is_enabled():
        return

    first = threading.Lock()

    # typedef void (*sighandler_t)(int);
    @ctypes.CFUNCTYPE(None, ctypes.c_int)  # type: ignore[untyped-decorator]
    def on_fault(number: int) -> None:
        if first.acquire(blocking=False):
            owner.error(fault(number, library, remedy))
        else:  # several threads may crash; the first one ends the process
            time.sleep(EXIT_TIMEOUT)
        os._exit(UnavailableError.exit_code)

    _callbacks.append(on_fault)
    # sighandler_t signal(int signum, sighandler_t handler);
    set_handler = ctypes.CDLL(None).signal
    set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT):
        set_handler(number, ctypes.cast(on_fault, ctypes.c_void_p))


def fault(number: int, library: str, remedy: str) -> str:
    """An error message for a fatal signal in native code."""
    name = signal.Signals(number).name
    if number == signal.SIGILL:
        return f"llama.cpp crashed (SIGILL): {library} has instructions that this processor does not support; {remedy}"
    return (
        f"llama.cpp crashed ({name}): either the model or mmproj file is not what it claims to be, or {library} "
        f"is broken: try `tv doctor` with the demo model, or {remedy}"
    )


def catch_aborts(owner: Owner, callback: Any) -> Any:
    """A function of type `callback` for ``ggml_set_abort_callback``; any of llama.cpp's threads may call it."""

    def on_abort(message: bytes) -> None:
        words = message.decode("utf-8", "replace").split(": ", 1)[-1]  # without the source location
        if "RPC" in words:
            owner.error(f"an RPC server was lost, with its part of the model ({words})")
            os._exit(UnavailableError.exit_code)
        owner.error(f"llama.cpp cannot continue: {words}")
        os._exit(TvError.exit_code)

    _callbacks.append(callback(on_abort))
    return _callbacks[-1]
