"""Places the image tokens: the projector solved in closed form, then everything trained on with the distance to the
names as the main term."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from tower import Tower
from train import BATCH, Names, Pool, anneal

EPOCHS = 10
RATE = 6e-4


def align(tower: Tower, pool: Pool, names: Names, report) -> None:
    """Train `tower` on, in place."""
    torch.manual_seed(3)
    tower.eval()
    solve(tower, pool, names)
    tower.train()
    optimizer = torch.optim.AdamW(tower.parameters(), lr=RATE, weight_decay=0.02, betas=(0.9, 0.98))
    steps = len(pool.labels) // BATCH
    for epoch in range(EPOCHS):
        order, total = torch.randperm(len(pool.labels)), 0.0
        for step in range(steps):
            anneal(optimizer, RATE, epoch * steps + step, EPOCHS * steps, warm=50)
            x, _, labels = pool.draw(order[step * BATCH : (step + 1) * BATCH], tower.shape.image)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                tokens = tower(x)
            tokens = tokens.float()
            placed = names.distance(tokens, labels)
            named = F.cross_entropy(names.similarity(tokens) * 30, labels, label_smoothing=0.05)
            optimizer.zero_grad()
            (3 * placed + named).backward()
            nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
            optimizer.step()
            total += placed.item()
        report(epoch + 1, [total / steps], tower)


@torch.no_grad()
def solve(tower: Tower, pool: Pool, names: Names) -> None:
    """The projector by ridge regression from the pooled patches to the names' tokens, over one pass of crops."""
    width, out = tower.shape.width, tower.shape.out
    square, product = torch.zeros(width, width), torch.zeros(width, out)
    for index in torch.arange(len(pool.labels)).split(256):
        x, _, labels = pool.draw(index, tower.shape.image)
        features = tower.pooled(tower.patches(x)).flatten(0, 1)
        square += features.T @ features
        product += features.T @ names.slots[labels].flatten(0, 1)
    ridge = 1e-3 * square.diagonal().mean() * torch.eye(width)
    tower.projection.weight.copy_(torch.linalg.solve(square + ridge, product).T)
