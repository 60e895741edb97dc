"""Checks of a GGUF file before llama.cpp sees it, and what identifies one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gguf.constants import GGUF_MAGIC, LlamaFileType

from tvcli.errors import UnavailableError, reason

SAMPLE = 1 << 20


def check_gguf(path: Path) -> None:
    """Raises UnavailableError if `path` is missing, unreadable, empty, or not a GGUF file."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise UnavailableError(f"model file {path} cannot be read: {reason(error)}") from error
    if not head:
        raise UnavailableError(f"model file {path} is empty (0 bytes)")
    if head[:4] != GGUF_MAGIC.to_bytes(4, "little"):
        raise UnavailableError(f"{path} is not a GGUF file; tv runs models in llama.cpp's GGUF format")
    if len(head) < 24:
        raise UnavailableError(f"model file {path} is truncated in its header")


def gguf_digest(path: Path) -> str:
    """Identifies a model file without reading it whole: its size, first and last MiB (SHA-256, 16 hex digits)."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(SAMPLE))
        file.seek(max(0, size - SAMPLE))
        digest.update(file.read(SAMPLE))
    return digest.hexdigest()[:16]


def quantization(file_type: str) -> str:
    """llama.cpp's name of ``general.file_type``: "15" is "Q4_K_M"."""
    try:
        return str(LlamaFileType(int(file_type)).name).removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return ""
