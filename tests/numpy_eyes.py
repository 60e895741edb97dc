"""CLIP's and InternVL's image encoders with their projectors, in NumPy: image tokens as the models' papers define them.

Written from the models, not from llama.cpp: the class token first, its position the first, and left out at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from random_models import Family
from random_models.writer import Weights, random_weights

Activation = Callable[[np.ndarray], np.ndarray]


def quick_gelu(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / (1 + np.exp(-1.702 * x)))


def gelu(x: np.ndarray) -> np.ndarray:
    return np.asarray(x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2)


def norm(x: np.ndarray, weights: Weights, name: str, eps: float) -> np.ndarray:
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def linear(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])


@dataclass(frozen=True)
class Eyes:
    """The mmproj of a random family; `blocks` to compute, `inner` the names of the feed-forward's two matrices."""

    family: Family
    blocks: int
    activation: Activation = quick_gelu
    inner: tuple[str, str] = ("ffn_up", "ffn_down")

    @property
    def weights(self) -> Weights:
        assert self.family.vision is not None
        return {
            name: random_weights(name, shape).astype(np.float64) for name, shape in self.family.vision.shapes.items()
        }

    def encoded(self, pixels: np.ndarray) -> np.ndarray:
        """Patches after the encoder, float64 (n, width), of uint8 (height, width, 3)."""
        assert self.family.vision is not None
        keys, weights = self.family.vision.metadata, self.weights
        heads, eps = keys["clip.vision.attention.head_count"], keys["clip.vision.attention.layer_norm_epsilon"]
        patches = self._patches((pixels / 255 - 0.5) / 0.25, weights)
        x = np.concatenate([weights["v.class_embd"].reshape(1, -1), patches])
        x += weights["v.position_embd.weight"].reshape(len(x), -1)
        if "v.pre_ln.weight" in weights:
            x = norm(x, weights, "v.pre_ln", eps)
        for block in range(self.blocks):
            at = f"v.blk.{block}"
            x = x + self._scale(f"{at}.ls1", weights) * attention(
                norm(x, weights, f"{at}.ln1", eps), weights, at, heads
            )
            hidden = self.activation(linear(norm(x, weights, f"{at}.ln2", eps), weights, f"{at}.{self.inner[0]}"))
            x = x + self._scale(f"{at}.ls2", weights) * linear(hidden, weights, f"{at}.{self.inner[1]}")
        return np.asarray(x[1:])

    @staticmethod
    def _patches(image: np.ndarray, weights: Weights) -> np.ndarray:
        kernel = weights["v.patch_embd.weight"]  # (width, 3, patch, patch)
        side = kernel.shape[-1]
        rows, columns = image.shape[0] // side, image.shape[1] // side
        cut = image.reshape(rows, side, columns, side, 3).transpose(0, 2, 4, 1, 3).reshape(rows * columns, -1)
        return np.asarray(cut @ kernel.reshape(len(kernel), -1).T + weights.get("v.patch_embd.bias", 0))

    @staticmethod
    def _scale(name: str, weights: Weights) -> np.ndarray:
        return np.asarray(weights.get(f"{name}.weight", 1.0))


def attention(x: np.ndarray, weights: Weights, at: str, heads: int) -> np.ndarray:
    q, k, v = (
        linear(x, weights, f"{at}.attn_{part}").reshape(len(x), heads, -1).swapaxes(0, 1) for part in ("q", "k", "v")
    )
    scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (shares / shares.sum(-1, keepdims=True)) @ v
    return linear(mixed.swapaxes(0, 1).reshape(len(x), -1), weights, f"{at}.attn_out")


def llava(eyes: Eyes, pixels: np.ndarray) -> np.ndarray:
    """LLaVA-1.5's image tokens, float64 (n, D)."""
    hidden = gelu(linear(eyes.encoded(pixels), eyes.weights, "mm.0"))
    return linear(hidden, eyes.weights, "mm.2")


def internvl(eyes: Eyes, pixels: np.ndarray) -> np.ndarray:
    """InternVL's image tokens of one tile, float64 (n / 4, D): 2 × 2 patches side by side, then two matrices."""
    x = eyes.encoded(pixels)
    side = math.isqrt(len(x))
    x = x.reshape(side // 2, 2, side // 2, 2, -1).transpose(0, 2, 1, 3, 4).reshape(len(x) // 4, -1)
    hidden = gelu(linear(norm(x, eyes.weights, "mm.model.mlp.0", 1e-5), eyes.weights, "mm.model.mlp.1"))
    return linear(hidden, eyes.weights, "mm.model.mlp.3")
