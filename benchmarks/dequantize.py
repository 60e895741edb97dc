"""A GGUF file with its weights as float32: the exact numbers that Hugging Face computes with."""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
from gguf.quants import dequantize

SKIPPED = {"general.architecture", "general.file_type"}  # the writer adds its own


def write_float32(source: Path, target: Path) -> Path:
    """Copy metadata and dequantize all tensors; skipped if the file exists."""
    if target.exists():
        return target
    reader = GGUFReader(source)
    writer = GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    writer.add_file_type(LlamaFileType.ALL_F32)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in SKIPPED:
            continue
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
