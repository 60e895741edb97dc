"""Checks of a GGUF file before llama.cpp opens it, and its identity."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gguf.constants import GGMLQuantizationType, GGUFValueType, LlamaFileType

from tvcli.engine.gguf.checked import Facts
from tvcli.engine.gguf.header import Header, HeaderError, Tensor, read_header
from tvcli.engine.gguf.parts import all_parts
from tvcli.engine.gguf.repair import NONE, Repair, repair
from tvcli.engine.native import pinned
from tvcli.errors import UnavailableError, reason

Progress = Callable[[float], None] | None

SAMPLE = 1 << 20
CHUNK = 1 << 22
MAX_WIDTH = 1 << 20
NO_PRODUCT = frozenset(GGMLQuantizationType[name] for name in pinned.NO_PRODUCT)
VISION_KINDS = {
    **dict.fromkeys(pinned.VISION_U32, GGUFValueType.UINT32),
    **dict.fromkeys(pinned.VISION_I32, GGUFValueType.INT32),
    **dict.fromkeys(pinned.VISION_F32, GGUFValueType.FLOAT32),
    **dict.fromkeys(pinned.VISION_BOOL, GGUFValueType.BOOL),
    **dict.fromkeys(pinned.VISION_TEXT, GGUFValueType.STRING),
}


def check_gguf(path: Path) -> Header:
    """Read the header. Raises UnavailableError if `path` is unreadable, not a GGUF file, truncated or malformed."""
    try:
        if path.exists() and not path.is_file():
            raise UnavailableError(f"model file {path} cannot be read: it is not a regular file")
        return read_header(path)
    except OSError as error:
        raise UnavailableError(f"model file {path} cannot be read: {reason(error)}") from error
    except HeaderError as error:
        raise UnavailableError(f"model file {path} {error}") from error
    except ValueError as error:  # a NUL character in the name
        raise UnavailableError(f"model file {path} cannot be read: {error}") from error


def check_model(path: Path, progress: Progress = None) -> Facts:
    """Refuse what llama.cpp would abort on in a language model. Raises UnavailableError."""
    header = check_gguf(path)
    kind = header.text("general.type") or "model"
    if _is_vision(header):
        raise UnavailableError(
            f"{path} is the image encoder of a model (mmproj); give it as `mmproj`, and its text model as `model`"
        )
    if kind != "model":
        raise UnavailableError(f"{path} does not contain a model but {kind!r}")
    _check_parts(path, header)
    for problem in _model_problems(path, header):
        raise UnavailableError(f"model file {path} {problem}")
    return _facts(path, header, progress)


def check_mmproj(path: Path, progress: Progress = None) -> Facts:
    """Refuse what llama.cpp would abort on in an mmproj file. Raises UnavailableError."""
    header = check_gguf(path)
    if not _is_vision(header):
        raise UnavailableError(f"{path} is not the image encoder of a model (mmproj), which `mmproj` needs")
    for problem in _vision_problems(header):
        raise UnavailableError(f"mmproj {path} {problem}")
    return _facts(path, header, progress, repair(header))


def check_adapter(path: Path, progress: Progress = None) -> Facts:
    """Refuse what llama.cpp would abort on in a LoRA adapter. Raises UnavailableError."""
    header = check_gguf(path)
    if (header.text("general.type"), header.text("adapter.type")) != ("adapter", "lora"):
        raise UnavailableError(f"{path} is not a LoRA adapter, which `lora` needs; convert_lora_to_gguf.py writes them")
    for problem in _adapter_problems(header):
        raise UnavailableError(f"LoRA adapter {path} {problem}")
    return _facts(path, header, progress)


def check_weights(path: Path, progress: Progress = None) -> Facts:
    """The digest of a file that llama.cpp does not read: safetensors, which check themselves when they are opened."""
    return Facts(_digest([path], progress), "")


def _facts(path: Path, header: Header, progress: Progress, repaired: Repair = NONE) -> Facts:
    file_type = header.number("general.file_type")
    digest = _digest(all_parts(path) if _count(header) > 1 else [path], progress)
    return Facts(digest, "" if file_type is None else quantization(file_type), repaired)


def _digest(parts: Sequence[Path], progress: Progress) -> str:
    try:
        return gguf_digest(parts, progress)
    except OSError as error:
        raise UnavailableError(f"model file {parts[0]} cannot be read: {reason(error)}") from error


def _is_vision(header: Header) -> bool:
    return header.text("general.architecture") == "clip" or header.text("general.type") == "mmproj"


def _count(header: Header) -> int:
    """The number of the model's files."""
    return header.number("split.count") or 1


