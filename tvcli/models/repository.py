"""Which of a repository's files make a model: the quantization, all parts of a split file, and the mmproj."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tvcli.engine.gguf.parts import PART, part_names
from tvcli.errors import UnavailableError

TEXT_ORDER = ("Q4_K_M", "UD-Q4_K_XL", "Q8_0", "Q4_K_S", "Q4_0", "Q5_K_M", "Q6_K", "F16", "BF16", "F32")
VISION_ORDER = ("F16", "Q8_0", "BF16", "F32")  # F16: what a projector is trained and tested in

_QUANT = re.compile(
    r"(?:^|[-._])((?:UD-)?(?:(?:I?Q|TQ)\d+(?:_[A-Z0-9]+)*|MXFP4(?:_\w+)?|BF16|F16|F32))(?=[-._]|$)", re.IGNORECASE
)
_NO_MODEL = re.compile(r"mmproj|vocoder|(^|[-._])(lora|mtp|draft|vocab|embd)(?=[-._])", re.IGNORECASE)
_IMATRIX = re.compile(r"(^|[-._])imatrix(?=[-._])", re.IGNORECASE)
# beside a model: its image encoder, or a smaller one that drafts its tokens; also in names and folders of whole models
_COMPANION = re.compile(r"(^|[-._/])(clip|vision|projector|mtp|drafter|assistant|eagle\d*)(?=[-._/])", re.IGNORECASE)


@dataclass(frozen=True)
class Chosen:
    """The file names of a model: the parts of its text file in order (usually one), and its mmproj."""

    parts: tuple[str, ...]
    vision: str | None = None

    @property
    def in_order(self) -> list[str]:
        """In the order of fetching. The file that llama.cpp opens comes last: if it is there, all files are."""
        return [*([self.vision] if self.vision else []), *self.parts[:0:-1], self.parts[0]]


def quantization(name: str) -> str:
    """The quantization that a file name ends with ("Q4_K_M"), or an empty string."""
    found = _QUANT.findall(_stem(name))
    return found[-1].upper() if found else ""


def choose(names: Iterable[str], where: str, quant: str | None = None) -> Chosen:
    """Choose a model among the file names of a repository, which error messages call `where`.

    The text file is `quant`, or the best known quantization that is there; the mmproj is F16 if there is one.

    Raises:
        UnavailableError: no GGUF model, no such quantization, a part of a split file missing.
    """
    ggufs = sorted(name for name in names if name.lower().endswith(".gguf"))
    texts = [name for name in ggufs if _may_be_text(_base(name))]
    texts = [name for name in texts if not _COMPANION.search(name)] or texts
    if not texts:
        raise UnavailableError(f"{where} contains no GGUF model; tv runs models in llama.cpp's GGUF format")
    if quant is not None:
        kinds = sorted({quantization(name) for name in texts} - {""})
        texts = [name for name in texts if quantization(name) == quant.upper()]
        if not texts:
            raise UnavailableError(
                f"{where} has no {quant} file; it has: {', '.join(kinds) or 'no file that names one'}"
            )
    first = _best(texts, TEXT_ORDER)
    parts = part_names(first)
    missing = set(parts) - set(texts)
    if missing:
        raise UnavailableError(f"{where} does not have a part of the model: {min(missing)}")
    visions = [name for name in ggufs if "mmproj" in _base(name).lower()]
    return Chosen(parts, _best(visions, VISION_ORDER) if visions else None)


def _may_be_text(name: str) -> bool:
    """Whether it can be a text model. "imatrix" in the name of a quantized file says how that was made."""
    is_matrix = _IMATRIX.search(name) and quantization(name) in ("", "F16", "BF16", "F32")
    return not (_NO_MODEL.search(name) or is_matrix)


def _best(names: list[str], order: tuple[str, ...]) -> str:
    """The preferred quantization; among equals the shortest name, which is the plain variant."""
    rank = {kind: i for i, kind in enumerate(order)}
    return min(names, key=lambda name: (rank.get(quantization(name), len(order)), len(name), name))


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _stem(name: str) -> str:
    return PART.sub("", _base(name)[: -len(".gguf")])
