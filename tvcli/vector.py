"""`TaskVector`: the array, where it came from, its arithmetic and its file.

A task vector is float32 (L, D): for every decoder block l, the mean over many prompts of the residual
stream after block l (llama.cpp's ``l_out-l``) at the delimiter. Patching layer l writes row l.

The file is two NumPy arrays one after the other: the vector, which ``np.load`` returns, then
its provenance as a uint8 array of UTF-8 JSON.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import numpy as np
from numpy.lib import format as npy

from tvcli import notebook
from tvcli.arrays import read_array
from tvcli.errors import VectorError
from tvcli.files import parse_json, read_bytes, replacing
from tvcli.schema import SchemaError, build, shown

log = logging.getLogger(__name__)

FORMAT = 1
SHORT_DIGEST = 16  # hex digits, in the files of tv 0.1.0


@dataclass(frozen=True)
class ModelInfo:
    """The model that a vector was read with; `digest` is of all bytes of its files (see `checks.gguf_digest`)."""

    architecture: str
    name: str
    n_layer: int
    n_embd: int
    quantization: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.architecture}, {self.n_layer} layers × {self.n_embd})"

    def same_as(self, other: ModelInfo) -> bool:
        """Whether it is the same model, as far as is known: vectors of tv 0.1.0 have the digest's first 16 digits."""
        one, two = self.digest, other.digest
        if not (one and two):
            return replace(self, digest="") == replace(other, digest="")
        return one == two or (len(one) != len(two) and SHORT_DIGEST in {len(one), len(two)} and one[:16] == two[:16])


def told_apart(one: ModelInfo, other: ModelInfo) -> tuple[str, str]:
    """Names of two models, as short as possible but different."""
    for name in (str, _quantized, _fingerprinted):
        if name(one) != name(other):
            break
    return name(one), name(other)


def _quantized(model: ModelInfo) -> str:
    return f"{model} {model.quantization or 'of unknown quantization'}"


def _fingerprinted(model: ModelInfo) -> str:
    return f"{_quantized(model)}, file {model.digest or 'unknown'}"


class Part(TypedDict):
    """A vector of a combination: its weight, and its provenance as `Provenance.to_json` gives it."""

    weight: float
    vector: Mapping[str, Any]


