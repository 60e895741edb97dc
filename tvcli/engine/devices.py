"""What can compute: the devices that llama.cpp was built for, and those of RPC servers."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tvcli.engine import rpc, runtime
from tvcli.engine.runtime import C, declare
from tvcli.errors import UnavailableError, UsageError

KINDS = ("CPU", "GPU", "integrated GPU", "accelerator", "meta")  # enum ggml_backend_dev_type
GPU, INTEGRATED_GPU = 1, 2
MAX_BACKENDS = 16  # GGML_SCHED_MAX_BACKENDS; llama.cpp asserts it

# ggml_backend_reg_t ggml_backend_reg_by_name(const char * name);
ggml_backend_reg_by_name = declare("ggml_backend_reg_by_name", ctypes.c_void_p, ctypes.c_char_p)
# void * ggml_backend_reg_get_proc_address(ggml_backend_reg_t reg, const char * name);
ggml_backend_reg_get_proc_address = declare(
    "ggml_backend_reg_get_proc_address", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p
)
# const char * ggml_backend_reg_name(ggml_backend_reg_t reg);
ggml_backend_reg_name = declare("ggml_backend_reg_name", ctypes.c_char_p, ctypes.c_void_p)
# size_t ggml_backend_reg_dev_count(ggml_backend_reg_t reg);
ggml_backend_reg_dev_count = declare("ggml_backend_reg_dev_count", ctypes.c_size_t, ctypes.c_void_p)
# ggml_backend_dev_t ggml_backend_reg_dev_get(ggml_backend_reg_t reg, size_t index);
ggml_backend_reg_dev_get = declare("ggml_backend_reg_dev_get", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
# size_t ggml_backend_dev_count(void);
ggml_backend_dev_count = declare("ggml_backend_dev_count", ctypes.c_size_t)
# ggml_backend_dev_t ggml_backend_dev_get(size_t index);
ggml_backend_dev_get = declare("ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
# const char * ggml_backend_dev_name(ggml_backend_dev_t device);
ggml_backend_dev_name = declare("ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
# const char * ggml_backend_dev_description(ggml_backend_dev_t device);
ggml_backend_dev_description = declare("ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
# void ggml_backend_dev_memory(ggml_backend_dev_t device, size_t * free, size_t * total);
ggml_backend_dev_memory = declare(
    "ggml_backend_dev_memory",
    None,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_size_t),
)
# enum ggml_backend_dev_type ggml_backend_dev_type(ggml_backend_dev_t device);
ggml_backend_dev_type = declare("ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
# ggml_backend_reg_t ggml_backend_dev_backend_reg(ggml_backend_dev_t device);
ggml_backend_dev_backend_reg = declare("ggml_backend_dev_backend_reg", ctypes.c_void_p, ctypes.c_void_p)


@dataclass(frozen=True)
class Device:
    """One device; memory in bytes, as llama.cpp reports it (of a CPU, all of it counts as free)."""

    backend: str
    name: str
    kind: str
    description: str
    free: int
    total: int


def devices(endpoints: Sequence[str] = ()) -> list[Device]:
    """Every device of this build, then those of RPC servers, which are described as such and not by address."""
    runtime.start()
    local = [_describe(handle) for handle in _local()]
    return local + [_describe(handle, "RPC server") for handle in _remote(endpoints)]


def model_devices(endpoints: Sequence[str]) -> Any:
    """A NULL-terminated array for ``llama_model_params.devices``: the servers' devices, then local GPUs.

    The order and choice are llama.cpp's own (``llama_prepare_model_devices``). The servers are not put into
    its registry, so that other models of this process, and mtmd's vision tower, stay on this machine.

    Raises:
        UsageError: an address that makes no sense, or more devices than llama.cpp can hold.
        UnavailableError: llama.cpp was built without RPC, or a server is not there.
    """
    handles = [*_remote(endpoints), *_local_gpus()]
    if len(handles) + len(_local()) > MAX_BACKENDS:
        raise UsageError(f"llama.cpp spreads a model over {MAX_BACKENDS} devices at most; give fewer --rpc")
    return (ctypes.c_void_p * (len(handles) + 1))(*handles, None)


def _local() -> list[int]:
    return [ggml_backend_dev_get(i) for i in range(ggml_backend_dev_count())]


def _local_gpus() -> list[int]:
    """GPUs of one backend (two backends may see the same card), else integrated ones."""
    for kind in (GPU, INTEGRATED_GPU):
        found = [handle for handle in _local() if ggml_backend_dev_type(handle) == kind]
        if found:
            first = ggml_backend_dev_backend_reg(found[0])
            return [handle for handle in found if ggml_backend_dev_backend_reg(handle) == first]
    return []


def _remote(endpoints: Sequence[str]) -> Iterator[int]:
    for endpoint in rpc.parse_endpoints(endpoints):
        if not C.llama_supports_rpc():
            raise UnavailableError(
                "this llama-cpp-python was built without RPC; build it with CMAKE_ARGS=-DGGML_RPC=ON for --rpc"
            )
        rpc.check_server(endpoint)
        with runtime.deferred_interrupt():  # another client may have come first: then this waits
            registry = _add_server()(endpoint.encode())
        count = ggml_backend_reg_dev_count(registry) if registry else 0
        if not count:
            raise UnavailableError(f"the RPC server {endpoint} has no devices")
        yield from (ggml_backend_reg_dev_get(registry, i) for i in range(count))


@functools.cache
def _add_server() -> Any:
    """``ggml_backend_rpc_add_server`` (ggml-rpc.h), which lies in a library of its own."""
    registry = ggml_backend_reg_by_name(b"RPC")
    # ggml_backend_reg_t ggml_backend_rpc_add_server(const char * endpoint);
    prototype = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)
    return prototype(ggml_backend_reg_get_proc_address(registry, b"ggml_backend_rpc_add_server"))


def _describe(handle: int, description: str | None = None) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    return Device(
        backend=ggml_backend_reg_name(ggml_backend_dev_backend_reg(handle)).decode(),
        name=ggml_backend_dev_name(handle).decode(),
        kind=KINDS[ggml_backend_dev_type(handle)],
        description=description or ggml_backend_dev_description(handle).decode("utf-8", "replace"),
        free=free.value,
        total=total.value,
    )
