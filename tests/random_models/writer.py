"""A GGUF file from a list of tensor shapes: small random weights, the same ones on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter

Shapes = dict[str, tuple[int, ...]]  # NumPy's order: (outputs, inputs)
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class File:
    """What a GGUF file holds; keys of `metadata` are written out in full."""

    architecture: str
    metadata: Mapping[str, Any]
    shapes: Shapes

    def write(self, path: Path, weights: Weights | None = None) -> Path:
        """Write it, with random float32 `weights` unless they are given."""
        writer = GGUFWriter(path, self.architecture)
        for key, value in self.metadata.items():
            _add(writer, key, value)
        for name, shape in self.shapes.items():
            values = random_weights(name, shape) if weights is None else weights[name]
            assert values.shape == shape, (name, values.shape, shape)
            writer.add_tensor(name, np.ascontiguousarray(values, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


def random_weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Norms near 1, small biases, matrices that keep the size of what they multiply; float32."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
    if name.endswith("ssm_a"):
        return -np.exp(noise - 2 * (len(shape) < 2))  # a state decays; slowly where it has one rate per head
    if name == "rope_freqs.weight":
        return np.where(np.arange(len(noise)) < len(noise) // 4, 1, 1e30).astype(np.float32)  # 1e30: is not rotated
    if name.endswith(("put_min", "put_max")):
        return np.full(shape, -2 if name.endswith("min") else 2, np.float32)  # a limit that some values exceed
    if (name.endswith("weight") and ("norm" in name or ".ln" in name)) or "_scale" in name:
        return 1 + noise / 10
    if len(shape) < 2:
        return noise / 10
    if ("embd" in name and "patch" not in name) or "query" in name:
        return noise
    fan_in = shape[-1] if len(shape) != 4 else int(np.prod(shape[1:]))
    return np.asarray(noise / np.float32(np.sqrt(fan_in)))


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, np.int32):
        writer.add_int32(key, int(value))  # llama.cpp aborts where it asks for the other kind
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))
