"""A Hugging Face model as llama.cpp's own converter writes it: keys and tensors, for text model and mmproj."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import conversion
import gguf
import numpy as np
import torch
from conversion.base import ModelBase, ModelType, TextModel, get_model_architecture
from conversion.llama import LlamaModel
from safetensors import safe_open
from safetensors.torch import save_file


@dataclass(frozen=True)
class Converted:
    metadata: dict[str, Any]
    tensors: dict[str, np.ndarray]


def convert(model: Any, preprocessor: dict[str, Any], tokens: list[str], folder: Path, *, vision: bool) -> Converted:
    """Save and convert."""
    model.save_pretrained(folder)
    _use_hub_names(folder / "model.safetensors")
    settings = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, **preprocessor}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return converted_folder(folder, tokens, vision=vision)


def converted_folder(folder: Path, tokens: list[str], *, vision: bool) -> Converted:
    """Convert a saved model to float32 (``convert_hf_to_gguf.py``, without a tokenizer) and read it back."""
    added = [{"id": number, "content": token} for number, token in enumerate(tokens)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added, "model": {"vocab": vocabulary}}))
    (folder / "tokenizer_config.json").write_text("{}")
    architecture = get_model_architecture(
        ModelBase.load_hparams(folder, False), ModelType.MMPROJ if vision else ModelType.TEXT
    )
    kind = conversion.get_model_class(architecture, mmproj=vision)
    for one in (TextModel, LlamaModel, kind):  # some have another inside; our vocabulary is written instead
        one.set_vocab = lambda self: None
    path = folder / ("mmproj.gguf" if vision else "text.gguf")
    with torch.inference_mode():
        kind(folder, gguf.LlamaFileType.ALL_F32, path, eager=True).write()
    reader = gguf.GGUFReader(path)
    return Converted(
        {key: field.contents() for key, field in reader.fields.items()},
        {t.name: np.array(t.data, np.float32).reshape(t.shape[::-1]) for t in reader.tensors},
    )


def _use_hub_names(path: Path) -> None:
    """Rename tensors of transformers 5 to the names of published checkpoints, which the converter supports."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    if "model.vision_tower.patch_embedder.input_proj.weight" in tensors:  # Gemma 4, whose names are those
        return
    if "vision_tower.embeddings.cls_token" in tensors:  # InternVL
        changes = (r"^(?=vision_tower|multi_modal_projector)", "model.")
    else:
        changes = (r"(?<=vision_tower\.)(?=(embeddings|encoder\.layers|post_layernorm)\.)", "vision_model.")
    save_file({re.sub(*changes, name): tensor for name, tensor in tensors.items()}, path, {"format": "pt"})


CLIP = {
    "embeddings.class_embedding": "v.class_embd",
    "embeddings.patch_embedding.weight": "v.patch_embd.weight",
    "embeddings.position_embedding.weight": "v.position_embd.weight",
    "pre_layrnorm.": "v.pre_ln.",
    "encoder.layers.": "v.blk.",
    ".layer_norm": ".ln",
    ".self_attn.out_proj.": ".attn_out.",
    ".self_attn.": ".attn_",
    "_proj.": ".",
    ".mlp.fc1.": ".ffn_down.",  # sic: the scripts exchange the two
    ".mlp.fc2.": ".ffn_up.",
    "model.vision_tower.": "",
    "model.multi_modal_projector.linear_1": "mm.0",
    "model.multi_modal_projector.linear_2": "mm.2",
}


def llava_vision(model: Any) -> dict[str, np.ndarray]:
    """LLaVA's encoder without its last block, and projector, as llama.cpp's old scripts write them.

    Only tools/mtmd/legacy-models converts them; the final norm is left out too.
    """
    last = model.config.vision_config.num_hidden_layers - 1
    unused = ("post_layernorm", f"encoder.layers.{last}.")
    found = {}
    for name, tensor in model.state_dict().items():
        if ("vision_tower" in name or "projector" in name) and not any(part in name for part in unused):
            for theirs, ours in CLIP.items():
                name = name.replace(theirs, ours)
            found[name] = tensor.float().numpy()
    return found
