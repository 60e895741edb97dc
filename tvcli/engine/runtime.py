"""The llama.cpp library: loading it, its log, and the ggml functions that llama-cpp-python does not bind."""

from __future__ import annotations

import collections
import ctypes
import faulthandler
import functools
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tvcli.errors import TvError, UnavailableError
from tvcli.output import out

try:
    import llama_cpp._ggml as _ggml
    import llama_cpp.llama_cpp as C
    import llama_cpp.mtmd_cpp as M
except (ImportError, OSError, RuntimeError) as error:  # a broken build; the library's loader raises all three
    raise UnavailableError(f"llama-cpp-python cannot be loaded, install it anew: {error}") from error

__all__ = [
    "GGML_TYPE_F32",
    "C",
    "M",
    "TensorHead",
    "build",
    "declare",
    "default_threads",
    "deferred_interrupt",
    "features",
    "forget_errors",
    "ggml_backend_buffer_name",
    "ggml_backend_tensor_get",
    "ggml_backend_tensor_set",
    "ggml_get_name",
    "last_error",
    "start",
]
GGML_TYPE_F32 = 0
LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_CONTINUED = 3, 4, 5


class TensorHead(ctypes.Structure):
    """The first members of ``struct ggml_tensor`` (ggml.h); only read, never written."""

    _fields_ = [
        ("type", ctypes.c_int),  # enum ggml_type
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),  # number of elements
        ("nb", ctypes.c_size_t * 4),  # strides in bytes
    ]


def declare(name: str, restype: Any, *argtypes: Any) -> Any:
    """A function of ggml's with its prototype."""
    function = getattr(_ggml.libggml, name)
    function.restype, function.argtypes = restype, list(argtypes)
    return function


# const char * ggml_get_name(const struct ggml_tensor * tensor);
ggml_get_name = declare("ggml_get_name", ctypes.c_char_p, ctypes.c_void_p)
# void ggml_backend_tensor_get(const struct ggml_tensor * tensor, void * data, size_t offset, size_t size);
ggml_backend_tensor_get = declare(
    "ggml_backend_tensor_get", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t
)
# void ggml_backend_tensor_set(struct ggml_tensor * tensor, const void * data, size_t offset, size_t size);
ggml_backend_tensor_set = declare(
    "ggml_backend_tensor_set", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t
)
# const char * ggml_backend_buffer_name(ggml_backend_buffer_t buffer);
ggml_backend_buffer_name = declare("ggml_backend_buffer_name", ctypes.c_char_p, ctypes.c_void_p)
# const char * ggml_version(void);
ggml_version = declare("ggml_version", ctypes.c_char_p)
# const char * ggml_commit(void);
ggml_commit = declare("ggml_commit", ctypes.c_char_p)
# ggml_abort_callback_t ggml_set_abort_callback(ggml_abort_callback_t callback);
ggml_set_abort_callback = declare("ggml_set_abort_callback", ctypes.c_void_p, ctypes.c_void_p)

_recent: collections.deque[str] = collections.deque(maxlen=20)
_verbose = os.environ.get("TV_DEBUG") == "1"


# typedef void (*ggml_log_callback)(enum ggml_log_level level, const char * text, void * user_data);
@C.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, user_data: object) -> None:
    line = text.decode("utf-8", "replace")
    if _verbose:
        out.log(line)
    if level in (LOG_LEVEL_WARN, LOG_LEVEL_ERROR) and line.strip():
        _recent.append(line.strip())


# typedef void (*ggml_abort_callback_t)(const char * error_message);
@ctypes.CFUNCTYPE(None, ctypes.c_char_p)  # type: ignore[untyped-decorator]
def _on_abort(message: bytes) -> None:
    """llama.cpp is about to abort the process, from any of its threads: leave with a sentence instead."""
    words = message.decode("utf-8", "replace").split(": ", 1)[-1]  # without the place in its source
    if "RPC" in words:
        out.error(f"an RPC server is gone, and with it its part of the model ({words})")
        os._exit(UnavailableError.exit_code)
    out.error(f"llama.cpp cannot go on: {words}")
    os._exit(TvError.exit_code)


# typedef void (*sighandler_t)(int);
@ctypes.CFUNCTYPE(None, ctypes.c_int)  # type: ignore[untyped-decorator]
def _on_fault(number: int) -> None:
    """Native code has crashed, in any of its threads: a sentence instead of a core dump."""
    name = signal.Signals(number).name
    out.error(f"llama.cpp crashed ({name}), most likely over a model or mmproj file that is not what it claims to be")
    os._exit(UnavailableError.exit_code)


def _catch_faults() -> None:
    """What a file's contents can do to llama.cpp beyond what `gguf_file` knows. Python's own handlers run too late."""
    if os.name != "posix" or faulthandler.is_enabled():
        return
    # sighandler_t signal(int signum, sighandler_t handler);
    set_handler = ctypes.CDLL(None).signal
    set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT):
        set_handler(number, ctypes.cast(_on_fault, ctypes.c_void_p))


def forget_errors() -> None:
    """Before a call that may fail: what was logged earlier does not explain it."""
    _recent.clear()


def last_error() -> str:
    """llama.cpp's first complaint since `forget_errors`, without its source location, to put into a message."""
    words = [line.split("\n")[0].split(": ", 1)[-1] for line in _recent]
    return words[0] if words else "llama.cpp gave no reason"


@functools.cache
def start() -> None:
    """Initialize llama.cpp and take over its log, once a process.

    llama-cpp-python's ``verbose=False`` would redirect file descriptors 1 and 2 of the whole process.
    """
    if not _verbose:  # else llama.cpp prints where it was
        ggml_set_abort_callback(_on_abort)
        _catch_faults()
    for set_log in (C.llama_log_set, M.mtmd_log_set, M.mtmd_helper_log_set):
        set_log(_log, ctypes.c_void_p(0))
    C.llama_backend_init()


def build() -> str:
    """ggml's version and commit, which are llama.cpp's too."""
    return f"{ggml_version().decode()} ({ggml_commit().decode()})"


def features() -> str:
    """What the backends were built with and the CPU can do (``llama_print_system_info``)."""
    start()
    return str(C.llama_print_system_info().decode().strip(" |"))


@contextmanager
def deferred_interrupt() -> Iterator[list[int]]:
    """Ctrl-C during a native call is raised at the end of the block; the list it gives is then no longer empty.

    Raised inside a ctypes callback, before the callback's own `try` begins, it would be swallowed and lost.
    A second Ctrl-C ends the process at once: the call may take long, or wait for a server that never answers.
    """
    seen: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield seen
        return
    _pressed.clear()
    waking = signal.set_wakeup_fd(_signals().fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(waking)
    if seen:
        raise KeyboardInterrupt


_pressed: list[int] = []  # each Ctrl-C since the last native call began


@functools.cache
def _signals() -> socket.socket:
    """Where Python writes the number of every signal at once, while its handlers wait for a native call."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    return writer


def _watch(signals: socket.socket) -> None:
    while number := signals.recv(1):
        if number[0] == signal.SIGINT:
            _pressed.append(number[0])
        if len(_pressed) > 1:
            os._exit(130)


def default_threads() -> int:
    """All processors of a small machine, half of a larger one (the other half are usually SMT siblings)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count if count <= 4 else count // 2
