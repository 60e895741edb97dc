"""The vision tower and projector: SigLIP's shape, as llama.cpp runs it for Gemma 3 (clip.cpp, `gemma3`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    image: int = 96  # pixels, width and height
    patch: int = 16  # pixels
    width: int = 192
    depth: int = 6
    heads: int = 3
    mlp: int = 768
    pool: int = 3  # patches a side that are averaged into one image token
    out: int = 640  # width of the language model

    @property
    def grid(self) -> int:
        return self.image // self.patch

    @property
    def tokens(self) -> int:
        return (self.grid // self.pool) ** 2


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.ln1, self.ln2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, shape.mlp), nn.Linear(shape.mlp, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln1(x)
        q, k, v = (self.split(layer(y)) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + self.o(mixed)
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))

    def split(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        return x.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)


class Tower(nn.Module):
    """Pictures (B, 3, S, S) in [-1, 1] to image tokens (B, tokens, out)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.patch = nn.Conv2d(3, shape.width, shape.patch, shape.patch)
        self.position = nn.Parameter(positions(shape))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.post = nn.LayerNorm(shape.width, eps=1e-6)
        self.norm = nn.Parameter(torch.ones(shape.width))
        self.projection = nn.Linear(shape.width, shape.out, bias=False)
        for block in self.blocks:
            mimetic(block)

    def patches(self, x: Tensor) -> Tensor:
        """The tower's output, (B, grid², width)."""
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        return self.post(x)

    def pooled(self, patches: Tensor) -> Tensor:
        """What the projection sees, (B, tokens, width)."""
        batch, _, width = patches.shape
        square = patches.transpose(1, 2).reshape(batch, width, self.shape.grid, self.shape.grid)
        pooled = F.avg_pool2d(square, self.shape.pool).flatten(2).transpose(1, 2)
        return pooled * torch.rsqrt(pooled.square().mean(-1, keepdim=True) + 1e-6) * self.norm

    def project(self, patches: Tensor) -> Tensor:
        return self.projection(self.pooled(patches))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.patches(x))

    @torch.no_grad()
    def start_patches_from(self, images: Tensor) -> None:
        """Patch embedding = whitened principal components of patches; from random weights learning is several
        times slower."""
        size, width = self.shape.patch, self.shape.width
        patches = F.unfold(images, size, stride=size).transpose(1, 2).reshape(-1, 3 * size * size)
        patches = patches[torch.randperm(len(patches))[:20_000]]
        mean = patches.mean(0)
        _, scale, directions = torch.pca_lowrank(patches - mean, q=width, niter=3)
        deviation = scale / math.sqrt(len(patches))
        weight = (directions / deviation.clamp(min=deviation[0] * 0.02)).T * 0.5
        self.patch.weight.copy_(weight.view(width, 3, size, size))
        self.patch.bias.copy_(-(weight @ mean))


def positions(shape: Shape) -> Tensor:
    """Two-dimensional sinusoids, (grid², width)."""
    half = shape.width // 2
    angles = torch.arange(shape.grid)[:, None] / 50 ** (torch.arange(half // 2) / (half // 2))
    side = torch.cat([angles.sin(), angles.cos()], 1)
    rows = side[:, None].expand(shape.grid, shape.grid, half)
    columns = side[None].expand(shape.grid, shape.grid, half)
    return torch.cat([rows, columns], -1).reshape(shape.grid**2, shape.width) * 0.5


@torch.no_grad()
def mimetic(block: Block) -> None:
    """Start attention as trained towers look: queries times keys near the identity, values times output near its
    negative (Trockman and Kolter, "Mimetic initialization of self-attention layers", 2023). Worth much when
    pictures are few."""
    width = block.q.in_features
    size = width // block.heads
    query, key = block.q.weight.view(block.heads, size, width), block.k.weight.view(block.heads, size, width)
    for head in range(block.heads):
        wanted = 0.7 * torch.randn(width, width) / math.sqrt(width) + 0.7 * torch.eye(width)
        left, scale, right = torch.linalg.svd(wanted)
        root = scale[:size].sqrt()
        query[head] = (left[:, :size] * root).T
        key[head] = root[:, None] * right[:size]
    wanted = 0.4 * torch.randn(width, width) / math.sqrt(width) - 0.4 * torch.eye(width)
    left, scale, right = torch.linalg.svd(wanted)
    block.o.weight.copy_(left * scale.sqrt())
    block.v.weight.copy_(scale.sqrt()[:, None] * right)
