"""The tower as a llama.cpp mmproj file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from tower import Tower

BLOCK = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_out",
    "up": "ffn_up",
    "down": "ffn_down",
    "ln1": "ln1",
    "ln2": "ln2",
}


def export(tower: Tower, path: Path) -> None:
    """Write `path`: matrices in F16, norms, biases and positions in F32."""
    writer = gguf.GGUFWriter(path, "clip")
    metadata(writer, tower)
    weights = {name: value.detach().float().numpy() for name, value in tower.state_dict().items()}
    half(writer, "v.patch_embd.weight", weights["patch.weight"])
    full(writer, "v.patch_embd.bias", weights["patch.bias"])
    full(writer, "v.position_embd.weight", weights["position"])
    for index in range(tower.shape.depth):
        for ours, theirs in BLOCK.items():
            write = full if ours.startswith("ln") else half
            write(writer, f"v.blk.{index}.{theirs}.weight", weights[f"blocks.{index}.{ours}.weight"])
            full(writer, f"v.blk.{index}.{theirs}.bias", weights[f"blocks.{index}.{ours}.bias"])
    full(writer, "v.post_ln.weight", weights["post.weight"])
    full(writer, "v.post_ln.bias", weights["post.bias"])
    full(writer, "v.class_embd", weights["registers"])
    full(writer, "mm.model.mlp.0.weight", weights["norm"])
    half(writer, "mm.model.mlp.1.weight", weights["look.weight"])
    half(writer, "mm.model.mlp.3.weight", weights["name.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def metadata(writer: gguf.GGUFWriter, tower: Tower) -> None:
    shape = tower.shape
    writer.add_type("mmproj")
    writer.add_name("picto vision tower")
    writer.add_description("small vision transformer for Gemma 3 270M, trained on open pictograms")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "nemotron_v2_vl")
    writer.add_bool("clip.use_gelu", True)
    numbers = {
        "image_size": shape.image,
        "patch_size": shape.patch,
        "embedding_length": shape.width,
        "feed_forward_length": shape.mlp,
        "projection_dim": shape.out,
        "block_count": shape.depth,
        "attention.head_count": shape.heads,
        "projector.scale_factor": shape.merge,
    }
    for key, value in numbers.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5] * 3)
    writer.add_array("clip.vision.image_std", [0.5] * 3)


def half(writer: gguf.GGUFWriter, name: str, values: np.ndarray) -> None:
    writer.add_tensor(name, np.ascontiguousarray(values, np.float16))


def full(writer: gguf.GGUFWriter, name: str, values: np.ndarray) -> None:
    writer.add_tensor(name, np.ascontiguousarray(values, np.float32))
