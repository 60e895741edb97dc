"""Qwen: text models, a mixture of experts, the VL models with M-RoPE, and InternVL and MiniCPM-V on Qwen2."""

from __future__ import annotations

from typing import Any

import numpy as np

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe
from random_models.writer import File, Shapes

EXPERTS, EXPERT_FF, SHARED_FF = 4, 32, 48
MIXTURE = {"expert_count": EXPERTS, "expert_used_count": 2, "expert_feed_forward_length": EXPERT_FF}
STATE, KERNEL, KEY_HEADS, VALUE_HEADS = 16, 4, 2, 4  # of linear attention
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
        shapes |= text.attention(layer, head_norms=True) | text.experts(layer, EXPERTS, EXPERT_FF)
        shapes[f"blk.{layer}.ffn_norm.weight"] = (text.width,)
    return Family(_qwen3("qwen3moe", [], shapes, **MIXTURE))


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


def _delta_net(text: Decoder, layer: int) -> Shapes:
    """A layer of linear attention: a convolution, and a state that decays and is corrected by the delta rule."""
    at, keys, values = f"blk.{layer}.", KEY_HEADS * STATE, VALUE_HEADS * STATE
    return {
        f"{at}attn_norm.weight": (text.width,),
        f"{at}attn_qkv.weight": (2 * keys + values, text.width),
        f"{at}attn_gate.weight": (values, text.width),
        f"{at}ssm_conv1d.weight": (2 * keys + values, KERNEL),
        f"{at}ssm_alpha.weight": (VALUE_HEADS, text.width),
        f"{at}ssm_beta.weight": (VALUE_HEADS, text.width),
        f"{at}ssm_dt.bias": (VALUE_HEADS,),
        f"{at}ssm_a": (VALUE_HEADS,),
        f"{at}ssm_norm.weight": (STATE,),
        f"{at}ssm_out.weight": (text.width, values),
    }


def _next_tokens(text: Decoder, layer: int) -> Shapes:
    """What makes of a layer of attention a draft of the token after next; llama.cpp does not run it."""
    names = ("enorm", "hnorm", "shared_head_norm")
    norms: Shapes = {f"blk.{layer}.nextn.{name}.weight": (text.width,) for name in names}
    return norms | {f"blk.{layer}.nextn.eh_proj.weight": (text.width, 2 * text.width)}


def _shared_expert(text: Decoder, layer: int) -> Shapes:
    """Weighted by a gate of its own."""
    return {f"blk.{layer}.ffn_gate_inp_shexp.weight": (1, text.width)} | text.shared_expert(layer, SHARED_FF)


def _qwen35(architecture: str, tokens: list[str]) -> File:
    """Three layers of linear attention, one of attention, and the draft layer behind them.

    Half of a query projection's rows are a gate of the attention's output.
    """
    text = Decoder(architecture, layers=5, head=32)
    recurrent, mixture = [True, True, True, False, False], architecture == "qwen35moe"
    shapes = _next_tokens(text, text.layers - 1)
    for layer, has_state in enumerate(recurrent):
        shapes |= _delta_net(text, layer) if has_state else text.attention(layer, head_norms=True)
        shapes |= {} if has_state else {f"blk.{layer}.attn_q.weight": (2 * text.heads * text.head, text.width)}
        shapes |= (
            text.experts(layer, EXPERTS, EXPERT_FF) | _shared_expert(text, layer)
            if mixture
            else text.feed_forward(layer)
        )
        shapes.pop(f"blk.{layer}.ffn_norm.weight", None)
        shapes[f"blk.{layer}.post_attention_norm.weight"] = (text.width,)
    keys: dict[str, Any] = MIXTURE | {"expert_shared_feed_forward_length": SHARED_FF} if mixture else {}
    return text.file(
        byte_bpe("qwen35", tokens),
        shapes,
        attention__layer_norm_rms_epsilon=1e-6,
        attention__key_length=text.head,
        attention__value_length=text.head,
        attention__recurrent_layers=recurrent,
        full_attention_interval=4,
        nextn_predict_layers=1,
        rope__dimension_count=text.head // 4,
        rope__dimension_sections=[2, 1, 1, 0],
        ssm__conv_kernel=KERNEL,
        ssm__state_size=STATE,
        ssm__group_count=KEY_HEADS,
        ssm__time_step_rank=VALUE_HEADS,
        ssm__inner_size=VALUE_HEADS * STATE,
        **keys,
    )


def qwen35() -> Family:
    return Family(_qwen35("qwen35", []))


def qwen35moe() -> Family:
    return Family(_qwen35("qwen35moe", []))


def qwen35_vision() -> Family:
    """Qwen3.5 sees through Qwen3-VL's encoder, without deepstack."""
    vision = VisionTransformer(image=128, patch=16, layers=3)
    text = _qwen35("qwen35", VISION_TOKENS)
    width = text.shapes["output_norm.weight"][0]
    shapes = vision.embedding() | vision.blocks(fused=True) | vision.norm("v.post_ln") | _merger(vision, width)
    keys = {
        "use_gelu": True,
        "vision__spatial_merge_size": 2,
        "vision__is_deepstack_layers": [False] * vision.layers,
    }
    return Family(text, vision.file("qwen3vl_merger", width, shapes, **keys), image=(96, 128))


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
