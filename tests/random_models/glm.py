"""GLM-4.1V and GLM-4.6V-Flash: M-RoPE on half of each head, norms on both sides, patches merged by a convolution."""

from __future__ import annotations

from dataclasses import replace

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe
from random_models.writer import File, Shapes

TEXT = Decoder("glm4")


def _text() -> File:
    """Gate and up are one matrix. A low base of the rotation, so that the few rows of a small picture matter."""
    shapes = TEXT.blocks(bias=True)
    for layer in range(TEXT.layers):
        at = f"blk.{layer}."
        del shapes[f"{at}ffn_gate.weight"]
        shapes |= linear(f"{at}ffn_up", TEXT.width, 2 * TEXT.ff, bias=False)
        shapes |= {f"{at}{norm}.weight": (TEXT.width,) for norm in ("post_attention_norm", "post_ffw_norm")}
    return TEXT.file(
        byte_bpe("glm4", ["<|begin_of_image|>", "<|end_of_image|>", "<|image|>"]),
        shapes,
        rope__dimension_count=TEXT.head // 2,
        rope__dimension_sections=[1, 1, 2, 0],
        rope__freq_base=100.0,
    )


def glm4v() -> Family:
    """The file's `feed_forward_length` is the projector's; that of the encoder's blocks is the text model's width."""
    vision, projector = VisionTransformer(image=56, layers=3, ff=TEXT.width), 96
    shapes: Shapes = (
        vision.embedding()
        | {"v.patch_embd.weight.1": (vision.width, 3, vision.patch, vision.patch)}
        | vision.norm("v.norm_embd", bias=False)
        | vision.blocks(bias=False, gated=True, fused=True)
        | vision.norm("v.post_ln", bias=False)
        | {"mm.patch_merger.weight": (TEXT.width, vision.width, 2, 2), "mm.patch_merger.bias": (TEXT.width,)}
        | linear("mm.model.fc", TEXT.width, TEXT.width, bias=False)
        | {"mm.post_norm.weight": (TEXT.width,), "mm.post_norm.bias": (TEXT.width,)}
        | linear("mm.gate", TEXT.width, projector, bias=False)
        | linear("mm.up", TEXT.width, projector, bias=False)
        | linear("mm.down", projector, TEXT.width, bias=False)
    )
    keys = {"use_silu": True, "vision__attention__layer_norm_epsilon": 1e-5}
    file = replace(vision, ff=projector).file("glm4v", TEXT.width, shapes, **keys)
    return Family(_text(), file, image=(84, 112))
