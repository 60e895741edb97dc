"""Task vectors of vision-language models, on llama.cpp.

>>> import tvcli
>>> model = tvcli.open_model("picto")
>>> examples = tvcli.read_examples("pairs.txt")
>>> vector = tvcli.from_examples(model.engine, examples)
>>> patch = tvcli.Patch.of(vector, layer=10)
>>> [[answer]] = model.engine.answer([tvcli.zero_shot(tvcli.load_image(path))], [patch])
>>> model.close()

More in docs/python.md.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "tvcli.engine.protocol": ("Answer", "Decoding", "Engine", "Lora", "Operation", "Patch", "Settings", "tail"),
    "tvcli.errors": ("TvError", "UnavailableError", "UsageError", "VectorError"),
    "tvcli.kinds": ("Modality", "Picture"),
    "tvcli.method.extract": ("from_examples", "from_instruction"),
    "tvcli.images": ("Image", "load_image"),
    "tvcli.models.opening": ("Model", "open_model"),
    "tvcli.inputs.examples": ("read_examples",),
    "tvcli.prompts.prompt": ("Example", "Prompt", "few_shot", "instruction", "zero_shot"),
    "tvcli.vector": ("TaskVector", "combine", "load", "save"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``tv --help`` does not load NumPy or llama.cpp."""
    if name not in _HOME:
        raise AttributeError(f"module tvcli has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
