"""Which kernels multiply by a model's weights on the CPU.

llama.cpp puts weights into the first of the CPU's extra buffer types that takes them (`make_cpu_buft_list` in
src/llama-model.cpp), and the buffer decides the kernel. AMX comes first if it is compiled in, but may
crash: GCC 12 drops the tile configuration that ggml loads from a local variable (`ggml_tile_config_init` in
ggml/src/ggml-cpu/amx/mmq.cpp), and the process ends with SIGILL at the first product. Without it, the
repacked kernels are used.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from tvcli.engine.native import pinned


@dataclass(frozen=True)
class Kernels:
    """Names of the CPU's extra buffer types: those in use, best first, and those that tv has removed."""

    used: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = f"weights in {', '.join(self.used)} where a kernel for them exists" if self.used else "plain weights"
        off = f"; {', '.join(self.left_out)} is built in and left off, since it can crash" if self.left_out else ""
        return said + off


def leave_out_amx(library: Any) -> Kernels:
    """Remove AMX from the array that ``ggml_backend_dev_get_extra_bufts`` gives to every model that is loaded.

    The array ends in NULL, is built once, and is in writable memory (`ggml_backend_cpu_device_get_extra_buffers_type`
    in ggml/src/ggml-cpu/ggml-cpu.cpp).
    """
    buffers = _extra_buffers(library)
    if buffers is None:
        return Kernels()
    names = {buffer: library.ggml_backend_buft_name(buffer).decode() for buffer in buffers if buffer}
    used = [buffer for buffer in buffers if buffer and names[buffer] != pinned.AMX_BUFFERS]
    left_out = [buffer for buffer in buffers if buffer and buffer not in used]
    if left_out:
        buffers[:] = used + [None] * (len(buffers) - len(used))
    return Kernels(tuple(names[buffer] for buffer in used), tuple(names[buffer] for buffer in left_out))


def _extra_buffers(library: Any) -> Any:
    """The array as a ctypes view, with its final NULL; `None` without a CPU device or the function."""
    devices = [library.ggml_backend_dev_get(i) for i in range(library.ggml_backend_dev_count())]
    cpus = [device for device in devices if library.ggml_backend_dev_type(device) == pinned.DEVICE_CPU]
    if not cpus:
        return None
    registry = library.ggml_backend_dev_backend_reg(cpus[0])
    function = library.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
    first = library.ggml_backend_dev_get_extra_bufts_t(function)(cpus[0]) if function else None
    if not first:
        return None
    length = 1
    while (ctypes.c_void_p * length).from_address(first)[length - 1]:
        length += 1
    return (ctypes.c_void_p * length).from_address(first)
