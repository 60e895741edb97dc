"""Small models with random weights, in llama.cpp's true format for each family that people have.

Names, shapes and keys are those that llama.cpp's converter writes (``convert_hf_to_gguf.py``) and its
loader reads (``src/models/*.cpp``, ``tools/mtmd/clip.cpp``). `FAMILIES` makes one by name.
"""

from __future__ import annotations

from collections.abc import Callable

from random_models import gemma, glm, kimi, lfm2, llama, llama4, mistral, qwen, recurrent
from random_models.family import Family, Files

FAMILIES: dict[str, Callable[[], Family]] = {
    "llama": llama.llama,
    "qwen3": qwen.qwen3,
    "qwen3moe": qwen.qwen3moe,
    "qwen35": qwen.qwen35,
    "qwen35moe": qwen.qwen35moe,
    "gemma3": gemma.gemma3,
    "gemma4": gemma.gemma4,
    "mamba": recurrent.mamba,
    "jamba": recurrent.jamba,
    "lfm2": lfm2.lfm2,
    "llava": llama.llava,
    "smolvlm": llama.smolvlm,
    "pixtral": llama.pixtral,
    "qwen2vl": qwen.qwen2vl,
    "qwen25vl": qwen.qwen25vl,
    "qwen3vl": qwen.qwen3vl,
    "qwen35-vision": qwen.qwen35_vision,
    "gemma3-vision": gemma.gemma3_vision,
    "gemma4-vision": gemma.gemma4_vision,
    "gemma4-unified": gemma.gemma4_unified,
    "internvl": qwen.internvl,
    "minicpmv": qwen.minicpmv,
    "lfm2vl": lfm2.lfm2vl,
    "mistral3": mistral.mistral3,
    "glm4v": glm.glm4v,
    "lfm25vl": lfm2.lfm25vl,
    "llama4": llama4.llama4,
    "kimivl": kimi.kimivl,
}

__all__ = ["FAMILIES", "Family", "Files"]
