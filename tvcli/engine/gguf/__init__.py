"""GGUF files: what is checked before llama.cpp sees one, and control vectors."""

from tvcli.engine.native.pinned import MAX_LAYERS

__all__ = ["MAX_LAYERS"]
