"""As `twins.py`: Ministral 3, GLM-4.xV."""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers as hf
from transformers.models.glm4v.configuration_glm4v import Glm4vTextConfig, Glm4vVisionConfig
from twins import TEXT, VISION, Pixels, Twin, _normalized, _qwen_inputs


def mistral3(vocab: int) -> Twin:
    yarn = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 128.0, "original_max_position_embeddings": 64}
    scales = {"beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}
    text = hf.Ministral3Config(vocab_size=vocab, head_dim=16, **TEXT | {"rope_parameters": yarn | scales})
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    vision = hf.PixtralVisionConfig(
        image_size=224, patch_size=14, hidden_act="silu", rope_parameters=rope, **VISION | {"num_hidden_layers": 3}
    )
    config = hf.Mistral3Config(vision_config=vision, text_config=text, tie_word_embeddings=False)

    def inputs(images: list[Pixels]) -> dict[str, torch.Tensor]:
        return {"pixel_values": _normalized(images), "image_sizes": torch.tensor([i.shape[:2] for i in images])}

    return Twin(hf.Mistral3ForConditionalGeneration(config), "[IMG]", inputs, unit=28)


def glm4v(vocab: int) -> Twin:
    vision = Glm4vVisionConfig(
        depth=3, hidden_size=64, intermediate_size=96, num_heads=4, patch_size=14, image_size=56, out_hidden_size=64
    )
    rope = {
        "rope_type": "default",
        "rope_theta": 100.0,
        "mrope_section": [1, 1, 2],
        "partial_rotary_factor": 0.5,
    }
    text = Glm4vTextConfig(vocab_size=vocab, **TEXT | {"rope_parameters": rope})
    model = hf.Glm4vForConditionalGeneration(hf.Glm4vConfig(text_config=text, vision_config=vision))
    return Twin(model, "<|image|>", _qwen_inputs(14))


TWINS: dict[str, Callable[[int], Twin]] = {
    "mistral3": mistral3,
    "glm4v": glm4v,
}
