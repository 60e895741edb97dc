"""Gemma 3: sliding windows in five of six layers, norms on both sides, images that attend to themselves both ways."""

from __future__ import annotations

from random_models.blocks import Decoder, VisionTransformer
from random_models.family import Family
from random_models.vocabulary import sentencepiece
from random_models.writer import File

TEXT = Decoder("gemma3", layers=6)


def _text(markers: tuple[str, ...]) -> File:
    shapes = TEXT.blocks(head_norms=True)
    for layer in range(TEXT.layers):
        for norm in ("post_attention_norm", "post_ffw_norm"):
            shapes[f"blk.{layer}.{norm}.weight"] = (TEXT.width,)
    return TEXT.file(
        sentencepiece(space_prefix=False, user_defined=markers),
        shapes,
        tied=True,
        attention__key_length=TEXT.head,
        attention__value_length=TEXT.head,
        attention__sliding_window=512,
        attention__layer_norm_rms_epsilon=1e-6,
        rope__freq_base=1e6,
        rope__freq_base_swa=10000.0,
    )


def gemma3() -> Family:
    return Family(_text(()))


def gemma3_vision() -> Family:
    """Its projector pools 4 × 4 patches to a token; the image is one run that is not causal."""
    vision = VisionTransformer(image=112)
    shapes = (
        vision.embedding()
        | vision.blocks()
        | vision.norm("v.post_ln")
        | {"mm.input_projection.weight": (vision.width, TEXT.width), "mm.soft_emb_norm.weight": (vision.width,)}
    )
    return Family(
        _text(("<start_of_image>", "<end_of_image>", "<image_soft_token>")),
        vision.file("gemma3", TEXT.width, shapes, use_gelu=True),
        image=(112, 112),
    )
