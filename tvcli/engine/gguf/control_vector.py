"""Task vectors as llama.cpp's control vectors: GGUF files that its programs take with ``--control-vector``.

llama.cpp adds ``direction.l`` to ``l_out-l``, the output of layer l, at every position
(llama_adapter_cvec::apply_to); a patch overwrites ``l_out-l`` only at the delimiter. Layer 0 has no direction:
the loader refuses ``direction.0`` and the adapter holds no tensor for it. That row and the provenance go into
metadata of tv's own, which llama.cpp ignores, so that a file is restored exactly.

The format is what common_control_vector_load (common/common.cpp) reads and export_gguf
(tools/cvector-generator) writes. That generator fits its ``direction.l`` on ``l_out-(l-1)``; it is added to
``l_out-l`` nevertheless, and counts as layer l here.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, GGUFWriter

from tvcli.engine.gguf import MAX_LAYERS
from tvcli.engine.gguf.checks import check_gguf
from tvcli.errors import VectorError
from tvcli.files import parse_json, replacing
from tvcli.vector import ModelInfo, Provenance, TaskVector

ARCHITECTURE = "controlvector"
LAYER_0, PROVENANCE = "tv.layer_0", "tv.provenance"


def save(vector: TaskVector, path: str | Path) -> None:
    """Write the file whole or not at all.

    Raises:
        VectorError: a vector of one layer, which has no direction.
        UnavailableError: a folder that does not exist, no permission, a full disk.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(to_bytes(vector))


def to_bytes(vector: TaskVector) -> bytes:
    """The bytes of the GGUF file. Raises VectorError for a vector of one layer."""
    if vector.n_layer < 2:
        raise VectorError("llama.cpp's control vectors start at layer 1, but this vector has only layer 0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vector.gguf")
        _write(vector, path)
        return path.read_bytes()


def _write(vector: TaskVector, path: Path) -> None:
    origin = vector.provenance
    writer = GGUFWriter(path, ARCHITECTURE)
    if origin.model is not None:
        writer.add_string(f"{ARCHITECTURE}.model_hint", origin.model.architecture)
    writer.add_int32(f"{ARCHITECTURE}.layer_count", vector.n_layer - 1)
    writer.add_array(LAYER_0, vector.rows[0].tolist())
    writer.add_string(PROVENANCE, json.dumps(origin.to_json(), sort_keys=True))
    for layer in range(1, vector.n_layer):
        writer.add_tensor(f"direction.{layer}", np.ascontiguousarray(vector.rows[layer]))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def load(path: str | Path, n_layer: int | None = None) -> tuple[TaskVector, list[int]]:
    """A control vector and the layers that have no direction, whose rows are zero.

    `n_layer` is the model's number of layers, if the file's highest direction is not that of the last layer.

    Raises:
        UnavailableError: the file is missing, unreadable or not in GGUF format.
        VectorError: not a control vector, tensors that llama.cpp would refuse, directions beyond `n_layer`.
    """
    check_gguf(Path(path))
    try:
        return _parse(_open(Path(path)), n_layer)
    except VectorError as error:
        raise VectorError(f"{path}: {error}") from error


def _open(path: Path) -> GGUFReader:
    try:
        return GGUFReader(path)
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError) as error:
        raise VectorError("it is broken or truncated") from error


def _parse(reader: GGUFReader, n_layer: int | None) -> tuple[TaskVector, list[int]]:
    architecture = _value(reader, "general.architecture", str)
    if architecture != ARCHITECTURE:
        raise VectorError(f"it is not a control vector but a GGUF file of the architecture {architecture!r}")
    given = _directions(reader) | _layer_0(reader)
    count = max(given) + 1 if n_layer is None else n_layer
    if max(given) >= count:
        raise VectorError(f"it has a direction for layer {max(given)}, which a model of {count} layers does not have")
    if len({row.size for row in given.values()}) != 1:
        raise VectorError("its directions have different lengths")
    rows = np.zeros((count, given[max(given)].size), np.float32)
    for layer, row in given.items():
        rows[layer] = row
    return TaskVector(rows, _provenance(reader, *rows.shape)), [n for n in range(count) if n not in given]


def _directions(reader: GGUFReader) -> dict[int, np.ndarray]:
    """By layer, float32 (D,). Refuses what common_control_vector_load refuses."""
    rows: dict[int, np.ndarray] = {}
    for tensor in reader.tensors:
        named = re.fullmatch(r"direction\.([1-9][0-9]{0,2})", tensor.name)
        if named is None or int(named[1]) >= MAX_LAYERS:
            raise VectorError(f"the tensor {tensor.name!r} is not a direction of a layer from 1 to {MAX_LAYERS - 1}")
        if tensor.tensor_type.name != "F32" or len(tensor.shape) != 1:
            raise VectorError(f"the tensor {tensor.name} is not a list of 32-bit floats")
        rows[int(named[1])] = np.array(tensor.data)
    if not rows:
        raise VectorError("it contains no directions")
    return rows


def _layer_0(reader: GGUFReader) -> dict[int, np.ndarray]:
    """The row of layer 0, if tv wrote the file."""
    numbers = _value(reader, LAYER_0, list)
    if numbers is None:
        return {}
    if not all(type(number) is float for number in numbers):
        raise VectorError(f"its metadata {LAYER_0} is not a list of floats")
    return {0: np.array(numbers, np.float32)}


def _provenance(reader: GGUFReader, n_layer: int, n_embd: int) -> Provenance:
    """What tv recorded; for another program's file, only the architecture of the model."""
    recorded = _value(reader, PROVENANCE, str)
    if recorded is not None:
        try:
            return Provenance.from_json(parse_json(recorded))
        except ValueError as error:
            raise VectorError(f"its provenance is not JSON ({error})") from error
    hint = _value(reader, f"{ARCHITECTURE}.model_hint", str)
    model = ModelInfo(hint, f"a {hint} model", n_layer, n_embd) if hint else None
    return Provenance(model=model, source="control vector")


def _value(reader: GGUFReader, key: str, kind: type) -> Any:
    """Metadata of type `kind`, `None` if there is none."""
    found = reader.fields.get(key)
    if found is None:
        return None
    try:
        value = found.contents()
    except ValueError as error:  # text that is not UTF-8
        raise VectorError(f"its metadata {key} cannot be read ({error})") from error
    if not isinstance(value, kind):
        raise VectorError(f"its metadata {key} is not of type {kind.__name__}")
    return value
