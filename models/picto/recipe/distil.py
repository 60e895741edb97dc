"""Makes the language model treat a picture as it treats the picture's name.

The frozen model writes on after the name, in a few neutral contexts; its hidden states over what it wrote are what
the same text must give after the picture. The distance to the names (`train`) stays in the loss: without it the
tokens drift away from the names, and patches find nothing to work on. No question or answer of tv's tasks is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tower import Tower
from train import Names, Pool, anneal
from transformers import AutoModelForCausalLM

CONTEXTS = ("", "Topic:", "This is", "I saw")  # before the name
WRITTEN = 8  # tokens after it
LAYERS = (4, 8, 12)  # hidden states that are compared; blocks above the last one are not run
STEPS = 320
BATCH = 32
RATE = 3e-4


class LanguageModel:
    """The frozen language model, as far as `LAYERS` needs it."""

    def __init__(self, file: Path) -> None:
        model = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
        self.whole = model.eval().requires_grad_(False)
        self.embed = model.get_input_embeddings()

    @torch.no_grad()
    def write(self, tokens: Tensor) -> Tensor:
        """`WRITTEN` more tokens after each row of `tokens`, sampled: (B, T + WRITTEN)."""
        cache, last = None, tokens
        for _ in range(WRITTEN):
            output = self.whole(last, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            likely, ids = (output.logits[:, -1] / 0.8).topk(40)
            last = ids.gather(1, torch.multinomial(likely.softmax(-1), 1))
            tokens = torch.cat([tokens, last], 1)
        return tokens

    def states(self, embeddings: Tensor, picture: slice | None = None) -> Tensor:
        """Hidden states over the last `WRITTEN` positions, (B, layers, WRITTEN, D). Within `picture` every token
        sees every other, as llama.cpp runs Gemma 3's images."""
        count = embeddings.shape[1]
        mask = torch.full((count, count), float("-inf")).triu(1)
        if picture is not None:
            mask[picture, picture] = 0
        mask = mask[None, None].expand(len(embeddings), 1, count, count)
        core = self.whole.model
        positions = torch.arange(count)[None]
        hidden, kept = embeddings, []
        rotary = {kind: core.rotary_emb(hidden, positions, kind) for kind in set(core.config.layer_types)}
        for index, block in enumerate(core.layers[: max(LAYERS)]):
            kind = core.config.layer_types[index]
            hidden = block(hidden, position_embeddings=rotary[kind], attention_mask=mask, position_ids=positions)
            if index + 1 in LAYERS:
                kept.append(hidden[:, -WRITTEN:])
        return torch.stack(kept, 1)


@dataclass(frozen=True)
class Lesson:
    """What the model wrote after every name in one context, and its states: tokens (C, WRITTEN), states
    (C, layers, WRITTEN, D) in float16."""

    written: Tensor
    states: Tensor


def lessons(model: LanguageModel, tokenize, names: list[str], path: Path, advance) -> list[Lesson]:
    """One lesson a context; kept in `path`."""
    if path.exists():
        return [Lesson(*pair) for pair in torch.load(path, weights_only=True)]
    torch.manual_seed(0)
    made = [lesson(model, tokenize, context, names, advance) for context in CONTEXTS]
    torch.save([(one.written, one.states) for one in made], path)
    return made


@torch.no_grad()
def lesson(model: LanguageModel, tokenize, context: str, names: list[str], advance) -> Lesson:
    rows = [tokenize(f"{context} {name}" if context else name) for name in names]
    written, states = [None] * len(rows), [None] * len(rows)
    for length in sorted({len(row) for row in rows}):
        alike = [i for i, row in enumerate(rows) if len(row) == length]
        for start in range(0, len(alike), 64):
            part = alike[start : start + 64]
            tokens = model.write(torch.tensor([rows[i] for i in part]))
            for i, row, state in zip(part, tokens, model.states(model.embed(tokens)), strict=True):
                written[i], states[i] = row[-WRITTEN:], state.half()
            advance(len(part))
    return Lesson(torch.stack(written), torch.stack(states))


def distil(tower: Tower, model: LanguageModel, taught: list[Lesson], marks, pool: Pool, names: Names, report) -> None:
    """Train `tower` on. `marks`: for each context its tokens up to the picture, and the token after the picture."""
    torch.manual_seed(2)
    optimizer = torch.optim.AdamW(tower.parameters(), lr=RATE, weight_decay=0.02, betas=(0.9, 0.98))
    tower.train()
    for step in range(STEPS):
        anneal(optimizer, RATE, step, STEPS, warm=STEPS // 10)
        context = int(torch.randint(len(CONTEXTS), ()))
        x, _, labels = pool.draw(torch.randint(len(pool.labels), (BATCH,)), tower.shape.image)
        tokens = tower(x)
        behaves = behaviour(model, taught[context], marks[context], tokens, labels)
        placed = names.distance(tokens, labels)
        named = F.cross_entropy(names.similarity(tokens) * 30, labels, label_smoothing=0.05)
        optimizer.zero_grad()
        (behaves + 3 * placed + named).backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        report(step + 1, [behaves.item(), placed.item(), named.item()])


def behaviour(model: LanguageModel, taught: Lesson, marks, tokens: Tensor, labels: Tensor) -> Tensor:
    """Squared distance of the states after the picture from those after the name, relative."""
    before, after = marks
    batch, count, _ = tokens.shape
    opening = model.embed(torch.tensor(before))[None].expand(batch, -1, -1)
    closing = model.embed(torch.tensor([after]))[None].expand(batch, -1, -1)
    written = model.embed(taught.written[labels])
    picture = slice(len(before), len(before) + count)
    states = model.states(torch.cat([opening, tokens, closing, written], 1), picture)
    wanted = taught.states[labels].float()
    return ((states - wanted).square().sum(-1) / wanted.square().sum(-1).clamp(min=1e-3)).mean()
