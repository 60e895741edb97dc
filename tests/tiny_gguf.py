"""A whole language model and its vision half in a few hundred kilobytes, byte by byte, so that each byte can be wrong.

The `gguf` package's writer refuses most of what the tests need to write.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
U16 = 2
FORMATS = {0: "B", 1: "b", U16: "H", 3: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", 11: "q", 12: "d"}

Value = tuple[Any, ...]  # (type, value) or (ARRAY, element type, values)


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def encoded(kind: int, value: Any) -> bytes:
    return text(value) if kind == STRING else struct.pack("<" + FORMATS[kind], value)


def entry(key: str, value: Value) -> bytes:
    """A key as it lies in the file."""
    if value[0] != ARRAY:
        return text(key) + struct.pack("<I", value[0]) + encoded(*value)
    _, kind, values = value
    head = struct.pack("<IIQ", ARRAY, kind, len(values))
    return text(key) + head + b"".join(encoded(kind, one) for one in values)


@dataclass(frozen=True)
class Tensor:
    """`shape` in ggml's order, the row's length first; `data` float32."""

    name: str
    shape: tuple[int, ...]
    offset: int | None = None  # where its data are said to lie, if not where they do
    kind: int = 0
    n_dims: int | None = None

    def info(self, offset: int) -> bytes:
        n_dims = len(self.shape) if self.n_dims is None else self.n_dims
        told = offset if self.offset is None else self.offset
        return text(self.name) + struct.pack(f"<I{len(self.shape)}QIQ", n_dims, *self.shape, self.kind, told)

    def data(self) -> bytes:
        noise = np.random.default_rng(len(self.name)).standard_normal(self.shape[::-1], np.float32) / 8
        return noise.tobytes()


@dataclass(frozen=True)
class File:
    """What a GGUF file holds, and what its first bytes claim."""

    keys: dict[str, Value]
    tensors: Sequence[Tensor]
    magic: bytes = b"GGUF"
    version: int = 3
    n_tensors: int | None = None
    n_keys: int | None = None
    extra_keys: bytes = b""  # after the others, and not counted

    def with_keys(self, **changes: Value | None) -> File:
        """Change keys, whose dots are written as two underlines; `None` takes one away."""
        changed = {**self.keys, **{key.replace("__", "."): value for key, value in changes.items()}}
        return replace(self, keys={key: value for key, value in changed.items() if value is not None})

    def with_tensor(self, tensor: str, /, **changes: Any) -> File:
        return replace(self, tensors=[replace(t, **changes) if t.name == tensor else t for t in self.tensors])

    def __bytes__(self) -> bytes:
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_keys = len(self.keys) if self.n_keys is None else self.n_keys
        head = self.magic + struct.pack("<IQQ", self.version, n_tensors, n_keys)
        head += b"".join(entry(key, value) for key, value in self.keys.items()) + self.extra_keys
        data = b""
        for tensor in self.tensors:
            head += tensor.info(len(data))
            if len(tensor.shape) < 5 and max(tensor.shape, default=0) < 1 << 20:
                data += padded(tensor.data())
        return padded(head) + data


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 32)


WIDTH, FEED, LAYERS = 32, 64, 2
TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "Q", "A", ":", "x"]


def model() -> File:
    """A Llama of two layers that llama.cpp loads and runs."""
    keys: dict[str, Value] = {
        "general.architecture": (STRING, "llama"),
        "general.type": (STRING, "model"),
        "general.name": (STRING, "tiny"),
        "llama.block_count": (U32, LAYERS),
        "llama.context_length": (U32, 256),
        "llama.embedding_length": (U32, WIDTH),
        "llama.feed_forward_length": (U32, FEED),
        "llama.attention.head_count": (U32, 2),
        "llama.attention.head_count_kv": (U32, 1),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        "llama.rope.dimension_count": (U32, WIDTH // 2),
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": (ARRAY, STRING, TOKENS),
        "tokenizer.ggml.scores": (ARRAY, F32, [-float(i) for i in range(len(TOKENS))]),
        "tokenizer.ggml.token_type": (ARRAY, I32, [2, 3, 3] + [6] * 256 + [1] * (len(TOKENS) - 259)),
        "tokenizer.ggml.bos_token_id": (U32, 1),
        "tokenizer.ggml.eos_token_id": (U32, 2),
    }
    tensors = [Tensor("token_embd.weight", (WIDTH, len(TOKENS))), Tensor("output_norm.weight", (WIDTH,))]
    for layer in range(LAYERS):
        shapes = {
            "attn_norm": (WIDTH,),
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (WIDTH, WIDTH // 2),
            "attn_v": (WIDTH, WIDTH // 2),
            "attn_output": (WIDTH, WIDTH),
            "ffn_norm": (WIDTH,),
            "ffn_gate": (WIDTH, FEED),
            "ffn_up": (WIDTH, FEED),
            "ffn_down": (FEED, WIDTH),
        }
        tensors += [Tensor(f"blk.{layer}.{name}.weight", shape) for name, shape in shapes.items()]
    return File(keys, tensors)


def vision() -> File:
    """A tower of one layer with Gemma 3's projector, as wide as `model`."""
    keys: dict[str, Value] = {
        "general.architecture": (STRING, "clip"),
        "general.type": (STRING, "mmproj"),
        "clip.has_vision_encoder": (BOOL, True),
        "clip.projector_type": (STRING, "gemma3"),
        "clip.use_gelu": (BOOL, True),
        "clip.vision.image_size": (U32, 32),
        "clip.vision.patch_size": (U32, 16),
        "clip.vision.embedding_length": (U32, 16),
        "clip.vision.feed_forward_length": (U32, 32),
        "clip.vision.projection_dim": (U32, WIDTH),
        "clip.vision.block_count": (U32, 1),
        "clip.vision.attention.head_count": (U32, 2),
        "clip.vision.projector.scale_factor": (U32, 2),
        "clip.vision.attention.layer_norm_epsilon": (F32, 1e-6),
        "clip.vision.image_mean": (ARRAY, F32, [0.5, 0.5, 0.5]),
        "clip.vision.image_std": (ARRAY, F32, [0.5, 0.5, 0.5]),
    }
    shapes = {
        "v.patch_embd.weight": (16, 16, 3, 16),
        "v.patch_embd.bias": (16,),
        "v.position_embd.weight": (16, 4),
        "v.post_ln.weight": (16,),
        "v.post_ln.bias": (16,),
        "mm.soft_emb_norm.weight": (16,),
        "mm.input_projection.weight": (WIDTH, 16),
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        shapes |= {f"v.blk.0.{name}.weight": (16, 16), f"v.blk.0.{name}.bias": (16,)}
    shapes |= {"v.blk.0.ffn_up.weight": (16, 32), "v.blk.0.ffn_up.bias": (32,)}
    shapes |= {"v.blk.0.ffn_down.weight": (32, 16), "v.blk.0.ffn_down.bias": (16,)}
    for name in ("ln1", "ln2"):
        shapes |= {f"v.blk.0.{name}.weight": (16,), f"v.blk.0.{name}.bias": (16,)}
    return File(keys, [Tensor(name, shape) for name, shape in shapes.items()])
