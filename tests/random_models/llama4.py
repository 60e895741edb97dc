"""Llama 4: every fourth layer without positions, one of four experts beside a shared one, tiles before the overview."""

from __future__ import annotations

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe, size
from random_models.writer import File, Shapes

TEXT = Decoder("llama4")
EXPERTS, EXPERT_FF = 4, 32
TOKENS = ["<|image_start|>", "<|image_end|>", "<|image|>", "<|patch|>", "<|tile_x_separator|>", "<|tile_y_separator|>"]


def _experts(layer: int) -> Shapes:
    norm: Shapes = {f"blk.{layer}.ffn_norm.weight": (TEXT.width,)}
    return norm | TEXT.experts(layer, EXPERTS, EXPERT_FF) | TEXT.shared_expert(layer, EXPERT_FF)


def _text() -> File:
    vocabulary = byte_bpe("llama4", TOKENS, bos="<|begin_of_text|>")
    shapes: Shapes = {}
    for layer in range(TEXT.layers):
        shapes |= TEXT.attention(layer) | _experts(layer)
    return TEXT.file(
        vocabulary,
        shapes,
        vocab_size=size(vocabulary),
        attention__key_length=TEXT.head,
        attention__value_length=TEXT.head,
        rope__dimension_count=TEXT.head,
        interleave_moe_layer_step=1,
        expert_count=EXPERTS,
        expert_used_count=1,
        expert_feed_forward_length=EXPERT_FF,
    )


def llama4() -> Family:
    """The class token is the last one, in the model too."""
    vision, projector = VisionTransformer(image=56, layers=3, width=32, heads=2, ff=4 * 32), 96
    shapes = (
        vision.embedding(bias=False, classes=1)
        | vision.norm("v.pre_ln")
        | vision.blocks()
        | vision.norm("v.post_ln")
        | linear("mm.model.mlp.1", 4 * vision.width, projector, bias=False)
        | linear("mm.model.mlp.2", projector, projector, bias=False)
        | linear("mm.model.fc", projector, TEXT.width, bias=False)
        | linear("v.patch_embd", 3 * vision.patch**2, vision.width, bias=False)
    )
    keys = {"use_gelu": True, "vision__projector__scale_factor": 2, "vision__attention__layer_norm_epsilon": 1e-5}
    return Family(_text(), vision.file("llama4", TEXT.width, shapes, **keys), image=(56, 56), tiled=(112, 112))
