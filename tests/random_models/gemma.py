"""Gemma 3 and 4: sliding windows in most layers, norms on both sides, images that attend to themselves both ways."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import gemma4 as gemma4_vocabulary
from random_models.vocabulary import sentencepiece, size
from random_models.writer import File, Shapes

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


# -- Gemma 4 ------------------------------------------------------------------------------------------------------

SLIDING = [True, True, False] * 2
PER_LAYER = 16  # width of the embeddings that every layer gets for itself
UNIT: dict[str, Any] = {"vision__image_mean": [0.0] * 3, "vision__image_std": [1.0] * 3}  # pixels between 0 and 1
PLACES = 1120  # columns or rows of the longest image: mtmd makes at most that many tokens
FRAME = 640  # samples of sound
SOUND: dict[str, Any] = {"has_audio_encoder": True, "audio__projector_type": "gemma4ua", "audio__num_mel_bins": 128} | {
    f"audio__{key}": value
    for key, value in {
        "projection_dim": 64,
        "embedding_length": FRAME,
        "feed_forward_length": 0,
        "block_count": 0,
        "attention.head_count": 0,
        "attention.layer_norm_epsilon": 1e-6,
    }.items()
}
MARKERS = ("<|image>", "<image|>", "<|image|>")


def _attention4(text: Decoder, layer: int, *, own_values: bool = True) -> Shapes:
    """Heads are twice as wide in layers without a window; `own_values`: keys are not used as values."""
    shapes = replace(text, head=text.head * (2 - SLIDING[layer])).attention(layer, head_norms=True)
    if not own_values:
        del shapes[f"blk.{layer}.attn_v.weight"]
    shapes |= {f"blk.{layer}.{norm}.weight": (text.width,) for norm in ("post_attention_norm", "post_ffw_norm")}
    return shapes | {f"blk.{layer}.layer_output_scale.weight": (1,)}


def _text4(text: Decoder, markers: tuple[str, ...], shapes: Shapes, **more: Any) -> File:
    wide = 2 * text.head
    own: dict[str, Any] = {
        "attention__head_count_kv": text.kv_heads,
        "attention__key_length": wide,
        "attention__value_length": wide,
        "attention__key_length_swa": text.head,
        "attention__value_length_swa": text.head,
        "attention__layer_norm_rms_epsilon": 1e-6,
        "attention__sliding_window": 512,
        "attention__sliding_window_pattern": SLIDING,
        "final_logit_softcapping": 30.0,
        "rope__dimension_count": wide,
        "rope__dimension_count_swa": text.head,
        "rope__freq_base": 1e6,
        "rope__freq_base_swa": 10000.0,
    }
    shapes = shapes | {"rope_freqs.weight": (text.head,)}
    return text.file(gemma4_vocabulary(markers), shapes, tied=True, **own | more)


def _small(markers: tuple[str, ...], width: int = 64) -> File:
    """E2B and E4B: the upper half of the layers uses keys and values of the lower half, and is twice as wide."""
    text = Decoder("gemma4", layers=len(SLIDING), width=width)
    shared = text.layers // 2
    widths = [text.ff] * shared + [2 * text.ff] * shared
    tokens = size(gemma4_vocabulary(markers))
    shapes: Shapes = {
        "per_layer_token_embd.weight": (tokens, text.layers * PER_LAYER),
        "per_layer_model_proj.weight": (text.layers * PER_LAYER, width),
        "per_layer_proj_norm.weight": (PER_LAYER,),
    }
    for layer, ff in enumerate(widths):
        at = f"blk.{layer}."
        shapes |= _attention4(text, layer) | replace(text, ff=ff).feed_forward(layer)
        shapes |= {f"{at}inp_gate.weight": (PER_LAYER, width), f"{at}proj.weight": (width, PER_LAYER)}
        shapes |= {f"{at}post_norm.weight": (width,)}
        if layer >= shared:
            for unused in ("attn_k", "attn_k_norm", "attn_v"):
                del shapes[f"{at}{unused}.weight"]
    keys = {"attention__shared_kv_layers": shared, "embedding_length_per_layer_input": PER_LAYER}
    return _text4(text, markers, shapes, feed_forward_length=widths, **keys)


def _for_images(file: File) -> File:
    """An mmproj may have one projector for images and another one for sound: each has its own key."""
    keys = dict(file.metadata)
    keys["clip.vision.projector_type"] = keys.pop("clip.projector_type")
    return replace(file, metadata=keys)


def gemma4() -> Family:
    return Family(_small(()))


def gemma4_vision() -> Family:
    """E2B's width, by which mtmd knows that its images are causal; limits on what the encoder's matrices take."""
    vision, text = VisionTransformer(image=224, patch=4), _small(MARKERS, width=1536)
    width = text.shapes["output_norm.weight"][0]
    blocks = vision.blocks(bias=False, gated=True)
    matrices = [name.removesuffix("weight") for name, shape in blocks.items() if len(shape) == 2]
    shapes = blocks | {
        f"{name}{end}put_{bound}": (1,) for name in matrices for end in ("in", "out") for bound in ("min", "max")
    }
    for layer in range(vision.layers):
        at, head = f"v.blk.{layer}.", vision.width // vision.heads
        shapes |= {f"{at}{norm}.weight": (vision.width,) for norm in ("attn_post_norm", "ffn_post_norm")}
        shapes |= {f"{at}attn_{x}_norm.weight": (head,) for x in "qk"}
    shapes |= {f"v.std_{x}": (vision.width,) for x in ("bias", "scale")}
    shapes |= {"v.position_embd.weight": (2, 3 * PLACES, vision.width)}
    shapes |= linear("mm.input_projection", vision.width, width, bias=False)
    return Family(text, _for_images(vision.file("gemma4v", width, shapes, **UNIT)), image=(84, 120))


def gemma4_unified() -> Family:
    """The 12B: no encoder, patches of pixels are normed and projected, and frames of sound only projected."""
    text = Decoder("gemma4", layers=len(SLIDING))
    vision = VisionTransformer(image=224, patch=4, layers=0, heads=0, ff=0)
    kv_heads = [2 if sliding else 1 for sliding in SLIDING]
    shapes: Shapes = {}
    for layer, heads in enumerate(kv_heads):
        shapes |= _attention4(replace(text, kv_heads=heads), layer, own_values=SLIDING[layer])
        shapes |= text.feed_forward(layer)
    keys = {"attention__shared_kv_layers": 0, "embedding_length_per_layer_input": 0}
    pixels = 3 * (3 * vision.patch) ** 2
    seen: Shapes = {
        "v.position_embd.weight": (2, PLACES, vision.width),
        "mm.a.input_projection.weight": (text.width, FRAME),
    }
    seen |= linear("v.patch_embd", pixels, vision.width)
    seen |= linear("mm.input_projection", vision.width, text.width, bias=False)
    for number, wide in enumerate((pixels, vision.width, vision.width), 1):
        seen |= {f"v.patch_norm.{number}.{kind}": (wide,) for kind in ("weight", "bias")}
    return Family(
        _text4(text, MARKERS, shapes, attention__head_count_kv=kv_heads, **keys),
        _for_images(vision.file("gemma4uv", text.width, seen, **UNIT, **SOUND)),
        image=(84, 120),
    )