def _check_parts(path: Path, header: Header) -> None:
    """A model in several files is loaded from its first, and all must be there (``llama_model_loader``)."""
    count = _count(header)
    if count <= 1:
        return
    parts = all_parts(path)
    if len(parts) != count or path.suffix != ".gguf":
        raise UnavailableError(f"{path} is one of {count} files of a model, which must keep their original names")
    if header.number("split.no") != 0:
        raise UnavailableError(f"{path} is not the first of the model's {count} files; give {parts[0].name}")
    for number, part in enumerate(parts[1:], 1):
        if not part.exists():
            raise UnavailableError(f"{part.name} is missing next to {path.name}; the model has {count} files")
        value = check_gguf(part).keys.get("split.no")
        if value is None or (value.kind, value.data) != (GGUFValueType.UINT16, number):
            raise UnavailableError(f"{part} is not part {number + 1} of the model")


def _model_problems(path: Path, header: Header) -> Iterator[str]:
    """What llama.cpp asserts of a text model (``llama_model_base::load_hparams``, ``llama_vocab::impl::load``)."""
    architecture = header.text("general.architecture")
    if not architecture:
        yield "does not name its architecture (general.architecture)"

    def number(key: str) -> int | None:
        return header.number(f"{architecture}.{key}")

    layers, experts, width = number("block_count"), number("expert_count") or 0, number("embedding_length")
    if layers is not None and not 0 < layers <= pinned.MAX_LAYERS:
        yield f"claims to have {layers} layers; llama.cpp supports 1 to {pinned.MAX_LAYERS}"
    if (number("nextn_predict_layers") or 0) > (layers or 0):
        yield "claims to have more prediction layers than layers"
    if width is not None and not 0 < width <= MAX_WIDTH:
        yield f"claims to have a width of {width}; the limit is {MAX_WIDTH}"
    yield from _expert_problems(header, architecture, experts)
    yield from _tensor_problems(header)
    scaling = header.get(f"{architecture}.rope.scaling.type")
    if isinstance(scaling, str) and scaling not in pinned.ROPE_SCALINGS:
        yield f"has the unknown RoPE scaling {scaling!r}"
    yield from _vocabulary_problems(path, header)


def _tensor_problems(header: Header) -> Iterator[str]:
    """ggml has no matrix product for some types, and llama.cpp calls it through a null pointer (ggml_vec_dot)."""
    for name, tensor in header.tensors.items():
        if tensor.kind in NO_PRODUCT and not (tensor.kind == GGMLQuantizationType.I32 and "tid2eid" in name):
            kind = GGMLQuantizationType(tensor.kind).name
            yield f"has the tensor {name!r} of a type that ggml cannot multiply by: {kind}"
    for key, value in header.keys.items():
        if key.endswith("epsilon") and isinstance(value.data, float) and not 0 <= value.data < math.inf:
            yield f"has {key} {value.data}"


def _expert_problems(header: Header, architecture: str, experts: int) -> Iterator[str]:
    used = header.get(f"{architecture}.expert_used_count")
    most = max((n for n in (used if isinstance(used, tuple) else (used,)) if isinstance(n, int)), default=0)
    groups = header.number(f"{architecture}.expert_group_count") or 0
    chosen = header.number(f"{architecture}.expert_group_used_count") or 0
    if experts > pinned.MAX_EXPERTS or most > experts or (experts and not most):
        yield f"claims to use {most} of {experts} experts"
    elif groups and (groups >= experts or (groups > 1 and (experts % groups or not 0 < chosen < groups))):
        yield f"claims to use {chosen} of {groups} groups of {experts} experts"


