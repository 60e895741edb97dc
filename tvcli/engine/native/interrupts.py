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

_watched: list[int] = []  # the signal that is deferred
_seen: list[int] = []  # one item each time that it came since the last native call began


@contextmanager
def deferred_interrupt() -> Iterator[list[int]]:
    """Ctrl-C during a native call is raised at the end of the block; the yielded list is then not empty.

    Raised inside a ctypes callback, before the callback's own `try` begins, it would be lost. So is what the ``tv``
    command makes of SIGTERM, where Ctrl-C is ignored: in a job in the background. The previous handler is restored when
    the block ends, and gets the signal. In a process that belongs to tv, a second one ends the process immediately: the
    call may take long, or wait for a server that never answers.
    """
    seen: list[int] = []
    number = _raising() if threading.current_thread() is threading.main_thread() else None
    handler = None if number is None else signal.getsignal(number)
    if number is None or not callable(handler):
        yield seen
        return
    with ExitStack() as stack:
        if owner() is not None:
            _seen.clear()
            _watched[:] = [number]
            waking = signal.set_wakeup_fd(_signals().fileno(), warn_on_full_buffer=False)
            stack.callback(signal.set_wakeup_fd, waking)
        stack.callback(signal.signal, number, handler)
        signal.signal(number, lambda number, _: seen.append(number))
        yield seen
    if seen:
        handler(number, None)


def _raising() -> int | None:
    """The signal whose handler raises KeyboardInterrupt, if any. The command's own handler of SIGTERM does so where
    SIGINT is ignored; elsewhere it raises SIGINT."""
    pressed = signal.getsignal(signal.SIGINT)
    if pressed is signal.default_int_handler:
        return signal.SIGINT
    return signal.SIGTERM if owner() is not None and pressed in (signal.SIG_IGN, None) else None


@functools.cache
def _signals() -> socket.socket:
    """A socket to which Python writes each signal number immediately, while its handlers wait for a native call."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    return writer


def _watch(signals: socket.socket) -> None:
    while number := signals.recv(1):
        if number[0] in _watched:
            _seen.append(number[0])
        if len(_seen) > 1:
            os._exit(128 + number[0])
