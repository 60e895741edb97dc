"""The same weights in Hugging Face transformers, the reference implementation that tv is compared with.

transformers dequantizes a GGUF file when it loads it, so both sides compute with the same numbers; only
the arithmetic differs (llama.cpp multiplies quantized blocks by 8-bit activations).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM

from tvcli.engine.llama import LlamaEngine
from tvcli.models.resolve import resolve


class Reference:
    """A causal language model in float32."""

    def __init__(self, gguf: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
        self.layers = self.model.model.layers

    @torch.no_grad()
    def adapt(self, adapter: Path) -> None:
        """Add a LoRA adapter in GGUF to the weights: alpha / rank × B A for each matrix."""
        reader = gguf.GGUFReader(adapter)
        alpha = float(reader.fields["adapter.lora.alpha"].contents())
        arch = next(
            a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == reader.fields["general.architecture"].contents()
        )
        names = gguf.get_tensor_name_map(arch, len(self.layers))
        modules = {names.get_name(name): module for name, module in self.model.named_modules()}
        halves = {tensor.name: torch.from_numpy(np.array(tensor.data, np.float32)) for tensor in reader.tensors}
        for name in {half.rsplit(".lora_", 1)[0] for half in halves}:
            a, b = halves[f"{name}.lora_a"], halves[f"{name}.lora_b"]
            modules[name.removesuffix(".weight")].weight += alpha / len(a) * (b @ a)

    @torch.no_grad()
    def residuals(self, tokens: list[int]) -> np.ndarray:
        """The residual stream at the last token after every layer, float32 (L, D), before the final norm."""
        found: list[np.ndarray] = []
        hooks = [
            layer.register_forward_hook(lambda _m, _i, out: found.append(_hidden(out)[0, -1].float().numpy().copy()))
            for layer in self.layers
        ]
        try:
            self.model(torch.tensor([tokens]), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return np.array(found)

    @torch.no_grad()
    def logits(self, tokens: list[int], layer: int | None = None, row: np.ndarray | None = None) -> np.ndarray:
        """Next-token logits, float32 (V,); with `layer`, the last token's hidden state there is overwritten by `row`.

        One full forward pass per call, as in the paper's code.
        """

        def overwrite(_module: object, _inputs: object, output: object) -> None:
            _hidden(output)[0, -1] = torch.from_numpy(row)

        hook = self.layers[layer].register_forward_hook(overwrite) if layer is not None else None
        try:
            made = self.model(torch.tensor([tokens]), use_cache=False, logits_to_keep=1)
            return np.asarray(made.logits[0, -1].float())
        finally:
            if hook is not None:
                hook.remove()


def _hidden(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def both(name: str) -> tuple[LlamaEngine, Reference]:
    """The text model of a catalog entry in tv and in Hugging Face."""
    path = resolve(name).text
    return LlamaEngine(path), Reference(path)
