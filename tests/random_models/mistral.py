"""Ministral 3: YaRN, queries scaled by position, and Pixtral's encoder with four patches merged to a token."""

from __future__ import annotations

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe, size

TEXT = Decoder("mistral3")
TRAINED = 64  # positions before YaRN; behind them queries are scaled, which few tokens of a prompt would show otherwise


def mistral3() -> Family:
    vocabulary = byte_bpe("tekken", ["[IMG]", "[IMG_BREAK]", "[IMG_END]"], bos="<s>", eos="</s>")
    text = TEXT.file(
        vocabulary,
        TEXT.blocks(),
        vocab_size=size(vocabulary),
        attention__key_length=TEXT.head,
        attention__value_length=TEXT.head,
        attention__temperature_scale=0.1,
        rope__dimension_count=TEXT.head,
        rope__scaling__type="yarn",
        rope__scaling__factor=128.0,
        rope__scaling__original_context_length=TRAINED,
        rope__scaling__yarn_beta_fast=32.0,
        rope__scaling__yarn_beta_slow=1.0,
        rope__scaling__yarn_log_multiplier=1.0,
    )
    vision = VisionTransformer(image=224, layers=3)
    shapes = (
        vision.norm("v.pre_ln", bias=False)
        | vision.blocks(bias=False, gated=True)
        | {"mm.input_norm.weight": (vision.width,)}
        | linear("mm.patch_merger", 4 * vision.width, vision.width, bias=False)
        | linear("mm.1", vision.width, TEXT.width, bias=False)
        | linear("mm.2", TEXT.width, TEXT.width, bias=False)
        | {"v.token_embd.img_break": (TEXT.width,)}
    )
    keys = {"use_silu": True, "vision__spatial_merge_size": 2, "vision__attention__layer_norm_epsilon": 1e-5}
    return Family(text, vision.file("pixtral", TEXT.width, shapes, **keys), image=(112, 168))
