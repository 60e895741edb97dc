"""GGUF files: checks before llama.cpp opens one, and control vectors."""

from tvcli.engine.native.pinned import MAX_LAYERS

__all__ = ["MAX_LAYERS"]