def _vocabulary_problems(path: Path, header: Header) -> Iterator[str]:
    tokens = header.keys.get("tokenizer.ggml.tokens")
    if header.text("tokenizer.ggml.model") in {"", "none", "no_vocab"} or tokens is None:
        yield "has no vocabulary"
    elif tokens.kind != GGUFValueType.STRING or not tokens.length:
        yield "has a vocabulary that is not a list of texts"
    elif header.text("tokenizer.ggml.model") == "llama":
        with path.open("rb") as file:
            file.seek(tokens.data.start)
            texts = file.read(len(tokens.data))
        if not all(_entry(b"<0x%02X>" % byte) in texts or _entry(bytes([byte])) in texts for byte in range(256)):
            yield "has a vocabulary without a token for every byte, which llama.cpp needs for unknown characters"


def _entry(text: bytes) -> bytes:
    """A text as an array of a GGUF file stores it."""
    return len(text).to_bytes(8, "little") + text


def _vision_problems(header: Header) -> Iterator[str]:
    """clip.cpp reads every key with the type it expects aborts on another type, and divides by some values."""
    for key, value in header.keys.items():
        wanted = VISION_KINDS.get(key)
        if wanted is not None and (value.kind, value.length) != (wanted, None):
            yield f"has {key} as {value.type_name}, not {wanted.name.lower()}"
    has_attention = header.number("clip.vision.block_count") != 0  # Gemma 4's gemma4uv has no block, and 0 heads
    for key in pinned.VISION_POSITIVE:
        if header.get(key) == 0 and (has_attention or "head_count" not in key):
            yield f"has {key} 0"
    width, heads = (header.number(f"clip.vision.{key}") for key in ("embedding_length", "attention.head_count"))
    if width and heads and width % heads:
        yield f"has a width of {width}, which is not divisible by its {heads} heads"
    yield from _tensor_problems(header)


def _adapter_problems(header: Header) -> Iterator[str]:
    """What llama.cpp reads with the wrong type or multiplies without a check (``llama_adapter_lora_init_impl``).

    It checks the shapes against those of the model itself.
    """
    if not header.text("general.architecture"):
        yield "does not name its architecture (general.architecture)"
    alpha = header.keys.get("adapter.lora.alpha")
    if alpha is not None and (alpha.kind, alpha.length) != (GGUFValueType.FLOAT32, None):
        yield f"has adapter.lora.alpha as {alpha.type_name}, not float32"
    if "adapter.alora.invocation_tokens" in header.keys:
        yield "is an activated LoRA, which applies only after some tokens; tv has no support for that"
    yield from _tensor_problems(header)
    for name, a in header.tensors.items():
        b = header.tensors.get(name.removesuffix("lora_a") + "lora_b") if name.endswith(".lora_a") else None
        if b is None:
            continue
        ranks = (a.shape[0], b.shape[0]) if "token_embd.weight" in name else (_size(a, 1), b.shape[0])
        deep = [_size(one, axis) for one in (a, b) for axis in (2, 3)]
        if ranks[0] != ranks[1] or (deep != [1, 1, 1, 1] and "_exps." not in name) or deep[:2] != deep[2:]:
            yield f"has the tensors {name} and {name[:-1]}b of shapes that cannot be multiplied"


def _size(tensor: Tensor, axis: int) -> int:
    return tensor.shape[axis] if axis < len(tensor.shape) else 1


def gguf_digest(parts: Sequence[Path], progress: Progress = None) -> str:
    """Identifies a model by every byte of its files: the 16 hex digits of tv 0.1.0, then 32 of SHA-256.

    The first 16 are of the size and the first and last MiB only; vectors that tv 0.1.0 read have only these.
    `progress` is called with 0 to 1.
    """
    sizes = [part.stat().st_size for part in parts]
    short, whole = hashlib.sha256(str(sizes[0]).encode()), hashlib.sha256()
    with parts[0].open("rb") as file:
        short.update(file.read(SAMPLE))
        file.seek(max(0, sizes[0] - SAMPLE))
        short.update(file.read(SAMPLE))
    done, buffer = 0, memoryview(bytearray(CHUNK))
    for part in parts:
        with part.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                whole.update(buffer[:count])
                done += count
                if progress is not None:
                    progress(min(1.0, done / sum(sizes)))
    return short.hexdigest()[:16] + whole.hexdigest()[:32]


def quantization(file_type: int) -> str:
    """llama.cpp's name of ``general.file_type``: 15 is "Q4_K_M"; an empty string for an unknown number."""
    try:
        return str(LlamaFileType(file_type).name).removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return ""
