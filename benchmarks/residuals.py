"""Compare residuals at the delimiter with Hugging Face on the same dequantized weights, layer by layer.

Twice: tv on the float32 weights that Hugging Face computes with, which shows that the right numbers are
read; and tv on the quantized file, where llama.cpp's kernels also quantize the activations. picto-tuned has a LoRA
adapter, which is added to Hugging Face's weights.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from dequantize import write_float32
from hf import Reference

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import tail
from tvcli.models.resolve import resolve
from tvcli.prompts.prompt import Example, Prompt, in_context, zero_shot

PAIRS = [Example(x, y) for x, y in [("Greece", "Athens"), ("Peru", "Lima"), ("Egypt", "Cairo"), ("Norway", "Oslo")]]
PROMPTS = {
    "query": zero_shot("France"),
    "in context": in_context([*PAIRS, Example("France", "Paris")]),
    "long query": zero_shot("the country whose capital is called the city of light, on the river Seine"),
}


def compare(engine: LlamaEngine, reference: Reference, prompt: Prompt) -> np.ndarray:
    """Cosine of every layer, float64 (L,)."""
    ours = engine.read([prompt])[0].astype(np.float64)
    theirs = reference.residuals([token.id for token in tail(engine, prompt, 10_000)]).astype(np.float64)
    return np.asarray((ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1))


MODELS = ("gemma3-270m", "smollm2-135m", "picto-tuned")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            files = resolve(name)
            reference = Reference(files.text)
            for lora in files.loras:
                reference.adapt(lora.path)
            for path in (write_float32(files.text, Path(folder) / f"{files.text.stem}-f32.gguf"), files.text):
                with LlamaEngine(path, loras=files.loras) as engine:
                    for label, prompt in PROMPTS.items():
                        cosine = compare(engine, reference, prompt)
                        least = f"lowest {cosine.min():.6f} at layer {cosine.argmin()}"
                        print(f"{name:13} {engine.model.quantization:7} {label:11} {least}")
                        print("    ", " ".join(f"{value:.5f}" for value in cosine), flush=True)


if __name__ == "__main__":
    main()
