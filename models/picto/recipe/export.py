"""The tower as a llama.cpp mmproj file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tower import Shape, Tower

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


def tensors(shape: Shape) -> dict[str, str]:
    """llama.cpp's name of each of the tower's tensors."""
    names = {
        "patch.weight": "v.patch_embd.weight",
        "patch.bias": "v.patch_embd.bias",
        "position": "v.position_embd.weight",
    }
    for index in range(shape.depth):
        for ours, theirs in BLOCK.items():
            for kind in ("weight", "bias"):
                names[f"blocks.{index}.{ours}.{kind}"] = f"v.blk.{index}.{theirs}.{kind}"
    return names | {
        "post.weight": "v.post_ln.weight",
        "post.bias": "v.post_ln.bias",
        "registers": "v.class_embd",
        "norm": "mm.model.mlp.0.weight",
        "look.weight": "mm.model.mlp.1.weight",
        "name.weight": "mm.model.mlp.3.weight",
    }


def load_tower(path: Path, tower: Tower, *, without: str = "") -> None:
    """Give `tower` the weights of an exported file, all but the tensor `without`."""
    found = {tensor.name: np.array(tensor.data, np.float32) for tensor in gguf.GGUFReader(path).tensors}
    weights = tower.state_dict()
    for ours, theirs in tensors(tower.shape).items():
        if ours != without:
            weights[ours].copy_(torch.from_numpy(found[theirs]).reshape(weights[ours].shape))


def export(tower: Tower, path: Path, language_model: str) -> None:
    """Write `path`: matrices in F16, norms, biases and positions in F32."""
    writer = gguf.GGUFWriter(path, "clip")
    metadata(writer, tower, language_model)
    weights = tower.state_dict()
    for ours, theirs in tensors(tower.shape).items():
        matrix = weights[ours].ndim > 1 and ours not in ("position", "registers")
        values = weights[ours].detach().float().numpy()
        writer.add_tensor(theirs, np.ascontiguousarray(values, np.float16 if matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def metadata(writer: gguf.GGUFWriter, tower: Tower, language_model: str) -> None:
    shape = tower.shape
    writer.add_type("mmproj")
    writer.add_name("picto vision tower")
    writer.add_description(f"small vision transformer for {language_model}, trained on open pictograms")
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
