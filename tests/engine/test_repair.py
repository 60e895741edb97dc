"""What an mmproj needs, by its header: the files that people have, and those that must be left alone."""

from __future__ import annotations

from typing import Any

import pytest
from gguf.constants import GGUFValueType

from tvcli.engine.gguf.header import Header, Tensor, Value
from tvcli.engine.gguf.repair import FAULTS, NONE, Repair, repair

LEGACY = {"general.description": "image encoder for LLaVA", "clip.has_llava_projector": True}


def header(projector: str, blocks: int, size: tuple[int, int], *tensors: str, **more: Any) -> Header:
    """An mmproj's; `more` are keys, whose dots are written as two underlines."""
    keys = {
        "clip.projector_type": projector,
        "clip.vision.block_count": blocks,
        "clip.vision.embedding_length": size[0],
        "clip.vision.feed_forward_length": size[1],
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    kinds = {str: GGUFValueType.STRING, bool: GGUFValueType.BOOL, int: GGUFValueType.UINT32, tuple: GGUFValueType.INT32}
    values = {key: Value(kinds[type(v)], v, len(v) if isinstance(v, tuple) else None) for key, v in keys.items()}
    return Header(values, {name: Tensor((size[0],), 0, 0) for name in tensors})


CLIP_L, SIGLIP, OTHER = (1024, 4096), (1152, 4304), (64, 96)
CLASS, FINAL_NORM = "v.class_embd", "v.post_ln.weight"


@pytest.mark.parametrize(
    ("file", "needed"),
    [
        # LLaVA-1.5 and 1.6, BakLLaVA, ShareGPT4V: https://github.com/ggml-org/llama.cpp/issues/25817
        (header("mlp", 23, CLIP_L, CLASS, **LEGACY), Repair(class_first=True, depth=23)),
        # MobileVLM, by the same script
        (header("ldp", 23, CLIP_L, CLASS, **LEGACY), Repair(class_first=True, depth=23)),
        (header("ldpv2", 23, CLIP_L, CLASS, **LEGACY), Repair(class_first=True, depth=23)),
        # a newer converter, whichever way it writes the depth
        (header("mlp", 24, CLIP_L, CLASS), Repair(class_first=True)),
        (header("mlp", 24, CLIP_L, CLASS, **LEGACY), Repair(class_first=True)),
        (header("mlp", 23, CLIP_L, CLASS, clip__vision__feature_layer=(23,)), Repair(class_first=True)),
        (header("mlp", 23, CLIP_L, CLASS), Repair(class_first=True, depth=23)),
        # Granite Vision 3.2: SigLIP without a class token, four layers by name
        (header("mlp", 27, SIGLIP, **LEGACY, clip__vision__feature_layer=(4, 8, 16, 27)), NONE),
        # a SigLIP tower by the old script, and moondream2's and nanoLLaVA's, with the last block twice
        (header("mlp", 26, SIGLIP, **LEGACY), Repair(depth=26)),
        (header("mlp", 28, SIGLIP, FINAL_NORM, clip__has_llava_projector=True), NONE),
        # an encoder of another size: by what the script says of itself
        (header("mlp", 11, OTHER, CLASS, **LEGACY), Repair(class_first=True, depth=11)),
        (header("mlp", 11, OTHER, CLASS), Repair(class_first=True, unknown_depth=True)),
        (header("mlp", 11, OTHER, CLASS, clip__has_llava_projector=True), Repair(class_first=True, unknown_depth=True)),
        (header("mlp", 11, OTHER, CLASS, FINAL_NORM), Repair(class_first=True)),
        # a known one that is cut off further down
        (header("mlp", 20, CLIP_L, CLASS, **LEGACY), Repair(class_first=True, unknown_depth=True)),
        # InternVL computes every block
        (header("internvl", 24, CLIP_L, CLASS), Repair(class_first=True)),
        # Pixtral, Mistral 3
        (header("pixtral", 24, CLIP_L, "v.token_embd.img_break"), Repair(unset_memory=True)),
        # no repair: Llama 4 has its class token behind the patches; the others have none, or compute every block
        (header("llama4", 34, (1408, 5632), CLASS), Repair(fault=FAULTS["llama4"])),
        (header("kimivl", 27, SIGLIP), Repair(fault=FAULTS["kimivl"])),
        (header("cogvlm", 63, (1792, 15360), CLASS), NONE),
        (header("adapter", 27, SIGLIP, clip__has_glm_projector=True), NONE),
        (header("resampler", 27, SIGLIP, FINAL_NORM), NONE),
        (header("gemma3", 27, SIGLIP, FINAL_NORM), NONE),
    ],
)
def test_a_file_gets_the_repair_that_it_needs(file: Header, needed: Repair) -> None:
    assert repair(file) == needed


def test_the_projector_may_be_under_the_key_of_models_that_also_hear() -> None:
    keys = dict(header("mlp", 23, CLIP_L, CLASS).keys)
    keys["clip.vision.projector_type"] = keys.pop("clip.projector_type")
    assert repair(Header(keys, {CLASS: Tensor((1024,), 0, 0)})) == Repair(class_first=True, depth=23)


def test_the_identity_has_what_image_tokens_depend_on() -> None:
    assert NONE.identity == ""
    assert Repair(unknown_depth=True).identity == ""
    assert Repair(class_first=True).identity == "class token first"
    assert Repair(depth=26).identity == "26 blocks"
    assert Repair(class_first=True, depth=23).identity == "class token first, 23 blocks"


def test_a_fault_that_stays_is_a_warning_and_no_repair() -> None:
    known = Repair(fault=FAULTS["kimivl"])
    assert (known.identity, known.warnings, known.sentences()) == ("", [FAULTS["kimivl"]], [FAULTS["kimivl"]])