@dataclass(frozen=True)
class Provenance:
    """The origin of a vector. `None` and empty values are unknown."""

    model: ModelInfo | None = None
    source: str = "unknown"  # "text examples", "image examples", "mixed examples", "instruction", "combination"
    picture: str = ""  # which pixels of the images: `kinds.Picture`; empty if there are none
    template: str = ""
    instruction: str = ""
    delimiter_id: int | None = None
    delimiter: str = ""
    prompts: int | None = None
    shots: int | None = None
    seed: int | None = None
    layer: int | None = None
    layer_selection: str = ""
    accuracy: float | None = None  # on the examples that the layer was selected with, 0 to 1
    tv_version: str = ""
    vision: str = ""  # what tv repaired in the encoding of its images (`Engine.identity`)
    parts: tuple[Part, ...] = ()  # of a combination

    def leaves(self) -> list[Provenance]:
        """The provenance of a combination's parts, in the end of those that are no combinations; else itself."""
        found: list[Provenance] = []
        waiting = [self]
        while waiting:
            one = waiting.pop()
            if not one.parts:
                found.append(one)
            for part in reversed(one.parts):
                with suppress(VectorError):  # a part that was written by hand
                    waiting.append(Provenance.from_json(part["vector"]))
        return found

    def to_json(self) -> dict[str, Any]:
        found = {"format": FORMAT, **asdict(self), "parts": list(self.parts)}
        for added in ("vision", "picture"):
            if not found[added]:  # as in files of earlier versions
                del found[added]
        return found

    @classmethod
    def from_json(cls, data: Any) -> Provenance:
        """From the output of `to_json`, ignoring keys of later versions. Raises VectorError for anything else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            found = data.get("format") if isinstance(data, dict) else type(data).__name__
            raise VectorError(f"its metadata has format {shown(found)}, this tv reads format {FORMAT}")
        try:
            return build(cls, {**data, "parts": data.get("parts") or []}, lenient=True)
        except SchemaError as error:
            raise VectorError(f"its metadata is malformed ({error})") from error


@dataclass(frozen=True, eq=False)
class TaskVector:
    """`rows` float32 (L, D), row l for layer l, with its provenance. Supports + - * / and unary minus."""

    rows: np.ndarray
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        rows = np.asarray(self.rows)
        if rows.dtype != np.float32:
            raise VectorError(f"a task vector must be float32, not {rows.dtype}")
        if rows.ndim != 2 or 0 in rows.shape:
            raise VectorError(f"a task vector must have the shape (layers, width), not {rows.shape}")
        if not np.isfinite(rows).all():
            raise VectorError("the task vector contains NaN or infinite values")
        layer = self.provenance.layer
        if layer is not None and not 0 <= layer < len(rows):
            raise VectorError(f"its selected layer {layer} is outside 0 to {len(rows) - 1}")

    def __repr__(self) -> str:
        origin = self.provenance
        model = "" if origin.model is None else f" in {origin.model.name}"
        layer = "" if origin.layer is None else f", layer {origin.layer}"
        return f"TaskVector({self.n_layer} layers × {self.n_embd}, {origin.source}{model}{layer})"

    def _repr_html_(self) -> str:
        """HTML for notebooks: the vector's origin, and a bar chart of the Euclidean norm of each layer's row."""
        origin = self.provenance
        facts = {
            "vector": f"{self.n_layer} layers × {self.n_embd}",
            "read from": origin.source,
            "instruction": origin.instruction,
            "prompts": origin.prompts,
            "shots": origin.shots,
            "model": origin.model,
            "delimiter": repr(origin.delimiter) if origin.delimiter else None,
            "layer": origin.layer,
            "chosen as": origin.layer_selection,
        }
        norms = np.linalg.norm(self.rows.astype(np.float64), axis=1)
        return notebook.table(facts, notebook.bars(norms.tolist(), "norm of each layer's row", origin.layer))

    @property
    def n_layer(self) -> int:
        return len(self.rows)

    @property
    def n_embd(self) -> int:
        return int(self.rows.shape[1])

    def with_layer(self, layer: int, selection: str, accuracy: float | None = None) -> TaskVector:
        """The same vector with `layer` as the default layer to patch."""
        chosen = replace(self.provenance, layer=layer, layer_selection=selection, accuracy=accuracy)
        return TaskVector(self.rows, chosen)

    def check_fits(self, model: ModelInfo) -> None:
        """Raises VectorError unless the vector has the model's number of layers and width."""
        if (self.n_layer, self.n_embd) != (model.n_layer, model.n_embd):
            raise VectorError(
                f"the vector has {self.n_layer} layers × {self.n_embd}, the model {model.name} "
                f"{model.n_layer} × {model.n_embd}; use a model of the same size"
            )

    def __add__(self, other: TaskVector) -> TaskVector:
        return combine([self, other], [1.0, 1.0])

    def __sub__(self, other: TaskVector) -> TaskVector:
        return combine([self, other], [1.0, -1.0])

    def __mul__(self, factor: float) -> TaskVector:
        return combine([self], [factor])

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> TaskVector:
        return self * (1.0 / divisor)

    def __neg__(self) -> TaskVector:
        return self * -1.0


def combine(vectors: list[TaskVector], weights: list[float]) -> TaskVector:
    """The weighted sum; the paper's ensemble (section 4.4) is two vectors at 0.5 each.

    Provenance that all parts share (model, delimiter, layer) is kept, the rest becomes unknown. If the parts are known
    to differ in model, template, delimiter or pixels of images, the logger `tvcli` warns.

    Raises:
        VectorError: vectors of different shapes, or a sum that overflows float32.
    """
    total = weighted_sum(vectors, weights)
    for difference in differences([vector.provenance for vector in vectors]):
        log.warning("the vectors were read %s", difference)
    return total


