"""Fine-tunes picto's language model to caption drawings, as vision-language models are made from language models.

Only a LoRA adapter (Hu et al. 2021) is trained, on every matrix of every decoder block; tower and embeddings stay. The
captions are names of things: no question or answer of tv's tasks.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import torch
import torch.nn.functional as F
from peft import LoraConfig, inject_adapter_in_model
from pictures import UNNAMED
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from tower import Tower
from train import Advance, Pool, anneal
from transformers import AutoModelForCausalLM

RANK, ALPHA = 8, 16.0
STEPS, BATCH, RATE, WARM = 300, 32, 1e-3, 20
CAPTIONS = (("Picture:", "\nName:"), ("", "\nThe picture shows:"), ("What can be seen here?", "\nThis is called"))
IGNORED = -100  # the label of a token that is not learned, as in torch


def load_model(path: Path) -> nn.Module:
    """The language model in float32, with a new adapter."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", exclude_modules=["lm_head"])
    adapted: nn.Module = inject_adapter_in_model(config, model)
    return adapted


class Captions:
    """Drawings with a question before, and the tokens of a name behind."""

    def __init__(self, model: nn.Module, path: Path, names: list[str]) -> None:
        self.embed = model.get_input_embeddings()
        self.vocabulary = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
        self.names = [self.tokens(f" {name}\n") for name in names]
        self.around = [(self.tokens(before, start=True), self.tokens(after)) for before, after in CAPTIONS]

    def tokens(self, text: str, *, start: bool = False) -> Tensor:
        return torch.tensor(self.vocabulary.tokenize(text.encode(), add_bos=start, special=False))

    def batch(self, seen: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens (B, T, D) and classes (B,) to input embeddings (B, N, D) and labels (B, N), padded."""
        rows, targets = [], []
        for tokens, label in zip(seen, labels, strict=True):
            before, after = self.around[int(torch.randint(len(self.around), ()))]
            name = self.names[label]
            rows.append(torch.cat([self.embed(before), tokens, self.embed(torch.cat([after, name]))]))
            unlearned = len(before) + len(tokens) + len(after)
            targets.append(torch.cat([torch.full((unlearned,), IGNORED), name]))
        return pad_sequence(rows, True), pad_sequence(targets, True, IGNORED)


def tune(model: nn.Module, tower: Tower, pool: Pool, captions: Captions, advance: Advance) -> list[float]:
    """Train the adapter in `model`; returns the losses of all steps."""
    named = torch.nonzero(pool.labels != UNNAMED).flatten()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.0)
    losses = []
    for step in range(STEPS):
        torch.manual_seed(1 + step)
        anneal(optimizer, RATE, step, STEPS, warm=WARM)
        drawn = pool.draw(named[torch.randint(len(named), (BATCH,))], tower.shape.image)
        with torch.no_grad():
            inputs, targets = captions.batch(tower(drawn.pictures), drawn.labels)
        loss = loss_of(model, inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(round(loss.item(), 4))
        advance(1)
    return losses


def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The head computes only the positions before learned tokens: the vocabulary is large."""
    states = model.model(inputs_embeds=inputs, use_cache=False).last_hidden_state[:, :-1]
    learned = targets[:, 1:] != IGNORED
    return F.cross_entropy(model.lm_head(states[learned]), targets[:, 1:][learned])


def write_adapter(model: nn.Module, path: Path, description: str) -> None:
    """Write the adapter as llama.cpp reads it (convert_lora_to_gguf.py), in F16."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GEMMA3, model.config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.GEMMA3])
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    writer.add_name("picto-tuned")
    writer.add_description(description)
    for name, matrix in halves(model).items():
        module, half = name.split(".lora_")
        target = names.get_name(module)
        writer.add_tensor(f"{target}.weight.lora_{half[0].lower()}", matrix.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def halves(model: nn.Module) -> dict[str, np.ndarray]:
    """Every trained matrix, by its name in peft: ``….lora_A.default.weight`` (RANK, in) and ``lora_B`` (out, RANK)."""
    return {name: weight.detach().numpy() for name, weight in model.named_parameters() if ".lora_" in name}
