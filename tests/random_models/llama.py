"""The llama decoder alone and under three image encoders: LLaVA-1.5, SmolVLM (Idefics3's projector), Pixtral."""

from __future__ import annotations

from typing import Any

from random_models.blocks import Decoder, VisionTransformer, linear
from random_models.family import Family
from random_models.vocabulary import byte_bpe, sentencepiece, size
from random_models.writer import File

TEXT = Decoder("llama")


def llama() -> Family:
    return Family(llama_file(byte_bpe("llama-bpe", bos="<|begin_of_text|>")))


def llama_file(vocabulary: dict[str, object]) -> File:
    keys = {f"attention__{x}_length": TEXT.head for x in ("key", "value")}
    more: dict[str, Any] = {"rope__dimension_count": TEXT.head, "vocab_size": size(vocabulary), **keys}
    return TEXT.file(vocabulary, TEXT.blocks(), **more)


def llava() -> Family:
    """LLaVA-1.5: CLIP without its last layer, projector ``mlp``, no tokens around the image."""
    vision = VisionTransformer(image=56, layers=3)
    shapes = (
        vision.embedding(bias=False, classes=1)
        | vision.norm("v.pre_ln")
        | vision.blocks()
        | linear("mm.0", vision.width, TEXT.width)
        | linear("mm.2", TEXT.width, TEXT.width)
    )
    text = llama_file(sentencepiece(space_prefix=True))
    return Family(text, vision.file("mlp", TEXT.width, shapes, use_gelu=False), image=(56, 56))


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