def differences(origins: Sequence[Provenance]) -> list[str]:
    """In what vectors are known to differ so that their sum may mean nothing, as ends of a sentence."""
    found = []
    models = list(dict.fromkeys(origin.model for origin in origins if origin.model is not None))
    other = next((model for model in models if not model.same_as(models[0])), None)
    if other is not None:
        found.append("with different models: {} and {}".format(*told_apart(models[0], other)))
    unlike = {"template": "in different templates", "delimiter": "at different tokens"}
    for name, words in {**unlike, "picture": "from images of different pixels"}.items():
        known = list(dict.fromkeys(value for origin in origins if (value := getattr(origin, name))))
        if len(known) > 1:
            found.append(f"{words}: {' and '.join(map(repr, known))}")
    return found


def weighted_sum(vectors: Sequence[TaskVector], weights: Sequence[float]) -> TaskVector:
    """`combine` without the warnings, for parts that are meant to differ."""
    shapes = {vector.rows.shape for vector in vectors}
    if len(shapes) != 1:
        named = " and ".join(f"{layers} layers × {width}" for layers, width in sorted(shapes))
        raise VectorError(f"vectors of different shapes cannot be combined: {named}")
    total = sum(w * v.rows.astype(np.float64) for v, w in zip(vectors, weights, strict=True))
    origins = [vector.provenance for vector in vectors]
    shared = {
        name: getattr(origins[0], name)
        for name in ("model", "template", "delimiter_id", "delimiter", "layer", "tv_version", "vision")
        if len({getattr(origin, name) for origin in origins}) == 1
    }
    models = [origin.model for origin in origins if origin.model is not None]
    if len(models) == len(origins) and all(model.same_as(models[0]) for model in models):
        shared["model"] = max(models, key=lambda model: len(model.digest))
    if shared.get("layer") is not None:
        shared["layer_selection"] = "the layer of every part"
    parts = tuple(Part(weight=float(w), vector=origin.to_json()) for w, origin in zip(weights, origins, strict=True))
    with np.errstate(over="ignore"):  # TaskVector refuses the infinities
        rows = np.asarray(total).astype(np.float32)
    return TaskVector(rows, Provenance(source="combination", parts=parts, **shared))


def save(vector: TaskVector, path: str | Path) -> None:
    """Write the file completely or not at all (temporary file, then rename).

    Raises:
        UnavailableError: a folder that does not exist, no permission, a full disk.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(to_bytes(vector))


def to_bytes(vector: TaskVector) -> bytes:
    """The bytes of a vector file: the array, then the metadata."""
    text = json.dumps(vector.provenance.to_json(), ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
    buffer = io.BytesIO()
    npy.write_array(buffer, np.ascontiguousarray(vector.rows), version=(1, 0), allow_pickle=False)
    npy.write_array(buffer, np.frombuffer(text, np.uint8), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def load(source: str | Path | bytes, name: str | None = None) -> TaskVector:
    """Read a vector file, or its bytes. A file with only the first array has unknown provenance.

    Raises:
        UnavailableError: the file is missing or unreadable.
        VectorError: not a vector file: pickled, wrong dtype or shape, NaN, truncated, other metadata.
    """
    data = source if isinstance(source, bytes) else read_bytes(Path(source), "vector")
    label = name or ("<bytes>" if isinstance(source, bytes) else str(source))
    try:
        return _parse(io.BytesIO(data), len(data))
    except VectorError as error:
        raise VectorError(f"{label}: {error}") from error


def _parse(file: BinaryIO, size: int) -> TaskVector:
    rows = _read_array(file, size, "the vector")
    if file.tell() == size:
        return TaskVector(rows)
    meta = _read_array(file, size, "the metadata")
    if meta.dtype != np.uint8 or meta.ndim != 1 or file.tell() != size:
        raise VectorError("the file has more data than a vector and its metadata")
    try:
        provenance = Provenance.from_json(parse_json(meta.tobytes()))
    except ValueError as error:
        raise VectorError(f"its metadata is not JSON ({error})") from error
    return TaskVector(rows, provenance)


def _read_array(file: BinaryIO, size: int, what: str) -> np.ndarray:
    try:
        return read_array(file, size, what)
    except ValueError as error:
        raise VectorError(str(error)) from error
