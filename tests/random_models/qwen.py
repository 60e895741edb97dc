"""Qwen: text models, a mixture of experts, the VL models with M-RoPE, and InternVL and MiniCPM-V on Qwen2."""

from __future__ import annotations

from typing import Any

import numpy as np

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe
from random_models.writer import File, Shapes

EXPERTS = 4
VISION_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]


def _text(text: Decoder, tokens: list[str], shapes: Shapes | None = None, **more: Any) -> File:
    blocks = text.blocks(bias=True) if shapes is None else shapes
    return text.file(byte_bpe("qwen2", tokens), blocks, attention__layer_norm_rms_epsilon=1e-6, **more)


def _qwen3(architecture: str, tokens: list[str], shapes: Shapes | None = None, **more: Any) -> File:
    text = Decoder(architecture)
    blocks = text.blocks(head_norms=True) if shapes is None else shapes
    return _text(text, tokens, blocks, attention__key_length=text.head, attention__value_length=text.head, **more)


def qwen3() -> Family:
    return Family(_qwen3("qwen3", []))


def qwen3moe() -> Family:
    """A router picks 2 of 4 experts for every token."""
    text = Decoder("qwen3moe")
    shapes: Shapes = {}
    for layer in range(text.layers):
        at = f"blk.{layer}."
        shapes |= text.attention(layer, head_norms=True)
        shapes |= {
            f"{at}ffn_norm.weight": (text.width,),
            f"{at}ffn_gate_inp.weight": (EXPERTS, text.width),
            f"{at}ffn_gate_exps.weight": (EXPERTS, 32, text.width),
            f"{at}ffn_up_exps.weight": (EXPERTS, 32, text.width),
            f"{at}ffn_down_exps.weight": (EXPERTS, text.width, 32),
        }
    keys = {"expert_count": EXPERTS, "expert_used_count": 2, "expert_feed_forward_length": 32}
    return Family(_qwen3("qwen3moe", [], shapes, **keys))


def _merger(vision: VisionTransformer, text_width: int) -> Shapes:
    """Four neighboring patches to one token."""
    merged = 4 * vision.width
    return (
        linear("mm.0", merged, merged)
        | linear("mm.2", merged, text_width)
        | {"v.patch_embd.weight.1": (vision.width, 3, vision.patch, vision.patch)}
    )


def qwen2vl() -> Family:
    """Qwen2-VL: positions of image tokens have three axes, and an image takes fewer positions than tokens."""
    text, vision = Decoder("qwen2vl"), VisionTransformer(image=560, layers=4, ff=256)
    shapes = vision.blocks() | vision.norm("v.post_ln") | _merger(vision, text.width)
    return Family(
        _text(text, VISION_TOKENS, rope__dimension_sections=[2, 3, 3, 0]),
        vision.file("qwen2vl_merger", text.width, shapes, vision__feed_forward_length=text.width),  # sic, not 256
        image=(84, 112),
    )


def qwen25vl() -> Family:
    """Qwen2.5-VL: as Qwen2-VL, with windows in the image encoder."""
    text, vision = Decoder("qwen2vl"), VisionTransformer(image=560, layers=4)
    shapes = (
        {
            name: shape
            for name, shape in vision.blocks(gated=True).items()
            if not name.endswith(("ln1.bias", "ln2.bias"))
        }
        | vision.norm("v.post_ln", bias=False)
        | _merger(vision, text.width)
    )
    return Family(
        _text(text, VISION_TOKENS, rope__dimension_sections=[2, 3, 3, 0]),
        vision.file("qwen2.5vl_merger", text.width, shapes, use_silu=True, vision__n_wa_pattern=2),
        image=(84, 112),
    )


def qwen3vl() -> Family:
    """Qwen3-VL: features of the encoder's lower layers are added after the decoder's first layers (deepstack)."""
    text, vision = Decoder("qwen3vl"), VisionTransformer(image=128, patch=16, layers=3)
    merged, deep = 4 * vision.width, [0, 1]
    shapes = vision.embedding() | vision.blocks(fused=True) | vision.norm("v.post_ln") | _merger(vision, text.width)
    for layer in deep:
        at = f"v.deepstack.{layer}."
        shapes |= {f"{at}norm.weight": (merged,), f"{at}norm.bias": (merged,)}
        shapes |= linear(f"{at}fc1", merged, merged) | linear(f"{at}fc2", merged, text.width)
    keys = {
        "use_gelu": True,
        "vision__spatial_merge_size": 2,
        "vision__is_deepstack_layers": [layer in deep for layer in range(vision.layers)],
    }
    more: dict[str, Any] = {"rope__dimension_sections": [4, 2, 2, 0], "n_deepstack_layers": len(deep)}
    return Family(
        _qwen3("qwen3vl", VISION_TOKENS, **more),
        vision.file("qwen3vl_merger", text.width, shapes, **keys),
        image=(96, 128),
    )


def internvl() -> Family:
    """InternVL3: tiles and a thumbnail between <img> and </img>, pixel shuffle."""
    text, vision = Decoder("qwen2"), VisionTransformer(image=56, layers=4)
    shapes = (
        {"v.position_embd.weight": (1, vision.patches + 1, vision.width), "v.class_embd": (1, 1, vision.width)}
        | {"v.patch_embd.bias": (vision.width,)}
        | vision.blocks(scaled=True)
        | {"mm.model.mlp.0.weight": (4 * vision.width,), "mm.model.mlp.0.bias": (4 * vision.width,)}
        | linear("mm.model.mlp.1", 4 * vision.width, text.width)
        | linear("mm.model.mlp.3", text.width, text.width)
    )
    keys = {
        "use_gelu": True,
        "vision__projector__scale_factor": 2,
        "vision__preproc_min_tiles": 1,
        "vision__preproc_max_tiles": 12,
    }
    return Family(
        _text(text, ["<img>", "</img>", "<IMG_CONTEXT>"]),
        vision.file("internvl", text.width, shapes, **keys),
        image=(56, 56),
        tiled=(112, 112),
    )


def minicpmv() -> Family:
    """MiniCPM-V 2.6: slices, each resampled to 64 tokens by learned queries."""
    text, vision = Decoder("qwen2", width=128, head=32), VisionTransformer(image=448, patch=56)
    wide = text.width
    shapes = vision.embedding() | vision.blocks() | vision.norm("v.post_ln")
    shapes["v.position_embd.weight"] = (70 * 70, vision.width)
    shapes |= {"resampler.query": (64, wide), "resampler.pos_embed_k": (70 * 70, wide)}
    shapes |= {"resampler.proj.weight": (wide, wide), "resampler.kv.weight": (wide, vision.width)}
    for part in ("q", "k", "v", "out"):
        shapes |= linear(f"resampler.attn.{part}", wide, wide)
    for part in ("q", "kv", "post"):
        shapes |= {f"resampler.ln_{part}.weight": (wide,), f"resampler.ln_{part}.bias": (wide,)}
    keys = {"has_minicpmv_projector": True, "minicpmv_version": np.int32(3), "minicpmv_query_num": 64, "use_gelu": True}
    return Family(
        _text(text, ["<image>", "</image>", "<slice>", "</slice>"]),
        vision.file("resampler", wide, shapes, **keys),
        image=(448, 448),
        tiled=(448, 896),
    )
