"""The language half of a vision-language model as a folder of its own, which llama.cpp's converter takes.

For models that the converter does not know as a whole, such as Idefics2:

    hf download HuggingFaceM4/idefics2-8b --local-dir idefics2
    python text_half.py idefics2 idefics2-text
    python convert_hf_to_gguf.py idefics2-text --outfile idefics2-text.gguf --outtype q8_0
    tv models add idefics2-text.gguf --name idefics2 --vision-from idefics2

Tensors are copied as they are, file by file; the settings are the text model's, the tokenizer's files the same.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig

from tvcli.models.vision_half.files import is_language

CLASSES = {"mistral": "MistralForCausalLM", "llama": "LlamaForCausalLM", "gemma3_text": "Gemma3ForCausalLM"}
HALVES = {"text_model", "language_model"}
TOKENIZER = ("tokenizer*", "added_tokens.json", "special_tokens_map.json", "chat_template*")


def text_name(tensor: str) -> str:
    """The tensor's name in a model of text alone."""
    return ".".join(part for part in tensor.split(".") if part not in HALVES)


def extract(source: Path, target: Path) -> None:
    """Write the language half of the model in `source` to the folder `target`."""
    config = AutoConfig.from_pretrained(source, local_files_only=True).get_text_config()
    target.mkdir(parents=True, exist_ok=True)
    settings = {**config.to_dict(), "architectures": [CLASSES[config.model_type]]}
    (target / "config.json").write_text(json.dumps(settings, indent=2, default=str))
    places = {}
    for path in sorted(source.glob("model*.safetensors")):
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if is_language(name)]  # noqa: SIM118 - not a dict
            tensors = {text_name(name): file.get_tensor(name) for name in names}
        if tensors:
            save_file(tensors, target / path.name, {"format": "pt"})
            places.update(dict.fromkeys(tensors, path.name))
    if set(places.values()) != {"model.safetensors"}:
        (target / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}, indent=2))
    for pattern in TOKENIZER:
        for path in source.glob(pattern):
            shutil.copy(path, target)


if __name__ == "__main__":
    extract(Path(sys.argv[1]), Path(sys.argv[2]))
