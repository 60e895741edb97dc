"""Kimi-VL, which is no part of transformers, out of parts that are.

Its decoder is DeepSeek V3's; its encoder and projector are Kimi K2.5's for one frame (modeling_kimi_vl.py, beside the
published weights).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers as hf
from safetensors.torch import save_file

NAMES = {  # transformers' names to those of the published weights, each pattern in turn
    r"^model\.language_model\.": "language_model.model.",
    r"^lm_head": "language_model.lm_head",
    r"^model\.vision_tower\.(?=layers|final)": "vision_tower.encoder.",
    r"^model\.vision_tower\.": "vision_tower.",
    r"^model\.mm_projector\.": "multi_modal_projector.",
    r"(?<=encoder\.)layers": "blocks",
    r"(?<=\.)norm1(?=\.(weight|bias)$)": "norm0",
    r"(?<=\.)norm2(?=\.(weight|bias)$)": "norm1",
    r"(?<=mlp\.)fc1": "fc0",
    r"(?<=mlp\.)fc2": "fc1",
    r"attn\.proj": "wo",
    r"position_embeddings$": "weight",
    r"in_proj": "linear_1",
    r"out_proj": "linear_2",
}


class KimiVLForConditionalGeneration(hf.Kimi_K25ForConditionalGeneration):
    """llama.cpp's converter tells Kimi-VL by this name."""

    def save_pretrained(self, folder: Path) -> None:
        """In the format of the published weights."""
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)
        save_file(dict(self._published()), folder / "model.safetensors", {"format": "pt"})

    def _published(self) -> Iterator[tuple[str, torch.Tensor]]:
        heads, tensors = self.config.vision_config.num_attention_heads, self.state_dict()
        for name, tensor in tensors.items():
            if name.endswith("experts.gate_up_proj"):
                for number, (gate, up) in enumerate(part.chunk(2) for part in tensor):
                    yield _published(name.replace("gate_up_proj", f"{number}.gate_proj.weight")), gate.contiguous()
                    yield _published(name.replace("gate_up_proj", f"{number}.up_proj.weight")), up.contiguous()
            elif name.endswith("experts.down_proj"):
                for number, down in enumerate(tensor):
                    yield _published(name.replace("down_proj", f"{number}.down_proj.weight")), down.contiguous()
            elif ".attn.q_proj." in name:
                query, key, value = (tensors[name.replace("q_proj", f"{x}_proj")] for x in "qkv")
                fused = torch.cat([_interleaved(query, heads), _interleaved(key, heads), value])
                yield _published(name.replace("attn.q_proj", "wqkv")), fused
            elif not re.search(r"\.attn\.[kv]_proj\.", name):
                yield _published(name), tensor


def _published(name: str) -> str:
    for pattern, published in NAMES.items():
        name = re.sub(pattern, published, name)
    return name


def _interleaved(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key: rotated pairs are neighbors, and not half a head apart."""
    return tensor.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)
