"""Work in a process of its own: what it sends arrives, and a crash of it is an error."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from tvcli.doctor import isolated
from tvcli.doctor.isolated import DiedError

# -- in this process ------------------------------------------------------------------------------------------


class Child:
    """A process that runs its work in this one when it is started."""

    code: ClassVar[int] = 0
    calls: ClassVar[list[str]] = []

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...], daemon: bool) -> None:
        assert daemon  # it ends with its parent
        self.target, self.args = target, args
        self.exitcode: int | None = None

    def start(self) -> None:
        self.calls.append("start")
        assert not self.args[0].readable  # nothing is sent to the child
        self.target(*self.args)
        self.exitcode = self.code

    def join(self) -> None:
        self.calls.append("join")

    def kill(self) -> None:
        self.calls.append("kill")


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Child]]:
    """What the child writes to its standard error goes where that was redirected to."""
    here = multiprocessing.get_context("spawn")

    def context(name: str) -> SimpleNamespace:
        assert name == "spawn"
        return SimpleNamespace(Pipe=here.Pipe, Process=Child)

    monkeypatch.setattr(multiprocessing, "get_context", context)
    monkeypatch.setattr(Child, "calls", [])
    monkeypatch.setattr(Child, "code", 0)
    monkeypatch.setenv("GGML_NO_BACKTRACE", "0")
    redirected: list[int] = []

    def redirect(file: int, number: int) -> None:
        assert number == 2
        redirected.append(file)

    names = ("environ", "open", "O_WRONLY", "O_CREAT")
    system = SimpleNamespace(dup2=redirect, **{name: getattr(os, name) for name in names})
    monkeypatch.setattr(isolated, "os", system)
    monkeypatch.setattr(Child, "redirected", redirected, raising=False)
    yield Child
    for file in redirected:
        os.close(file)


def send_all(send: Callable[[Any], None], items: list[Any], said: bytes = b"") -> None:
    for item in items:
        send(item)
    if said:
        os.write(Child.redirected[-1], said)  # type: ignore[attr-defined]


def test_what_a_child_sends_arrives_in_order_and_then_it_is_ended(child: type[Child]) -> None:
    assert list(isolated.isolated(send_all, [1, None, "two"])) == [1, None, "two"]
    assert child.calls == ["start", "join", "kill", "join"]
    assert os.environ["GGML_NO_BACKTRACE"] == "1"


def test_a_child_whose_items_nobody_wants_is_ended(child: type[Child]) -> None:
    items = isolated.isolated(send_all, [1, 2])
    assert next(items) == 1
    assert isinstance(items, Iterator)
    items.close()  # type: ignore[attr-defined]
    assert child.calls == ["start", "kill", "join"]


@pytest.mark.parametrize(
    ("code", "said", "number", "reason"),
    [
        (-9, b"first\nlast\xff\n\n", 9, "last\ufffd"),
        (-1, b"x", 1, "x"),
        (1, b"", None, "it printed no error"),
        (3, b" \n", None, "it printed no error"),
    ],
)
def test_a_child_that_died_gives_its_signal_and_its_last_words(
    child: type[Child], monkeypatch: pytest.MonkeyPatch, code: int, said: bytes, number: int | None, reason: str
) -> None:
    monkeypatch.setattr(child, "code", code)
    with pytest.raises(DiedError) as died:
        list(isolated.isolated(send_all, [1], said))
    assert (died.value.signal, str(died.value)) == (number, reason)


def test_a_child_that_said_nothing_at_all_has_no_last_words(tmp_path: Path) -> None:
    assert isolated._last_line(tmp_path / "none") == "it printed no error"


@pytest.mark.usefixtures("ascii_locale")
def test_the_last_words_are_unicode_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "said").write_bytes("né\n".encode())
    assert isolated._last_line(tmp_path / "said") == "né"


# -- in a process of its own ----------------------------------------------------------------------------------


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
