"""Devices that compute: those that llama.cpp was built for, and those of RPC servers."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tvcli.engine import rpc
from tvcli.engine.native import pinned
from tvcli.engine.native.interrupts import deferred_interrupt
from tvcli.engine.native.library import load
from tvcli.engine.native.memory import location, pointers, size
from tvcli.errors import UnavailableError, UsageError

KINDS = {
    pinned.DEVICE_CPU: "CPU",
    pinned.DEVICE_GPU: "GPU",
    pinned.DEVICE_INTEGRATED_GPU: "integrated GPU",
    pinned.DEVICE_ACCELERATOR: "accelerator",
    pinned.DEVICE_META: "meta",
}


@dataclass(frozen=True)
class Device:
    """One device; memory in bytes, as llama.cpp reports it (for a CPU, all memory counts as free)."""

    backend: str
    name: str
    kind: str
    description: str
    free: int
    total: int


def devices(endpoints: Sequence[str] = ()) -> list[Device]:
    """Every device of this build, then those of RPC servers, whose descriptions omit their addresses."""
    local = [_describe(handle) for handle in _local()]
    return local + [_describe(handle, "RPC server") for handle in _remote(endpoints)]


def model_devices(endpoints: Sequence[str]) -> Any:
    """A NULL-terminated array for ``llama_model_params.devices``: the servers' devices, then local GPUs.

    The order and choice are llama.cpp's own (``llama_prepare_model_devices``). The servers are not put into
    its registry, so that other models of this process, and mtmd's vision tower, stay on this machine.

    Raises:
        UsageError: an invalid address, or more devices than llama.cpp supports.
        UnavailableError: llama.cpp was built without RPC, or a server does not answer.
    """
    handles = [*_remote(endpoints), *_local_gpus()]
    if len(handles) + len(_local()) > pinned.MAX_BACKENDS:
        raise UsageError(f"llama.cpp distributes a model over at most {pinned.MAX_BACKENDS} devices; give fewer `rpc`")
    return pointers([*handles, None])


def _local() -> list[int]:
    library = load()
    return [library.ggml_backend_dev_get(i) for i in range(library.ggml_backend_dev_count())]


def has_gpu() -> bool:
    """Whether layers can lie on a GPU of this machine."""
    return bool(_local_gpus())


def _local_gpus() -> list[int]:
    """GPUs of one backend (two backends may list the same card), else integrated ones."""
    library = load()
    for kind in (pinned.DEVICE_GPU, pinned.DEVICE_INTEGRATED_GPU):
        found = [handle for handle in _local() if library.ggml_backend_dev_type(handle) == kind]
        if found:
            first = library.ggml_backend_dev_backend_reg(found[0])
            return [handle for handle in found if library.ggml_backend_dev_backend_reg(handle) == first]
    return []


def _remote(endpoints: Sequence[str]) -> Iterator[int]:
    library = load()
    for endpoint in rpc.parse_endpoints(endpoints):
        if not library.llama_supports_rpc():
            raise UnavailableError(
                "this llama-cpp-python was built without RPC; build it with CMAKE_ARGS=-DGGML_RPC=ON for `rpc`"
            )
        rpc.check_server(endpoint)
        with deferred_interrupt():  # waits while the server serves another client
            registry = _add_server()(endpoint.encode())
        count = library.ggml_backend_reg_dev_count(registry) if registry else 0
        if not count:
            raise UnavailableError(f"the RPC server {endpoint} has no devices")
        yield from (library.ggml_backend_reg_dev_get(registry, i) for i in range(count))


@functools.cache
def _add_server() -> Any:
    """``ggml_backend_rpc_add_server`` (ggml-rpc.h), which is in a separate library."""
    library = load()
    registry = library.ggml_backend_reg_by_name(b"RPC")
    address = library.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_rpc_add_server")
    return library.ggml_backend_rpc_add_server_t(address)


def _describe(handle: int, description: str | None = None) -> Device:
    free, total = size(), size()
    library = load()
    library.ggml_backend_dev_memory(handle, location(free), location(total))
    return Device(
        backend=library.ggml_backend_reg_name(library.ggml_backend_dev_backend_reg(handle)).decode(),
        name=library.ggml_backend_dev_name(handle).decode(),
        kind=KINDS[library.ggml_backend_dev_type(handle)],
        description=description or library.ggml_backend_dev_description(handle).decode("utf-8", "replace"),
        free=free.value,
        total=total.value,
    )


def default_threads() -> int:
    """All processors of a small machine, half of a larger one (the other half are usually SMT siblings)."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return count if count <= 4 else count // 2
