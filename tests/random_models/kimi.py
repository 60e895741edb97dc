"""Kimi-VL: compressed keys and values (MLA), experts chosen by sigmoid and bias, positions learned and rotated."""

from __future__ import annotations

from typing import Any

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe, size
from random_models.writer import File, Shapes

# 27 layers, from which llama.cpp tells that queries are not compressed (src/models/deepseek2.cpp: is_lite)
TEXT = Decoder("deepseek2", layers=27, width=32, heads=2, kv_heads=1, ff=48)
DENSE = 23  # blocks before those with experts: the more of these, the more tokens are nearly tied between two experts
COMPRESSED, ROTATED, REST, VALUE = 24, 8, 16, 12
EXPERTS, SHARED, EXPERT_FF = 4, 2, 16


def _attention(layer: int) -> Shapes:
    at, heads, wide = f"blk.{layer}.", TEXT.heads, TEXT.width
    return {
        f"{at}attn_norm.weight": (wide,),
        f"{at}attn_q.weight": (heads * (REST + ROTATED), wide),
        f"{at}attn_kv_a_mqa.weight": (COMPRESSED + ROTATED, wide),
        f"{at}attn_kv_a_norm.weight": (COMPRESSED,),
        f"{at}attn_k_b.weight": (heads, COMPRESSED, REST),
        f"{at}attn_v_b.weight": (heads, VALUE, COMPRESSED),
        f"{at}attn_output.weight": (wide, heads * VALUE),
    }


def _experts(layer: int) -> Shapes:
    norm: Shapes = {f"blk.{layer}.ffn_norm.weight": (TEXT.width,)}
    return (
        norm
        | TEXT.experts(layer, EXPERTS, EXPERT_FF)
        | TEXT.shared_expert(layer, SHARED * EXPERT_FF)
        | {f"blk.{layer}.exp_probs_b.bias": (EXPERTS,)}
    )


def _text() -> File:
    vocabulary = byte_bpe("kimi-k2", ["<|media_start|>", "<|media_end|>", "<|media_pad|>"], eos="[EOS]")
    shapes: Shapes = {}
    for layer in range(TEXT.layers):
        shapes |= _attention(layer) | (TEXT.feed_forward(layer) if layer < DENSE else _experts(layer))
    keys: dict[str, Any] = {
        "attention__kv_lora_rank": COMPRESSED,
        "attention__key_length": COMPRESSED + ROTATED,
        "attention__value_length": COMPRESSED,
        "attention__key_length_mla": REST + ROTATED,
        "attention__value_length_mla": VALUE,
        "rope__dimension_count": ROTATED,
        "leading_dense_block_count": DENSE,
        "expert_count": EXPERTS,
        "expert_used_count": 2,
        "expert_shared_count": SHARED,
        "expert_feed_forward_length": EXPERT_FF,
        "expert_gating_func": 2,
        "expert_group_count": 1,
        "expert_group_used_count": 1,
        "expert_weights_norm": True,
        "expert_weights_scale": 2.446,
    }
    return TEXT.file(vocabulary, shapes, vocab_size=size(vocabulary), **keys)


def kimivl() -> Family:
    vision = VisionTransformer(image=64 * 14, layers=3, width=32, heads=2, ff=48)
    merged = 4 * vision.width
    shapes = (
        vision.embedding()
        | vision.blocks()
        | vision.norm("v.post_ln")
        | vision.norm("mm.input_norm")
        | linear("mm.1", merged, merged)
        | linear("mm.2", merged, TEXT.width)
    )
    keys = {"use_gelu": True, "vision__projector__scale_factor": 2, "vision__attention__layer_norm_epsilon": 1e-5}
    return Family(_text(), vision.file("kimivl", TEXT.width, shapes, **keys), image=(84, 112))
