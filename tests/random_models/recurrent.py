"""Models without or nearly without attention: Mamba, and Jamba, which mixes both."""

from __future__ import annotations

from typing import Any

from random_models.blocks import Decoder
from random_models.family import Family
from random_models.vocabulary import byte_bpe
from random_models.writer import Shapes

STATE, KERNEL, RANK = 8, 4, 4


def _mamba_block(text: Decoder, layer: int) -> Shapes:
    at, inner = f"blk.{layer}.", 2 * text.width
    return {
        f"{at}attn_norm.weight": (text.width,),
        f"{at}ssm_in.weight": (2 * inner, text.width),
        f"{at}ssm_conv1d.weight": (inner, KERNEL),
        f"{at}ssm_conv1d.bias": (inner,),
        f"{at}ssm_x.weight": (RANK + 2 * STATE, inner),
        f"{at}ssm_dt.weight": (inner, RANK),
        f"{at}ssm_dt.bias": (inner,),
        f"{at}ssm_a": (inner, STATE),
        f"{at}ssm_d": (inner,),
        f"{at}ssm_out.weight": (text.width, inner),
    }


def _keys(text: Decoder) -> dict[str, int]:
    return {
        "ssm__conv_kernel": KERNEL,
        "ssm__inner_size": 2 * text.width,
        "ssm__state_size": STATE,
        "ssm__time_step_rank": RANK,
    }


def mamba() -> Family:
    text = Decoder("mamba", heads=0, kv_heads=0, ff=0)
    shapes: Shapes = {}
    for layer in range(text.layers):
        shapes |= _mamba_block(text, layer)
    more = {"context_length": 1 << 20, "ssm__dt_b_c_rms": False, **_keys(text)}
    return Family(text.file(byte_bpe("olmo"), shapes, tied=True, **more))


def jamba() -> Family:
    """One attention layer among Mamba layers."""
    text = Decoder("jamba")
    shapes: Shapes = {}
    for layer in range(text.layers):
        at = f"blk.{layer}."
        if layer == 1:
            shapes |= text.attention(layer)
        else:
            shapes |= _mamba_block(text, layer)
            shapes |= {f"{at}ssm_dt_norm.weight": (RANK,)}
            shapes |= {f"{at}ssm_b_norm.weight": (STATE,), f"{at}ssm_c_norm.weight": (STATE,)}
        shapes |= text.feed_forward(layer)
    heads = [text.kv_heads if layer == 1 else 0 for layer in range(text.layers)]
    more: dict[str, Any] = {"attention__head_count_kv": heads, "expert_count": 1, "expert_used_count": 1, **_keys(text)}
    return Family(text.file(byte_bpe("default"), shapes, attention__layer_norm_rms_epsilon=1e-6, **more))
