"""Hugging Face models of the sizes in tests/random_models, with random weights, and their image inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image
from torch import nn
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig, Qwen2_5_VLVisionConfig
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLTextConfig, Qwen2VLVisionConfig
from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5VisionConfig
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5DecoderLayer, Qwen3_5RMSNorm
from transformers.models.qwen3_5_moe.modeling_qwen3_5_moe import Qwen3_5MoeDecoderLayer
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig, Qwen3VLVisionConfig

Pixels = np.ndarray  # uint8 (height, width, 3)
MEAN, STD = 0.5, 0.25
TEXT = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": False,
}
VISION = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}


def _no_inputs(_images: list[Pixels]) -> dict[str, torch.Tensor]:
    return {}


def _whole(image: Pixels) -> list[Pixels]:
    return [image]


@dataclass
class Twin:
    """A model, its image token, and the preprocessing of images."""

    model: Any
    image_token: str = ""
    inputs: Callable[[list[Pixels]], dict[str, torch.Tensor]] = _no_inputs
    tiles: Callable[[Pixels], list[Pixels]] = _whole
    preprocessor: dict[str, Any] = field(default_factory=dict)  # the content of preprocessor_config.json
    unit: int = 14  # the side of an image token in pixels, where a token ends each row of them

    def __post_init__(self) -> None:
        randomize(self.model.eval())


def randomize(model: nn.Module) -> None:
    """Random matrices that preserve norms, norm weights near one, small biases."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("linear_attn.A_log"):
            tensor.data = noise - 2  # so slow that a state keeps what is many tokens back
        elif name.endswith(("A_log", ".D")):
            continue
        elif "lambda_" in name or (tensor.ndim < 2 and "norm" in name.lower() and name.endswith("weight")):
            tensor.data = tensor.data.mean() + noise / 10
        elif tensor.ndim < 2:
            tensor.data = noise / 10
        else:
            looked_up = "embed" in name and (tensor.ndim == 2 or tensor.shape[0] == 1)
            fan_in = 1 if looked_up else min(tensor.shape[1:]) if "experts." in name else tensor[0].numel()
            tensor.data = noise / fan_in**0.5
    for name, buffer in model.named_buffers():  # Gemma 4's
        if name.endswith(("layer_scalar", "std_scale")):
            buffer.copy_(1 + torch.randn(buffer.shape, generator=generator) / 10)
        elif name.endswith("std_bias"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) / 10)
        elif name.endswith(("put_min", "put_max")):
            buffer.fill_(-2 if name.endswith("min") else 2)  # a limit that some values exceed


def _normalized(images: list[Pixels]) -> torch.Tensor:
    """float32 (n, 3, height, width)."""
    return torch.stack([torch.from_numpy((i / 255 - MEAN) / STD).permute(2, 0, 1).float() for i in images])


def _crops(image: Pixels, side: int) -> list[Pixels]:
    rows, columns = (range(0, n, side) for n in image.shape[:2])
    return [image[y : y + side, x : x + side] for y in rows for x in columns]


def _resized(image: Pixels, side: int, how: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((side, side), how))


# -- text -------------------------------------------------------------------------------------------------


def llama(vocab: int) -> Twin:
    return Twin(hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=vocab, head_dim=16, **TEXT)))


def qwen3(vocab: int) -> Twin:
    return Twin(hf.Qwen3ForCausalLM(hf.Qwen3Config(vocab_size=vocab, head_dim=16, **TEXT | {"rms_norm_eps": 1e-6})))


def qwen3moe(vocab: int) -> Twin:
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
    config = hf.Qwen3MoeConfig(vocab_size=vocab, head_dim=16, **TEXT | {"rms_norm_eps": 1e-6}, **experts)
    return Twin(hf.Qwen3MoeForCausalLM(config))


