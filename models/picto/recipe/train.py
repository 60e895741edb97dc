"""Trains the tower to classify like the teacher, and to move every image token to the embedding of its name.

The loss has four terms: the class by the image tokens, with hard labels; the class by the whole picture, with the
teacher's soft labels (distillation); the teacher's features; and, with a weight that rises from zero, the distance of
every single image token from the name's embedding. Pictures of none of the classes only train the features: the more of
them, the closer the tower is to the teacher in a style that neither was trained on (Beyer et al. 2022, "function
matching"). For flags the teacher, which was trained on photographs, is not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from augment import colored
from export import load_tower
from pictures import UNNAMED
from teacher import Head
from torch import Tensor, nn
from tower import Shape, Tower
from words import Words

BATCH = 128
FITTED = 8192  # pictures for `fit_outputs`
Advance = Callable[[int], None]  # called with a number of batches
Log = Callable[[int, list[float]], None]  # called with an epoch and its losses


@dataclass(frozen=True)
class Course:
    """epochs: how often every crop of the pool is shown; rate: the highest learning rate; near: the weight of the
    distance from the name, which rises from zero if `rises`."""

    epochs: int
    rate: float
    near: float
    rises: bool

    def weight(self, progress: float) -> float:
        """The weight of the distance at `progress`, 0 to 1."""
        return self.near * min(1.0, 2 * progress) if self.rises else self.near


FROM_SCRATCH = Course(epochs=20, rate=1.2e-3, near=4.0, rises=True)
FURTHER = Course(epochs=14, rate=3e-4, near=8.0, rises=False)  # from a trained tower


@dataclass(frozen=True)
class Pool:
    """The training data: crops uint8 (M, 3, S, S), the teacher's features float16 (M, 1280), labels (M,), and whether
    they are flags (M,)."""

    crops: np.ndarray
    seen: Tensor
    labels: Tensor
    flags: Tensor

    @property
    def batches(self) -> int:
        """Batches per epoch."""
        return len(self.labels) // BATCH

    def draw(self, index: Tensor, size: int) -> Batch:
        """The crops of `index`, each cropped, recolored and, except flags, mirrored at random."""
        x, flags = resized(torch.from_numpy(self.crops[index.numpy()]), size), self.flags[index]
        turned = ~flags & (torch.rand(len(index)) < 0.5)
        x = torch.where(turned[:, None, None, None], x.flip(-1), x)
        return Batch(colored(x), self.seen[index].float(), self.labels[index], flags)


@dataclass(frozen=True)
class Batch:
    """A part of the pool: pictures float (B, 3, size, size), and the other fields."""

    pictures: Tensor
    seen: Tensor
    labels: Tensor
    flags: Tensor


class Names:
    """Embeddings of the classes' names: the targets of image tokens."""

    def __init__(self, words: Words) -> None:
        self.slots = torch.from_numpy(words.slots)
        embeddings = torch.from_numpy(words.embeddings)
        self.mean = embeddings.mean(0)
        self.scale = embeddings.norm(dim=1).mean()
        self.directions = F.normalize(embeddings - self.mean, dim=1)

    def similarity(self, tokens: Tensor) -> Tensor:
        """Centered cosine of the mean of image tokens (B, T, D) with every name: (B, C)."""
        return F.normalize(tokens.mean(1) - self.mean, dim=1) @ self.directions.T

    def cosine(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Centered cosine of every image token with its token of the name: (B, T)."""
        return F.cosine_similarity(tokens - self.mean, self.slots[labels] - self.mean, dim=-1)

    def distance(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """The distance of every token from its target: squared distance plus one minus the centered cosine."""
        squared = ((tokens - self.slots[labels]) / self.scale).square().sum(-1).mean()
        return squared + 1 - self.cosine(tokens, labels).mean()


class Student(nn.Module):
    """The tower with the heads that only training needs."""

    def __init__(self, shape: Shape, classes: int, features: int) -> None:
        super().__init__()
        self.tower = Tower(shape)
        self.classify = nn.Linear(shape.width, classes)
        self.imitate = nn.Linear(shape.width, features)
        self.sharpness = nn.Parameter(torch.tensor(math.log(14.0)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Image tokens, class scores, imitated features."""
        patches = self.tower.patches(x)
        whole = patches.mean(1)
        return self.tower.project(patches), self.classify(whole), self.imitate(whole)


def train(
    shape: Shape,
    pool: Pool,
    names: Names,
    course: Course,
    path: Path,
    advance: Advance,
    log: Log,
    start: Path | None = None,
) -> Tower:
    """The trained tower; `path` has a checkpoint after every epoch, from which an interrupted run continues. `advance`
    is called for every batch, `log` for every epoch. `start` is an exported tower of another language model to start
    from."""
    torch.manual_seed(0)
    named = pool.labels != UNNAMED
    head = Head(pool.seen[named], pool.labels[named], len(names.directions))
    student = Student(shape, len(names.directions), pool.seen.shape[-1])
    if start is None:
        crops = torch.from_numpy(pool.crops[:: max(1, len(pool.labels) // 1500)].copy())
        student.tower.start_patches_from(F.interpolate(crops.float() / 127.5 - 1, size=shape.image, mode="area"))
    else:
        load_tower(start, student.tower, without="name.weight")
        fit_outputs(student, pool, head, names)
    matrices = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=course.rate,
        betas=(0.9, 0.98),
    )
    done = resume(path, student, optimizer)
    advance(done * pool.batches)
    for epoch in range(done, course.epochs):
        torch.manual_seed(1 + epoch)
        losses = train_epoch(student, optimizer, pool, head, names, course, epoch, advance)
        keep(path, student, optimizer, epoch + 1)
        log(epoch + 1, losses)
    return student.tower


def fit_outputs(student: Student, pool: Pool, head: Head, names: Names) -> None:
    """Fit the matrices after a trained tower to part of the pool: `name` and `imitate` by ridge regression, `classify`
    by its loss. From random ones, the first steps would change the tower for nothing."""
    tower, known = student.tower, torch.nonzero(pool.labels != UNNAMED).flatten()
    hidden, tokens, whole, features, classes = [], [], [], [], []
    with torch.no_grad():
        for index in known[torch.randperm(len(known))[:FITTED]].split(BATCH):
            batch = pool.draw(index, tower.shape.image)
            patches = tower.patches(batch.pictures)
            hidden.append(tower.hidden(patches).flatten(0, 1))
            tokens.append(names.slots[batch.labels].flatten(0, 1))
            whole.append(patches.mean(1))
            features.append(head.features(batch.seen))
            classes.append(answers(head, batch))
        tower.name.weight.copy_(ridge(torch.cat(hidden), torch.cat(tokens)))
        student.imitate.weight.copy_(ridge(torch.cat(whole), torch.cat(features)))
        student.imitate.bias.zero_()
    optimizer = torch.optim.AdamW(student.classify.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(student.classify(torch.cat(whole)), torch.cat(classes)).backward()
        optimizer.step()


def ridge(x: Tensor, y: Tensor, strength: float = 0.01) -> Tensor:
    """The matrix (out, in) that maps x (N, in) to y (N, out)."""
    gram = x.T @ x
    gram.diagonal().add_(strength * gram.diagonal().mean())
    return torch.linalg.solve(gram, x.T @ y).T


def train_epoch(
    student: Student,
    optimizer: torch.optim.Optimizer,
    pool: Pool,
    head: Head,
    names: Names,
    course: Course,
    epoch: int,
    advance: Advance,
) -> list[float]:
    """One pass over the pool; the mean of each loss."""
    student.train()
    order = torch.randperm(len(pool.labels))
    sums = np.zeros(4)
    for step in range(pool.batches):
        done, steps = epoch * pool.batches + step, course.epochs * pool.batches
        progress = anneal(optimizer, course.rate, done, steps, warm=200)
        index = order[step * BATCH : (step + 1) * BATCH]
        parts = losses_of(student, pool.draw(index, student.tower.shape.image), head, names)
        weights = (1.0, 2.0, 3.0, course.weight(progress))
        loss = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        sums += [part.item() for part in parts]
        advance(1)
    return list(sums / pool.batches)


def anneal(optimizer: torch.optim.Optimizer, rate: float, step: int, steps: int, *, warm: int) -> float:
    """Set the learning rate: up to `rate` in `warm` steps, then down as a cosine. Returns the progress, 0 to 1."""
    done = step / steps
    for group in optimizer.param_groups:
        group["lr"] = rate * min(1, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * done))
    return done


def losses_of(student: Student, batch: Batch, head: Head, names: Names) -> list[Tensor]:
    tokens, scores, features = student(batch.pictures)
    named, sharp = batch.labels != UNNAMED, student.sharpness.exp().clamp(max=60)
    tokens, labels = tokens[named], batch.labels[named]
    by_tokens = F.cross_entropy(names.similarity(tokens) * sharp, labels, label_smoothing=0.05)
    by_whole = F.cross_entropy(scores, answers(head, batch))
    imitated = (F.normalize(features, dim=-1) - head.features(batch.seen)).square().sum(-1).mean()
    return [by_tokens, by_whole, imitated, names.distance(tokens, labels)]


def answers(head: Head, batch: Batch) -> Tensor:
    """Target classes of the whole picture, (B, C): one third the label and two thirds the teacher; for flags only the
    label, for unnamed pictures only the teacher."""
    trust = torch.where(batch.labels == UNNAMED, 1.0, torch.where(batch.flags, 0.0, 2 / 3))[:, None]
    soft = head(batch.seen).softmax(-1)
    return trust * soft + (1 - trust) * F.one_hot(batch.labels.clamp(min=0), soft.shape[-1])


def resized(crops: Tensor, size: int) -> Tensor:
    """A window of each crop, at random slightly smaller, at the tower's size: uint8 (B, 3, size, size)."""
    full = crops.shape[-1]
    side = int(torch.randint(size, full + 1, ()))
    top, left = (int(torch.randint(full - side + 1, ())) for _ in range(2))
    window = crops[:, :, top : top + side, left : left + side].float()
    return F.interpolate(window, size=size, mode="bilinear", antialias=True, align_corners=False).round().byte()


def keep(path: Path, student: Student, optimizer: torch.optim.Optimizer, epochs: int) -> None:
    unfinished = path.with_suffix(".partial")
    torch.save({"student": student.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epochs}, unfinished)
    unfinished.replace(path)


def resume(path: Path, student: Student, optimizer: torch.optim.Optimizer) -> int:
    """Load the checkpoint, if there is one; returns its number of epochs."""
    if not path.exists():
        return 0
    kept = torch.load(path, weights_only=True)
    student.load_state_dict(kept["student"])
    optimizer.load_state_dict(kept["optimizer"])
    return int(kept["epochs"])
