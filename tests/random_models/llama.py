"""The llama decoder alone and under three image encoders: LLaVA-1.5, SmolVLM (Idefics3's projector), Pixtral."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe, sentencepiece, size
from random_models.writer import File, Shapes

TEXT = Decoder("llama")


def llama() -> Family:
    return Family(llama_file(byte_bpe("llama-bpe", bos="<|begin_of_text|>")))


def llama_file(vocabulary: dict[str, object]) -> File:
    keys = {f"attention__{x}_length": TEXT.head for x in ("key", "value")}
    more: dict[str, Any] = {"rope__dimension_count": TEXT.head, "vocab_size": size(vocabulary), **keys}
    return TEXT.file(vocabulary, TEXT.blocks(), **more)


LEGACY = {  # what tools/mtmd/legacy-models/convert_image_encoder_to_gguf.py writes for LLaVA, and no other converter
    "general.name": "openai/clip-vit-large-patch14-336",
    "general.description": "image encoder for LLaVA",
    "clip.has_text_encoder": False,
    "clip.has_llava_projector": True,
}


def llava() -> Family:
    """LLaVA-1.5 in the files that people have: CLIP of 3 blocks without its last, which `block_count` does not count.

    No tokens around the image. The names of the feed-forward's two matrices are exchanged, as in every such file.
    """
    vision = VisionTransformer(image=56, layers=2)
    exchanged = {"ffn_up": "ffn_down", "ffn_down": "ffn_up"}
    shapes = {
        ".".join(exchanged.get(part, part) for part in name.split(".")): shape for name, shape in _clip(vision).items()
    }
    file = vision.file("mlp", TEXT.width, shapes, use_gelu=False)
    keys = {key: value for key, value in file.metadata.items() if key != "general.type"} | LEGACY
    return _llava(replace(file, metadata=keys))


def llava_named_layer() -> Family:
    """As `llava`, but with all 3 blocks and the key that names the one to take: what llama.cpp computes rightly."""
    vision = VisionTransformer(image=56, layers=3)
    return _llava(
        vision.file("mlp", TEXT.width, _clip(vision), use_gelu=False, vision__feature_layer=[vision.layers - 1])
    )


def llava_whole() -> Family:
    """As `llava`, but with all 3 blocks, as a converter might write that leaves skipping the last to llama.cpp."""
    vision = VisionTransformer(image=56, layers=3)
    return _llava(vision.file("mlp", TEXT.width, _clip(vision), use_gelu=False))


def _llava(vision: File) -> Family:
    return Family(llama_file(sentencepiece(space_prefix=True)), vision, image=(56, 56))


def _clip(vision: VisionTransformer) -> Shapes:
    return (
        vision.embedding(bias=False, classes=1)
        | vision.norm("v.pre_ln")
        | vision.blocks()
        | linear("mm.0", vision.width, TEXT.width)
        | linear("mm.2", TEXT.width, TEXT.width)
    )


def smolvlm() -> Family:
    """SmolVLM: SigLIP, pixel shuffle, always tiles and an overview with tokens of their own between them."""
    grid = [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
    tokens = ["<fake_token_around_image>", "<global-img>", "<image>", *grid]
    vision = VisionTransformer(image=56)
    shapes = (
        vision.embedding()
        | vision.blocks()
        | vision.norm("v.post_ln")
        | linear("mm.model.fc", 4 * vision.width, TEXT.width, bias=False)
    )
    keys = {"vision__projector__scale_factor": 2, "vision__preproc_image_size": 112, "use_gelu": True}
    return Family(
        llama_file(byte_bpe("smollm", tokens)),
        vision.file("idefics3", TEXT.width, shapes, **keys),
        image=(30, 112),
        tiled=(112, 112),
    )


def pixtral() -> Family:
    """Pixtral: any size of image, 2-D rotary positions, [IMG_BREAK] rows inside the image, [IMG_END] after it."""
    vision = VisionTransformer(image=224, layers=3)
    shapes = (
        vision.norm("v.pre_ln", bias=False)
        | vision.blocks(bias=False, gated=True)
        | linear("mm.1", vision.width, TEXT.width)
        | linear("mm.2", TEXT.width, TEXT.width)
        | {"v.token_embd.img_break": (TEXT.width,)}
    )
    vocabulary = byte_bpe("pixtral", ["[IMG]", "[IMG_BREAK]", "[IMG_END]"], bos="<s>", eos="</s>")
    return Family(
        llama_file(vocabulary),
        vision.file("pixtral", TEXT.width, shapes, use_silu=True, vision__attention__layer_norm_epsilon=1e-5),
        image=(112, 168),
    )