def _gemma_text(vocab: int) -> hf.Gemma3TextConfig:
    own = {"num_hidden_layers": 6, "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "rope_parameters": None}
    return hf.Gemma3TextConfig(
        vocab_size=vocab,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=512,
        layer_types=["sliding_attention"] * 5 + ["full_attention"],
        **TEXT | own,
    )


def gemma3(vocab: int) -> Twin:
    return Twin(hf.Gemma3ForCausalLM(_gemma_text(vocab)))


def mamba(vocab: int) -> Twin:
    sizes = {"hidden_size": 64, "num_hidden_layers": 4, "state_size": 8, "conv_kernel": 4, "time_step_rank": 4}
    config = hf.MambaConfig(vocab_size=vocab, pad_vocab_size_multiple=1, tie_word_embeddings=True, **sizes)
    return Twin(hf.MambaForCausalLM(config))


def jamba(vocab: int) -> Twin:
    sizes = {"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 4, "use_mamba_kernels": False}
    layers = {
        "attn_layer_period": 4,
        "attn_layer_offset": 1,
        "num_experts": 1,
        "num_experts_per_tok": 1,
        "expert_layer_period": 100,
    }
    text = {key: value for key, value in TEXT.items() if key != "rope_parameters"} | {"rms_norm_eps": 1e-6}
    return Twin(hf.JambaForCausalLM(hf.JambaConfig(vocab_size=vocab, **text, **sizes, **layers)))


def _lfm2_text(vocab: int) -> hf.Lfm2Config:
    text = {key: value for key, value in TEXT.items() if key not in ("rms_norm_eps", "tie_word_embeddings")}
    return hf.Lfm2Config(
        vocab_size=vocab,
        layer_types=["conv", "full_attention"] * 2,
        architectures=["Lfm2ForCausalLM"],
        norm_eps=1e-5,
        conv_L_cache=3,
        block_auto_adjust_ff_dim=False,
        **text,
    )


def lfm2(vocab: int) -> Twin:
    return Twin(hf.Lfm2ForCausalLM(_lfm2_text(vocab)))


# -- text and images --------------------------------------------------------------------------------------


def llava(vocab: int) -> Twin:
    vision = hf.CLIPVisionConfig(
        image_size=56, patch_size=14, hidden_act="quick_gelu", layer_norm_eps=1e-6, **VISION | {"num_hidden_layers": 3}
    )
    text = hf.LlamaConfig(vocab_size=vocab, head_dim=16, **TEXT, architectures=["LlamaForCausalLM"])
    config = hf.LlavaConfig(
        vision_config=vision, text_config=text, projector_hidden_act="gelu", vision_feature_layer=-2
    )
    return Twin(hf.LlavaForConditionalGeneration(config), "<unk>", lambda i: {"pixel_values": _normalized(i)})


def smolvlm(vocab: int) -> Twin:
    vision = {"image_size": 56, "patch_size": 14, "layer_norm_eps": 1e-6, **VISION}
    text = hf.LlamaConfig(vocab_size=vocab, head_dim=16, **TEXT, architectures=["VLlama3ForCausalLM"])
    config = hf.Idefics3Config(vision_config=vision, text_config=text, scale_factor=2)

    def tiles(image: Pixels) -> list[Pixels]:
        return [*_crops(image, 56), _resized(image, 56, Image.Resampling.LANCZOS)]

    return Twin(
        hf.Idefics3ForConditionalGeneration(config),
        "<image>",
        lambda images: {"pixel_values": _normalized(images)[None]},
        tiles,
        {"size": {"longest_edge": 112}},
    )


def pixtral(vocab: int) -> Twin:
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    vision = hf.PixtralVisionConfig(
        image_size=224, patch_size=14, hidden_act="silu", rope_parameters=rope, **VISION | {"num_hidden_layers": 3}
    )
    text = hf.LlamaConfig(vocab_size=vocab, head_dim=16, **TEXT, architectures=["LlamaForCausalLM"])
    config = hf.LlavaConfig(
        vision_config=vision,
        text_config=text,
        projector_hidden_act="gelu",
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )

    def inputs(images: list[Pixels]) -> dict[str, torch.Tensor]:
        return {"pixel_values": _normalized(images), "image_sizes": torch.tensor([i.shape[:2] for i in images])}

    return Twin(hf.LlavaForConditionalGeneration(config), "[IMG]", inputs)


def _qwen_inputs(patch: int) -> Callable[[list[Pixels]], dict[str, torch.Tensor]]:
    """Patches in the order of 2 × 2 neighbors, each twice (two frames of a still)."""

    def inputs(images: list[Pixels]) -> dict[str, torch.Tensor]:
        flat, grids = [], []
        for pixels in _normalized(images):
            rows, columns = pixels.shape[1] // patch, pixels.shape[2] // patch
            cut = pixels.view(3, rows // 2, 2, patch, columns // 2, 2, patch).permute(1, 4, 2, 5, 0, 3, 6)
            flat.append(cut.unsqueeze(5).expand(-1, -1, -1, -1, -1, 2, -1, -1).reshape(rows * columns, -1))
            grids.append([1, rows, columns])
        return {"pixel_values": torch.cat(flat), "image_grid_thw": torch.tensor(grids)}

    return inputs


def _qwen_text(vocab: int, sections: list[int], **more: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": sections}
    return TEXT | {"vocab_size": vocab, "rms_norm_eps": 1e-6, "rope_parameters": rope} | more


def qwen2vl(vocab: int) -> Twin:
    vision = Qwen2VLVisionConfig(depth=4, embed_dim=64, hidden_size=64, mlp_ratio=4, num_heads=4, patch_size=14)
    text = Qwen2VLTextConfig(**_qwen_text(vocab, [2, 3, 3]))
    model = hf.Qwen2VLForConditionalGeneration(hf.Qwen2VLConfig(text_config=text, vision_config=vision))
    return Twin(model, "<|image_pad|>", _qwen_inputs(14))


def qwen25vl(vocab: int) -> Twin:
    vision = Qwen2_5_VLVisionConfig(
        depth=4, hidden_size=64, intermediate_size=96, num_heads=4, patch_size=14, out_hidden_size=64,
        fullatt_block_indexes=[1, 3], hidden_act="silu",
    )  # fmt: skip
    text = Qwen2_5_VLTextConfig(**_qwen_text(vocab, [2, 3, 3]))
    model = hf.Qwen2_5_VLForConditionalGeneration(hf.Qwen2_5_VLConfig(text_config=text, vision_config=vision))
    return Twin(model, "<|image_pad|>", _qwen_inputs(14))


def qwen3vl(vocab: int) -> Twin:
    vision = Qwen3VLVisionConfig(
        depth=3, hidden_size=64, intermediate_size=96, num_heads=4, patch_size=16, out_hidden_size=64,
        num_position_embeddings=64, deepstack_visual_indexes=[0, 1],
    )  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    text = Qwen3VLTextConfig(**_qwen_text(vocab, [4, 2, 2], head_dim=16) | {"rope_parameters": rope})
    model = hf.Qwen3VLForConditionalGeneration(hf.Qwen3VLConfig(text_config=text, vision_config=vision))
    return Twin(model, "<|image_pad|>", _qwen_inputs(16))


def _qwen35_text(vocab: int) -> dict[str, Any]:
    linear = {
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 4,
    }
    rope = {"mrope_interleaved": True, "partial_rotary_factor": 0.25}
    text = _qwen_text(vocab, [2, 1, 1], head_dim=32, mtp_num_hidden_layers=1, **linear)
    return text | {"rope_parameters": text["rope_parameters"] | rope}


def _next_tokens(text: Any, layer: Callable[[Any, int], nn.Module]) -> nn.Module:
    """The draft of the token after next: Qwen3.5's published files have it, transformers leaves it out."""
    width, last = text.hidden_size, text.num_hidden_layers - 1
    norms = {name: Qwen3_5RMSNorm(width) for name in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm")}
    projection = nn.Linear(2 * width, width, bias=False)
    return nn.ModuleDict({**norms, "fc": projection, "layers": nn.ModuleList([layer(text, last)])})


def qwen35(vocab: int) -> Twin:
    text = hf.Qwen3_5TextConfig(**_qwen35_text(vocab))
    model = hf.Qwen3_5ForCausalLM(text)
    model.mtp = _next_tokens(text, Qwen3_5DecoderLayer)
    return Twin(model)


def qwen35moe(vocab: int) -> Twin:
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    text = hf.Qwen3_5MoeTextConfig(**_qwen35_text(vocab), **experts, shared_expert_intermediate_size=48)
    model = hf.Qwen3_5MoeForCausalLM(text)
    model.mtp = _next_tokens(text, Qwen3_5MoeDecoderLayer)
    return Twin(model)


def qwen35_vision(vocab: int) -> Twin:
    vision = Qwen3_5VisionConfig(
        depth=3, hidden_size=64, intermediate_size=96, num_heads=4, patch_size=16, out_hidden_size=64,
        num_position_embeddings=64,
    )  # fmt: skip
    text = hf.Qwen3_5TextConfig(**_qwen35_text(vocab))
    model = hf.Qwen3_5ForConditionalGeneration(hf.Qwen3_5Config(text_config=text, vision_config=vision))
    model.mtp = _next_tokens(text, Qwen3_5DecoderLayer)
    return Twin(model, "<|image_pad|>", _qwen_inputs(16))


def gemma3_vision(vocab: int) -> Twin:
    vision = hf.SiglipVisionConfig(image_size=112, patch_size=14, layer_norm_eps=1e-6, **VISION, vision_use_head=False)
    config = hf.Gemma3Config(text_config=_gemma_text(vocab), vision_config=vision, mm_tokens_per_image=4)
    model = hf.Gemma3ForConditionalGeneration(config)
    return Twin(
        model, "<image_soft_token>", lambda i: {"pixel_values": _normalized(i)}, preprocessor={"image_seq_length": 4}
    )


# -- Gemma 4 ----------------------------------------------------------------------------------------------

TEXT4 = {
    "num_hidden_layers": 6,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
    "head_dim": 16,
    "global_head_dim": 32,
    "sliding_window": 512,
    "final_logit_softcapping": 30.0,
    "rms_norm_eps": 1e-6,
    "rope_parameters": None,
    "tie_word_embeddings": True,
}
UNIT = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}


def _small_gemma4(vocab: int, **more: Any) -> hf.Gemma4TextConfig:
    own = {"num_kv_shared_layers": 3, "use_double_wide_mlp": True, "hidden_size_per_layer_input": 16}
    return hf.Gemma4TextConfig(vocab_size=vocab, vocab_size_per_layer_input=vocab, **TEXT | TEXT4 | own | more)


def _gemma4(model: Any, *of_images: Any, **more: Any) -> Twin:
    """Its embeddings, which are multiplied by the root of their width, do not hide what the layers add."""
    twin = Twin(model, *of_images, **more)
    embeddings = model.get_input_embeddings().weight
    embeddings.data /= embeddings.shape[1] ** 0.5
    return twin


def gemma4(vocab: int) -> Twin:
    return _gemma4(hf.Gemma4ForCausalLM(_small_gemma4(vocab)))


def _gemma4_inputs(patch: int) -> Callable[[list[Pixels]], dict[str, torch.Tensor]]:
    """Patches of pixels between 0 and 1, row by row, with the column and row of each."""

    def inputs(images: list[Pixels]) -> dict[str, torch.Tensor]:
        n, rows, columns = len(images), images[0].shape[0] // patch, images[0].shape[1] // patch
        pixels = torch.from_numpy(np.stack(images) / 255).float()
        cut = pixels.view(n, rows, patch, columns, patch, 3).permute(0, 1, 3, 2, 4, 5)
        places = torch.tensor([[column, row] for row in range(rows) for column in range(columns)])
        return {
            "pixel_values": cut.reshape(n, rows * columns, -1),
            "image_position_ids": places.expand(n, -1, -1),
        }

    return inputs


def gemma4_vision(vocab: int) -> Twin:
    vision = hf.Gemma4VisionConfig(
        patch_size=4, head_dim=16, position_embedding_size=3 * 1120, use_clipped_linears=True, standardize=True,
        num_key_value_heads=4, **VISION,
    )  # fmt: skip
    config = hf.Gemma4Config(text_config=_small_gemma4(vocab, hidden_size=1536), vision_config=vision)
    return _gemma4(hf.Gemma4ForConditionalGeneration(config), "<|image|>", _gemma4_inputs(4), preprocessor=UNIT)


def gemma4_unified(vocab: int) -> Twin:
    vision = hf.Gemma4UnifiedVisionConfig(patch_size=4, mm_embed_dim=64, mm_posemb_size=1120, output_proj_dims=64)
    own = {"attention_k_eq_v": True, "num_global_key_value_heads": 1, "moe_intermediate_size": None}
    text = hf.Gemma4UnifiedTextConfig(vocab_size=vocab, **TEXT | TEXT4 | own)
    config = hf.Gemma4UnifiedConfig(text_config=text, vision_config=vision, audio_config=hf.Gemma4UnifiedAudioConfig())
    model = hf.Gemma4UnifiedForConditionalGeneration(config)
    return _gemma4(model, "<|image|>", _gemma4_inputs(12), preprocessor=UNIT)


def internvl(vocab: int) -> Twin:
    vision = hf.InternVLVisionConfig(
        image_size=[56, 56],
        patch_size=[14, 14],
        attention_bias=True,
        architectures=["InternVisionModel"],
        **VISION | {"num_hidden_layers": 4},
    )
    text = hf.Qwen2Config(vocab_size=vocab, architectures=["Qwen2ForCausalLM"], **TEXT | {"rms_norm_eps": 1e-6})
    config = hf.InternVLConfig(
        vision_config=vision, text_config=text, tie_word_embeddings=False, min_dynamic_patch=1, max_dynamic_patch=12
    )

    def tiles(image: Pixels) -> list[Pixels]:
        if image.shape[:2] == (56, 56):
            return [image]
        return [*_crops(image, 56), _resized(image, 56, Image.Resampling.BICUBIC)]

    return Twin(
        hf.InternVLForConditionalGeneration(config),
        "<IMG_CONTEXT>",
        lambda images: {"pixel_values": _normalized(images)},
        tiles,
    )


def lfm2vl(vocab: int, *, normed: bool = True) -> Twin:
    small = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
    vision = hf.Siglip2VisionConfig(patch_size=16, num_patches=256, layer_norm_eps=1e-6, vision_use_head=False, **small)
    text = _lfm2_text(vocab)
    projector = {"projector_hidden_size": 96, "projector_use_layernorm": normed}
    config = hf.Lfm2VlConfig(vision_config=vision, text_config=text, **projector)

    def inputs(images: list[Pixels]) -> dict[str, torch.Tensor]:
        pixels = _normalized(images)
        n, rows, columns = len(images), pixels.shape[2] // 16, pixels.shape[3] // 16
        patches = pixels.view(n, 3, rows, 16, columns, 16).permute(0, 2, 4, 3, 5, 1).reshape(n, rows * columns, -1)
        return {
            "pixel_values": patches,
            "spatial_shapes": torch.tensor([[rows, columns]] * n),
            "pixel_attention_mask": torch.ones(n, rows * columns, dtype=torch.long),
        }

    return Twin(hf.Lfm2VlForConditionalGeneration(config), "<image>", inputs)


TWINS: dict[str, Callable[[int], Twin]] = {
    "llama": llama,
    "qwen3": qwen3,
    "qwen3moe": qwen3moe,
    "qwen35": qwen35,
    "qwen35moe": qwen35moe,
    "gemma3": gemma3,
    "gemma4": gemma4,
    "mamba": mamba,
    "jamba": jamba,
    "lfm2": lfm2,
    "llava": llava,
    "smolvlm": smolvlm,
    "pixtral": pixtral,
    "qwen2vl": qwen2vl,
    "qwen25vl": qwen25vl,
    "qwen3vl": qwen3vl,
    "qwen35-vision": qwen35_vision,
    "gemma3-vision": gemma3_vision,
    "gemma4-vision": gemma4_vision,
    "gemma4-unified": gemma4_unified,
    "internvl": internvl,
    "lfm2vl": lfm2vl,
}
