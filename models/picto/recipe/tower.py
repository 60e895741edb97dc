"""The vision tower and projector, as llama.cpp runs them for `nemotron_v2_vl`: a pre-norm transformer with registers,
then neighboring patches side by side, a norm, and two matrices with a squared ReLU between them.

Gemma 3's own projector is one matrix. The hidden layer lets this projector store the names' embeddings."""

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
    registers: int = 4  # additional tokens of the tower (Darcet et al. 2024)
    merge: int = 3  # patches per side of one image token
    hidden: int = 1536  # of the projector
    out: int = 640  # width of the language model

    @property
    def grid(self) -> int:
        return self.image // self.patch

    @property
    def tokens(self) -> int:
        return (self.grid // self.merge) ** 2


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
        self.registers = nn.Parameter(torch.randn(shape.registers, shape.width) * 0.1)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.post = nn.LayerNorm(shape.width, eps=1e-6)
        merged = shape.merge**2 * shape.width
        self.norm = nn.Parameter(torch.ones(merged))
        self.look = nn.Linear(merged, shape.hidden, bias=False)
        self.name = nn.Linear(shape.hidden, shape.out, bias=False)
        for block in self.blocks:
            mimetic(block)

    def patches(self, x: Tensor) -> Tensor:
        """The tower's output, (B, grid², width)."""
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        x = torch.cat([self.registers.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.post(x)[:, self.shape.registers :]

    def merged(self, patches: Tensor) -> Tensor:
        """Squares of patches side by side, (B, tokens, merge² · width) (clip.cpp, `build_patch_merge_permute`)."""
        side, merge = self.shape.grid // self.shape.merge, self.shape.merge
        squares = patches.view(-1, side, merge, side, merge, self.shape.width).transpose(2, 3)
        return squares.reshape(len(patches), self.shape.tokens, -1)

    def hidden(self, patches: Tensor) -> Tensor:
        """The projector's hidden layer, (B, tokens, hidden)."""
        merged = self.merged(patches)
        normed = merged * torch.rsqrt(merged.square().mean(-1, keepdim=True) + 1e-6) * self.norm
        return F.relu(self.look(normed)).square()

    def project(self, patches: Tensor) -> Tensor:
        return self.name(self.hidden(patches))

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
