"""The language model's token embeddings of the classes' names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import gguf
import llama_cpp
import numpy as np


@dataclass(frozen=True)
class Words:
    """tokens: the names' token ids; embeddings: float32 (names, D), the mean of each name's token embeddings; slots:
    float32 (names, T, D), the targets of T image tokens: the name's token embeddings, repeated in order. All are
    scaled as the first decoder block gets them."""

    tokens: list[list[int]]
    embeddings: np.ndarray
    slots: np.ndarray


def read_words(model: Path, names: list[str], count: int, *, space: bool) -> Words:
    """The words of `names` for `count` image tokens, spelled as at the start of a text or, with `space`, as inside a
    sentence. The latter are fewer tokens (Qwen: one for 241 of the 443 names instead of 74)."""
    reader = gguf.GGUFReader(model)
    table = next(t for t in reader.tensors if t.name == "token_embd.weight")
    weights = gguf.dequantize(table.data, table.tensor_type).astype(np.float32)
    if reader.fields["general.architecture"].contents().startswith("gemma"):  # it multiplies its input embeddings
        weights *= np.float32(math.sqrt(weights.shape[1]))
    vocabulary = llama_cpp.Llama(str(model), vocab_only=True, verbose=False)
    spelled = [(" " if space else "") + name for name in names]
    tokens = [vocabulary.tokenize(name.encode(), add_bos=False, special=False) for name in spelled]
    means = np.stack([weights[ids].mean(0) for ids in tokens])
    slots = np.stack([weights[[ids[i % len(ids)] for i in range(count)]] for ids in tokens])
    return Words(tokens, means, slots)
