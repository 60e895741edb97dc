"""LoRA adapters, as llama.cpp's convert_lora_to_gguf.py writes them, applied to a model while it computes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tvcli.engine.gguf.checked import ADAPTER, checked
from tvcli.engine.native.library import Library
from tvcli.engine.native.log import forget_errors, last_error
from tvcli.engine.native.memory import address, location, pointers
from tvcli.engine.protocol import Lora
from tvcli.errors import UnavailableError
from tvcli.vector import ModelInfo

DIGITS = 48  # of a model's digest


class Adapters:
    """Adapters loaded for one model, which frees them."""

    def __init__(self, library: Library, model: Any, loras: Sequence[Lora]) -> None:
        """Raises UnavailableError for a file that is missing, broken or not of this model."""
        self._library = library
        self._loras = loras
        self._digests = [checked(lora.path, ADAPTER).digest for lora in loras]
        self._handles = pointers(self._load(model, lora) for lora in loras)
        self._scales = np.array([lora.scale for lora in loras], np.float32)

    def _load(self, model: Any, lora: Lora) -> Any:
        forget_errors()
        handle = self._library.llama_adapter_lora_init(model, str(lora.path).encode())
        if not handle:
            raise UnavailableError(f"LoRA adapter {lora.path} cannot be used with this model: {last_error()}")
        return handle

    def attach(self, context: Any) -> None:
        """Let a context compute with the adapters (``llama_set_adapters_lora``)."""
        if self._loras:
            count = len(self._loras)
            self._library.llama_set_adapters_lora(context, location(self._handles), count, address(self._scales))

    def adapted(self, model: ModelInfo) -> ModelInfo:
        """The model's identity with its adapters: another name and digest than without them."""
        if not self._loras:
            return model
        parts = [
            model.digest,
            *(f"{digest} {one.scale!r}" for digest, one in zip(self._digests, self._loras, strict=True)),
        ]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:DIGITS]
        return replace(model, name=" + ".join([model.name, *map(str, self._loras)]), digest=digest)
