"""Encoded images: the image tokens of an image, given instead of its pixels.

For a model whose image encoder llama.cpp does not run. The tokens are what the language model takes in the place of
token embeddings (``inputs_embeds`` in Hugging Face's transformers, what mtmd hands to ``llama_decode``): after the
projector, and for Gemma without the factor sqrt(D), by which llama.cpp scales only the embeddings of text.

A ``.npy`` file is the array alone. An ``.npz`` file has it as ``tokens``, and may have ``before`` and ``after``, texts
in which control tokens are parsed, and ``causal``, whether an image token attends only to those before it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from tvcli.arrays import NPY, NPZ, read_archive, read_array
from tvcli.errors import UnavailableError
from tvcli.files import read_bytes

SUFFIXES = frozenset({".npy", ".npz"})
KEYS = ("tokens", "before", "after", "causal")
LONGEST_TEXT = 1000  # characters before or after the tokens


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """Image tokens, float32 (tokens, D), with the text of the model's prompt around them.

    `causal` says whether they attend to each other in order, as text does; `None` if nothing is said about it.
    """

    tokens: np.ndarray = field(repr=False)
    name: str
    before: str = ""
    after: str = ""
    causal: bool | None = None

    def __post_init__(self) -> None:
        """Raises UnavailableError unless the array is one of image tokens."""
        if problem := _problem(self.tokens):
            raise UnavailableError(f"image tokens {self.name}: {problem}")

    def __repr__(self) -> str:
        count, width = self.tokens.shape
        return f"EncodedImage({self.name!r}, {count} tokens × {width})"

    @cached_property
    def digest(self) -> bytes:
        """Identifies all that takes the image's place."""
        facts = repr((self.tokens.shape, self.before, self.after, self.causal)).encode("utf-8", "replace")
        return hashlib.blake2b(facts + np.ascontiguousarray(self.tokens).tobytes(), digest_size=16).digest()


def is_encoded(data: bytes) -> bool:
    """Whether a file's bytes begin like those of image tokens, which no image does."""
    return data.startswith((NPY, NPZ))


def load_encoded(source: str | Path | bytes, name: str | None = None) -> EncodedImage:
    """Read a file of image tokens, or the bytes of one. An array (tiles, tokens, D) is its tiles one after another.

    Raises:
        UnavailableError: missing, unreadable, not float32, another shape, NaN, pickled, an unknown array in an archive.
    """
    label = name or ("<bytes>" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(Path(source), "image tokens")
    try:
        if data.startswith(NPZ):
            return _of_archive(read_archive(data), label)
        file = io.BytesIO(data)
        tokens = read_array(file, len(data), "the file")
        if file.tell() != len(data):
            raise ValueError("the file has more than one array, as a task vector has")
    except ValueError as error:
        raise UnavailableError(f"image tokens {label}: {error}") from error
    return EncodedImage(_flat(tokens), label)


def to_bytes(image: EncodedImage) -> bytes:
    """The bytes of an ``.npz`` file, which `load_encoded` reads."""
    arrays = {"tokens": image.tokens, "before": np.array(image.before), "after": np.array(image.after)}
    if image.causal is not None:
        arrays["causal"] = np.array(image.causal)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _of_archive(arrays: Mapping[str, np.ndarray], label: str) -> EncodedImage:
    unknown = sorted(arrays.keys() - set(KEYS))
    if unknown or "tokens" not in arrays:
        found = f"has {', '.join(map(repr, unknown))}" if unknown else "has no array 'tokens'"
        raise ValueError(f"the archive {found}; it may have {', '.join(KEYS)}")
    causal = arrays.get("causal")
    if causal is not None and (causal.dtype != np.bool_ or causal.ndim):
        raise ValueError("causal must be true or false")
    before, after = (_text(arrays, key) for key in ("before", "after"))
    return EncodedImage(_flat(arrays["tokens"]), label, before, after, None if causal is None else bool(causal))


def _text(arrays: Mapping[str, np.ndarray], key: str) -> str:
    array = arrays.get(key, np.array(""))
    if array.dtype.kind != "U" or array.ndim or array.dtype.itemsize > 4 * LONGEST_TEXT:
        raise ValueError(f"{key} must be a text of at most {LONGEST_TEXT} characters")
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes()  # NumPy itself makes texts that are not Unicode
    try:
        return raw.decode("utf-32-le").rstrip("\0")
    except UnicodeDecodeError as error:
        raise ValueError(f"{key} is not Unicode") from error


def _flat(tokens: np.ndarray) -> np.ndarray:
    return tokens.reshape(-1, tokens.shape[-1]) if tokens.ndim == 3 and 0 not in tokens.shape else tokens


def _problem(tokens: np.ndarray) -> str:
    if tokens.dtype != np.float32:
        return f"they must be float32, not {tokens.dtype}"
    if tokens.ndim != 2 or 0 in tokens.shape:
        return f"they must have the shape (tokens, width), not {tokens.shape}"
    return "" if np.isfinite(tokens).all() else "they contain NaN or infinite values"
