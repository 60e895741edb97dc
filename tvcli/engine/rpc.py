"""Servers whose devices are used: llama.cpp's ``rpc-server``, by address.

llama.cpp aborts the process when a server cannot be reached or speaks another protocol. So tv first sends
the hello message of ggml-rpc.cpp: one byte command, eight bytes size, then the message, in both directions.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Sequence

from tvcli.engine.native import pinned
from tvcli.errors import UnavailableError, UsageError, reason

CAPABILITIES = bytes(pinned.RPC_CAPABILITIES)  # only TCP
ANSWER = struct.Struct("<Q4B24x")  # size, then struct rpc_msg_hello_rsp: major, minor, patch, padding, capabilities
ANSWER_TIMEOUT = 5.0  # seconds for a server to answer


def parse_endpoints(endpoints: Sequence[str]) -> tuple[str, ...]:
    """The addresses themselves, if each is HOST:PORT and none occurs twice. Raises UsageError."""
    for endpoint in endpoints:
        found = re.fullmatch(r"[^\s:\[\]/]+:([0-9]{1,5})", endpoint, re.ASCII)
        if found is None or not 1 <= int(found[1]) <= 65535:
            raise UsageError(f"`rpc` takes HOST:PORT, a name or IPv4 address and a port up to 65535, not {endpoint!r}")
        if endpoints.count(endpoint) > 1:
            raise UsageError(f"`rpc` {endpoint} is given twice")
    return tuple(endpoints)


def check_server(endpoint: str) -> None:
    """Raises UnavailableError unless a compatible rpc-server at HOST:PORT is free."""
    host, port = endpoint.rsplit(":", 1)
    try:
        # the address family that llama.cpp uses: IPv4
        address = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)[0][4]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.settimeout(ANSWER_TIMEOUT)
            connection.connect(address)
            answer = _hello(connection, endpoint)
    except (OSError, UnicodeError) as error:
        words = reason(error) if isinstance(error, OSError) else str(error)
        raise UnavailableError(f"the RPC server {endpoint} does not answer: {words}") from error
    if len(answer) != ANSWER.size or ANSWER.unpack(answer)[0] != ANSWER.size - 8:
        raise UnavailableError(f"the server at {endpoint} is not a llama.cpp rpc-server of this version")
    _, major, minor, *_ = ANSWER.unpack(answer)
    if major != pinned.RPC_MAJOR or minor > pinned.RPC_MINOR:
        raise UnavailableError(
            f"the RPC server {endpoint} uses protocol {major}.{minor}, this llama.cpp "
            f"{pinned.RPC_MAJOR}.{pinned.RPC_MINOR}; run an rpc-server of the same llama.cpp version"
        )


def _hello(connection: socket.socket, endpoint: str) -> bytes:
    """The reply to the hello message, up to the size of an answer."""
    connection.sendall(struct.pack("<BQ", pinned.RPC_HELLO, len(CAPABILITIES)) + CAPABILITIES)
    answer = b""
    try:
        while len(answer) < ANSWER.size and (more := connection.recv(ANSWER.size - len(answer))):
            answer += more
    except TimeoutError as error:
        raise UnavailableError(
            f"the RPC server {endpoint} does not answer; it serves one client at a time, and may be serving another"
        ) from error
    return answer
