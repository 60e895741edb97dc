"""Augmentation of pictures: other positions, angles, proportions, backgrounds and colors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def plain(images: Tensor, size: int) -> Tensor:
    """uint8 RGBA (B, H, W, 4) on white, resized: float (B, 3, size, size) in [-1, 1]."""
    x = images.permute(0, 3, 1, 2).float() / 255
    x = x[:, :3] * x[:, 3:] + 1 - x[:, 3:]
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False) * 2 - 1


def moved(images: Tensor, size: int) -> Tensor:
    """uint8 RGBA (B, H, W, 4) in another place, size and proportion, mostly on white: uint8 (B, 3, size, size)."""
    batch = len(images)
    x = images.permute(0, 3, 1, 2).float() / 255
    x = torch.cat([x[:, :3] * x[:, 3:], x[:, 3:]], 1)
    x = F.grid_sample(x, affine(batch, size), align_corners=False, padding_mode="zeros")
    ground = torch.rand(batch, 3, 1, 1)
    ground[torch.rand(batch) < 0.6] = 1
    return ((x[:, :3] + (1 - x[:, 3:]) * ground).clamp(0, 1) * 255).round().byte()


def affine(batch: int, size: int) -> Tensor:
    scale, aspect = uniform(batch, 0.75, 1.4), uniform(batch, 0.82, 1.22)
    angle, shift = uniform(batch, -0.25, 0.25), uniform(batch, -0.15, 0.15)
    rise = uniform(batch, -0.15, 0.15)
    first = torch.stack([scale * aspect * angle.cos(), -scale * angle.sin(), shift], -1)
    second = torch.stack([scale * angle.sin(), scale / aspect * angle.cos(), rise], -1)
    return F.affine_grid(torch.stack([first, second], 1), [batch, 4, size, size], align_corners=False)


def colored(x: Tensor) -> Tensor:
    """Random small changes of brightness, contrast, saturation, hue and sharpness: uint8 to float (B, 3, S, S) in
    [-1, 1]."""
    x = x.float() / 255
    batch = len(x)
    x = x * uniform(batch, 0.75, 1.2)[:, None, None, None] + (torch.rand(batch, 3, 1, 1) - 0.5) * 0.12
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * uniform(batch, 0.75, 1.25)[:, None, None, None]
    gray = x.mean(1, keepdim=True)
    x = gray + (x - gray) * uniform(batch, 0.6, 1.35)[:, None, None, None]
    soft = torch.rand(batch) < 0.15
    if soft.any():
        x[soft] = F.avg_pool2d(x[soft], 3, 1, 1)
    return x.clamp(0, 1) * 2 - 1


def uniform(batch: int, low: float, high: float) -> Tensor:
    return torch.rand(batch) * (high - low) + low
