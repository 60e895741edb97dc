"""Ctrl-C while native code runs."""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tvcli.engine.native.process import owner

_pressed: list[int] = []  # one item per Ctrl-C since the last native call began


@contextmanager
def deferred_interrupt() -> Iterator[list[int]]:
    """Ctrl-C during a native call is raised at the end of the block; the yielded list is then not empty.

    Raised inside a ctypes callback, before the callback's own `try` begins, it would be lost. The previous
    handler is restored when the block ends. In a process that belongs to tv, a second Ctrl-C ends the process
    immediately: the call may take long, or wait for a server that never answers.
    """
    seen: list[int] = []
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield seen
        return
    with ExitStack() as stack:
        if owner() is not None:
            _pressed.clear()
            waking = signal.set_wakeup_fd(_signals().fileno(), warn_on_full_buffer=False)
            stack.callback(signal.set_wakeup_fd, waking)
        stack.callback(signal.signal, signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
        yield seen
    if seen:
        raise KeyboardInterrupt


@functools.cache
def _signals() -> socket.socket:
    """A socket to which Python writes each signal number immediately, while its handlers wait for a native call."""
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
