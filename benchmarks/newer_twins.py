"""As `twins.py`: Ministral 3, GLM-4.xV, LFM2.5-VL, Llama 4, Kimi-VL."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import transformers as hf
from kimi_vl import KimiVLForConditionalGeneration
from PIL import Image
from transformers.modeling_outputs import MoeCausalLMOutputWithPast
from transformers.models.glm4v.configuration_glm4v import Glm4vTextConfig, Glm4vVisionConfig
from transformers.models.kimi_k25.configuration_kimi_k25 import Kimi_K25VisionConfig
from twins import TEXT, VISION, Pixels, Twin, _crops, _normalized, _qwen_inputs, _resized, lfm2vl


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


def llama4(vocab: int) -> Twin:
    experts = {"num_local_experts": 4, "num_experts_per_tok": 1, "intermediate_size": 32, "intermediate_size_mlp": 96}
    text = hf.Llama4TextConfig(vocab_size=vocab, head_dim=16, **TEXT | experts)
    vision = hf.Llama4VisionConfig(
        image_size=56,
        patch_size=14,
        projector_input_dim=96,
        projector_output_dim=96,
        vision_output_dim=96,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        **VISION | {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 128},
    )
    config = hf.Llama4Config(text_config=text, vision_config=vision)

    def tiles(image: Pixels) -> list[Pixels]:
        if image.shape[:2] == (56, 56):
            return [image]
        return [*_crops(image, 56), _resized(image, 56, Image.Resampling.BILINEAR)]

    MoeCausalLMOutputWithPast.image_outputs = None  # transformers 5.24 asks its text model's output for them
    model = hf.Llama4ForConditionalGeneration(config)
    return Twin(model, "<|patch|>", lambda images: {"pixel_values": _normalized(images)}, tiles)


def kimivl(vocab: int) -> Twin:
    sizes = {"hidden_size": 32, "num_hidden_layers": 27, "num_attention_heads": 2, "num_key_value_heads": 2}
    heads = {"kv_lora_rank": 24, "q_lora_rank": None, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 12}
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 2, "moe_intermediate_size": 16}
    router = {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 23, "routed_scaling_factor": 2.446}
    more = {"num_mtp_layers": 0, "scoring_func": "sigmoid", "architectures": ["DeepseekV3ForCausalLM"]}
    own = {**sizes, "intermediate_size": 48, **heads, **experts, **router, **more}
    text = hf.DeepseekV3Config(vocab_size=vocab, **TEXT | own)
    vision = Kimi_K25VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        rope_parameters={"rope_type": "axial", "rope_theta": 10000.0},
    )
    config = hf.Kimi_K25Config(
        text_config=text, vision_config=vision, projection_hidden_size=32, tie_word_embeddings=False
    )

    def inputs(images: list[Pixels]) -> dict[str, torch.Tensor]:
        pixels = _normalized(images)
        grids = [[1, image.shape[0] // 14, image.shape[1] // 14] for image in images]
        patches = pixels.unfold(2, 14, 14).unfold(3, 14, 14).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 14, 14)
        return {"pixel_values": patches, "image_grid_thw": torch.tensor(grids)}

    twin = Twin(KimiVLForConditionalGeneration(config), "<|media_pad|>", inputs)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in [*twin.model.named_parameters(), *twin.model.named_buffers()]:
        if name.endswith("pos_emb.position_embeddings"):
            tensor.data = torch.randn(tensor.shape, generator=generator)
        if name.endswith("e_score_correction_bias"):
            tensor.data = torch.randn(tensor.shape, generator=generator) / 10
    return twin


TWINS: dict[str, Callable[[int], Twin]] = {
    "mistral3": mistral3,
    "glm4v": glm4v,
    "lfm25vl": partial(lfm2vl, normed=False),
    "llama4": llama4,
    "kimivl": kimivl,
}
