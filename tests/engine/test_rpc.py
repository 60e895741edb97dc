"""Models on RPC servers: addresses, servers that are not what they should be, and (marker `rpc`) a real one."""

import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from conftest import DATA, ROOT, Process, Runner

from tvcli.engine import devices, rpc
from tvcli.engine.native.library import load
from tvcli.engine.protocol import Decoding, Engine, Patch, Settings
from tvcli.errors import UnavailableError, UsageError
from tvcli.images import load_image
from tvcli.models.opening import open_model
from tvcli.prompts.prompt import zero_shot

BUILT_WITH_RPC = bool(load().llama_supports_rpc())


@pytest.mark.parametrize(
    "address",
    ["host", "host:", ":50052", "host:0", "host:65536", "host:x", "host:1:2", "[::1]:50052", "a b:1", "http://a:1"],
)
def test_a_malformed_address_is_a_usage_error(tv: Runner, address: str) -> None:
    ran = tv("prompt", "-t", "x", "--rpc", address)
    assert ran.code == 2
    said = ran.err.replace("`rpc`", "--rpc")
    assert said == f"tv: --rpc takes HOST:PORT, a name or IPv4 address and a port up to 65535, not {address!r}\n"


def test_addresses_are_taken_in_order_and_once(tv: Runner) -> None:
    assert rpc.parse_endpoints(["a:1", "10.0.0.2:65535"]) == ("a:1", "10.0.0.2:65535")
    with pytest.raises(UsageError, match="`rpc` a:1 is given twice"):
        rpc.parse_endpoints(["a:1", "b:1", "a:1"])
    assert tv("prompt", "-t", "x", "--rpc", "a:1", "--rpc", "b:1").code == 0  # the fake needs none


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """The address of a server that answers each greeting so, or not at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                greeting = connection.recv(9 + 24, socket.MSG_WAITALL)
                assert greeting == struct.pack("<BQ", 14, 24) + bytes(24)
                if answer is not None:
                    connection.sendall(answer)
                else:
                    connection.recv(1)  # until the client gives up

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def hello(major: int, minor: int) -> bytes:
    return struct.pack("<Q4B", 28, major, minor, 0, 0) + bytes(24)


def test_a_server_of_this_protocol_is_accepted() -> None:
    with listening(hello(7, 0)) as endpoint:
        rpc.check_server(endpoint)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "does not answer; it serves one client at a time, and may be serving another"),
        (b"", "is not a llama.cpp rpc-server of this version"),
        (b"HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "is not a llama.cpp rpc-server of this version"),
        (hello(7, 0)[:-1], "is not a llama.cpp rpc-server of this version"),
        (hello(6, 2), "uses protocol 6.2, this llama.cpp 7.0; run an rpc-server of the same llama.cpp version"),
        (hello(7, 1), "uses protocol 7.1"),
    ],
)
def test_what_is_no_usable_server_is_said_and_llama_cpp_never_sees_it(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, words: str
) -> None:
    monkeypatch.setattr(rpc, "ANSWER_TIMEOUT", 0.2)
    with listening(answer) as endpoint, pytest.raises(UnavailableError) as caught:
        rpc.check_server(endpoint)
    assert words in str(caught.value)
    assert endpoint in str(caught.value)


def test_a_server_that_is_not_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnavailableError, match=f"the RPC server 127.0.0.1:{port} does not answer: connection refused"):
        rpc.check_server(f"127.0.0.1:{port}")
    with pytest.raises(UnavailableError, match="does not answer"):
        rpc.check_server(f"{'x' * 70}.invalid:1")


@pytest.mark.skipif(BUILT_WITH_RPC, reason="this llama-cpp-python has RPC")
def test_a_build_without_rpc_is_said() -> None:
    with pytest.raises(UnavailableError, match="was built without RPC; build it with CMAKE_ARGS=-DGGML_RPC=ON"):
        devices.model_devices(("127.0.0.1:1",))


def test_more_devices_than_llama_cpp_can_hold_are_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_remote", lambda endpoints: iter(range(1, 1 + len(endpoints))))
    assert len(devices.model_devices(["a:1", "b:1"])) == 2 + len(devices._local_gpus()) + 1  # NULL ends the list
    with pytest.raises(UsageError, match="over at most 16 devices; give fewer `rpc`"):
        devices.model_devices([f"a:{port}" for port in range(1, 17)])


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("Remote RPC server crashed", 3, "an RPC server was lost, with its part of the model"),
        ("GGML_ASSERT(n > 0) failed", 1, "llama.cpp cannot continue: GGML_ASSERT(n > 0) failed"),
    ],
)
def test_an_abort_in_any_of_llama_cpps_threads_is_one_sentence(words: str, code: int, sentence: str) -> None:
    script = f"""if True:
        import ctypes, threading
        from tvcli.cli.signals import own_process
        from tvcli.engine.native import library, places
        own_process()
        library.load()
        abort = ctypes.CDLL(str(places.find().libraries()[0])).ggml_abort
        thread = threading.Thread(target=abort, args=(b"/build/ggml.c", 7, b"{words}"))
        thread.start(), thread.join()
    """
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == code
    [line] = ran.stderr.splitlines()
    assert line.startswith(f"tv: {sentence}")
    assert "/build" not in line


def test_a_second_ctrl_c_ends_a_native_call_that_never_returns() -> None:
    script = """if True:
        import ctypes, os
        from tvcli.cli.signals import own_process
        from tvcli.engine.native.interrupts import deferred_interrupt
        own_process()
        with deferred_interrupt():
            os.write(1, b"called")
            while True:
                ctypes.CDLL(None).pause()  # returns at a signal, as a wait for a socket does not
    """
    with Process([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"called"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


# -- a real server, in a process of its own ---------------------------------------------------------------


@contextmanager
def serving() -> Iterator[tuple[str, Process]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = ROOT / "tests" / "rpc_server.py"
    with Process([sys.executable, script, str(port)], stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                with socket.socket() as knock:
                    if knock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"127.0.0.1:{port}", process
        finally:
            process.kill()


def real(test: Callable[..., None]) -> Callable[..., None]:
    skipped = pytest.mark.skipif(not BUILT_WITH_RPC, reason="llama-cpp-python was built without RPC")
    for mark in (skipped, pytest.mark.rpc, pytest.mark.model):
        test = mark(test)
    return test


def everything(engine: Engine, rows: np.ndarray) -> dict[str, Any]:
    """What a model reads and answers, in words and pictures, every layer patched alone and all in one batch."""
    found: dict[str, Any] = {}
    for x in ("Egypt", load_image(DATA / "flags" / "eg.png")):
        prompt, patches = zero_shot(x), [Patch(layer, row) for layer, row in enumerate(rows)]
        found |= {
            f"{x} read": engine.read([prompt]),
            f"{x} alone": np.array([engine.logits([prompt], [patch])[0, 0] for patch in patches]),
            f"{x} swept": engine.logits([prompt], patches),
            f"{x} answered": engine.answer([prompt], patches, Decoding(6)),
        }
    return found


@real
@pytest.mark.parametrize("servers", [1, 2])
def test_a_model_on_servers_is_bit_equal_to_the_same_kernels_here(
    monkeypatch: pytest.MonkeyPatch, servers: int
) -> None:
    defaults = load().llama_model_default_params

    def without_repacking() -> object:  # a server's CPU does not repack weights for other kernels, this CPU would
        params = defaults()
        params.use_extra_bufts = False
        return params

    monkeypatch.setattr(load(), "llama_model_default_params", without_repacking)
    with open_model("picto", settings=Settings(threads=1)) as here:
        rows = here.engine.read([zero_shot("Norway")])[0]
        expected = everything(here.engine, rows)
    with serving() as (one, _), serving() as (other, _):
        settings = Settings(threads=1, rpc=(one, other)[:servers])
        with open_model("picto", settings=settings) as there:
            assert len(set(there.engine.buffers)) == servers
            assert all(name.startswith("RPC") for name in there.engine.buffers)
            found = everything(there.engine, rows)
    for name, value in expected.items():
        assert np.array_equal(found[name], value) if isinstance(value, np.ndarray) else found[name] == value, name


@contextmanager
def asking(endpoint: str) -> Iterator[Process]:
    """A `tv prompt` that has answered its first query by a server, and waits for more."""
    command = [sys.executable, "-m", "tvcli", "prompt", "--queries", "-", "--json", "--rpc", endpoint]
    pipe = subprocess.PIPE
    with Process(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"France\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["input"] == "France"
        yield process


@real
def test_a_server_that_dies_is_one_sentence_and_answers_so_far_are_kept() -> None:
    with serving() as (endpoint, server), asking(endpoint) as process:
        server.kill()
        server.wait()
        _, noise = process.communicate(b"Italy\n", timeout=20)
    assert process.returncode == 3
    [sentence] = noise.decode().splitlines()
    assert sentence.startswith("tv: an RPC server was lost, with its part of the model")


@real
def test_a_server_that_hangs_can_be_left_with_two_ctrl_c() -> None:
    with serving() as (endpoint, server), asking(endpoint) as process:
        assert process.stdin is not None
        server.send_signal(signal.SIGSTOP)
        process.stdin.write(b"Italy\n")
        process.stdin.flush()
        time.sleep(1)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        assert process.wait(10) == 130
