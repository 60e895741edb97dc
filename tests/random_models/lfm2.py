"""LFM2: short convolutions with a state of their own between attention layers (hybrid memory), and LFM2-VL."""

from __future__ import annotations

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe
from random_models.writer import File, Shapes

TEXT = Decoder("lfm2")
ATTENTION = (1, 3)  # the other layers convolve


def _convolution(layer: int) -> Shapes:
    at = f"blk.{layer}."
    return {
        f"{at}attn_norm.weight": (TEXT.width,),
        f"{at}shortconv.conv.weight": (TEXT.width, 3),
        f"{at}shortconv.in_proj.weight": (3 * TEXT.width, TEXT.width),
        f"{at}shortconv.out_proj.weight": (TEXT.width, TEXT.width),
    }


def _text(tokens: list[str]) -> File:
    shapes: Shapes = {}
    for layer in range(TEXT.layers):
        mixer = TEXT.attention(layer, head_norms=True) if layer in ATTENTION else _convolution(layer)
        shapes |= mixer | TEXT.feed_forward(layer)
    vocabulary = byte_bpe("lfm2", tokens, bos="<|startoftext|>")
    file = TEXT.file(
        vocabulary,
        shapes,
        tied=True,
        shortconv__l_cache=3,
        vocab_size=len(vocabulary["tokenizer.ggml.tokens"]),
        attention__head_count_kv=[TEXT.kv_heads if layer in ATTENTION else 0 for layer in range(TEXT.layers)],
    )
    shapes = dict(file.shapes)
    shapes["token_embd_norm.weight"] = shapes.pop("output_norm.weight")  # so llama.cpp calls LFM2's last norm
    return File(file.architecture, file.metadata, shapes)


def lfm2() -> Family:
    return Family(_text([]))


def lfm2vl(*, normed: bool = True) -> Family:
    """LFM2-VL: pictures above 512 × 512 pixels become tiles and a thumbnail. `normed`: what the projector takes."""
    grid = [f"<|img_row_{row}_col_{column}|>" for row in range(1, 11) for column in range(1, 11) if row * column <= 10]
    vision = VisionTransformer(image=256, patch=16, layers=3, width=32, heads=2, ff=48)
    merged = 4 * vision.width
    shapes = (
        vision.embedding()
        | vision.blocks()
        | vision.norm("v.post_ln")
        | ({"mm.input_norm.weight": (merged,), "mm.input_norm.bias": (merged,)} if normed else {})
        | linear("mm.1", merged, 96)
        | linear("mm.2", 96, TEXT.width)
    )
    keys = {"vision__projector__scale_factor": 2, "use_gelu": True}
    return Family(
        _text(["<|image_start|>", "<|image_end|>", "<|img_thumbnail|>", "<image>", *grid]),
        vision.file("lfm2", TEXT.width, shapes, **keys),
        image=(256, 256),
        tiled=(544, 1024),
    )


def lfm25vl() -> Family:
    """LFM2.5-VL: the same, but its projector may be without the norm (``projector_use_layernorm``)."""
    return lfm2vl(normed=False)
