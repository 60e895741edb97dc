"""Which of a repository's files make a model: the quantization, all parts of a split file, and the mmproj.

Publishers name files as they like. Each rule here is needed for a real repository; the listings of 58 are in
`tests/data/listings.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tvcli.engine.gguf.parts import PART, part_names
from tvcli.errors import UnavailableError

TEXT_ORDER = ("Q4_K_M", "UD-Q4_K_XL", "Q8_0", "Q4_K_S", "Q4_0", "Q5_K_M", "Q6_K")
VISION_ORDER = ("F16", "Q8_0", "BF16", "F32")  # F16: what a projector is trained and tested in
BITS_ORDER = ("4", "5", "6", "8", "16", "32", "3", "2", "1", "")  # of all others; a name without any is mostly F16
FULL = frozenset({"F16", "BF16", "F32"})

_QUANT = re.compile(
    r"(?:^|[-._])((?:UD-)?(?:(?:I?Q|TQ)\d+(?:_[A-Z0-9]+)*|(?:MX|NV)FP4(?:_\w+)?|BF16|FP?16|FP?32))(?=[-._]|$)"
    r"|(?-i:(?<=[a-z])Q)\d_(?:K_[SML]|K|[01])(?=[-._]|$)",  # devstralQ4_K_M
    re.IGNORECASE,
)
_BITS = re.compile(r"(?:Q|FP|F)(\d+)")
_NO_MODEL = re.compile(r"mmproj|vocoder|(^|[-._])(vocab|embd)(?=[-._])", re.IGNORECASE)
_LORA = re.compile(r"(^|[-._])lora(?=[-._])", re.IGNORECASE)
_IMATRIX = re.compile(r"(^|[-._])imatrix(?=[-._])", re.IGNORECASE)
# beside a model: its image encoder, or a smaller one that drafts its tokens; also in names and folders of whole models
_EYES = re.compile(r"(^|[-._])(clip|vision)(?=[-._])", re.IGNORECASE)
_COMPANION = re.compile(
    r"(^|[-._/])(clip|vision|projector|mtp|draft|drafter|assistant|eagle\d*|dflash|dspark)(?=[-._/])", re.IGNORECASE
)
_NO_NAME = frozenset({"ggml", "model"})  # first words of files that say nothing about the model
_PIECE = re.compile(r"(\.gguf)(?:\.part\d+of\d+|-split-[a-z])$", re.IGNORECASE)  # cut anywhere; only cat joins them


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
    """The quantization that a file name, or else its folder, ends with ("Q4_K_M"), or an empty string.

    Of ``Q4_K_M-f16``, it is the first: only the embeddings have full precision.
    """
    return _kind(_stem(name)) or _kind(_folder(name))


def choose(names: Iterable[str], where: str, quant: str | None = None) -> Chosen:
    """Choose a model among the file names of the repository `where`.

    The text file is `quant`, or the best known quantization that is there; the mmproj is F16 if there is one.

    Raises:
        UnavailableError: no GGUF model, no such quantization, a part of a split file missing.
    """
    files = sorted(names)
    ggufs = [name for name in files if name.lower().endswith(".gguf")]
    pieces = [name for name in files if _PIECE.search(name)]
    texts = _texts(ggufs, where)
    if not texts:
        _refuse_pieces(pieces, where, "its model")
        raise UnavailableError(f"{where} contains no GGUF model; tv runs models in llama.cpp's GGUF format")
    wanted = texts if quant is None else _of_kind(texts, pieces, where, quant)
    first = min(wanted, key=lambda name: (_rank(name, TEXT_ORDER), not _is_named_after(name, where), len(name), name))
    parts = part_names(first)
    missing = set(parts) - set(texts)
    if missing:
        raise UnavailableError(f"{where} does not have a part of the model: {min(missing)}")
    return Chosen(parts, _vision([name for name in ggufs if name not in texts], first))


def _texts(ggufs: list[str], where: str) -> list[str]:
    """What may be the model: no companion of a model, and no other model than the repository is named after."""
    texts = [name for name in ggufs if _may_be_text(name)]
    adapters = [name for name in texts if _LORA.search(_base(name))]
    if {quantization(name) for name in adapters} <= FULL | {"", "Q8_0"}:  # else models that adapters were merged into
        texts = [name for name in texts if name not in adapters]
    texts = [name for name in texts if not _COMPANION.search(name)] or texts
    model = _model_of(where)
    own = [name for name in texts if _share_a_word(_plain(_base(name)), model)]
    return [name for name in texts if name in own or not _first_word(_plain(_base(name)))] if own else texts


def _of_kind(texts: list[str], pieces: list[str], where: str, quant: str) -> list[str]:
    """The text files of a quantization. Raises UnavailableError if there are none."""
    wanted = [name for name in texts if quantization(name) == _normal(quant)]
    if not wanted:
        cut = [name for name in pieces if quantization(_PIECE.sub(r"\1", name)) == _normal(quant)]
        _refuse_pieces(cut, where, f"its {quant} file")
        kinds = sorted({quantization(name) for name in texts} - {""})
        raise UnavailableError(f"{where} has no {quant} file; it has: {', '.join(kinds) or 'no file that names one'}")
    return wanted


def _may_be_text(name: str) -> bool:
    """Whether it can be a text model, by whole words of its name."""
    is_matrix = _IMATRIX.search(_base(name)) and _is_matrix(_stem(name).lower(), quantization(name))
    return not (_NO_MODEL.search(_base(name)) or is_matrix)


def _is_matrix(stem: str, kind: str) -> bool:
    """Whether a file with "imatrix" in its name is an importance matrix: ``imatrix-M-Q8_0``, ``M-q4_0-it.imatrix``.

    In the name of a quantized file, it says how that was made: ``M-imatrix-Q4_K_M``, ``M-IQ4_XS-imatrix``.
    """
    is_last = stem.endswith("imatrix") and not stem.endswith(f"{kind.lower()}-imatrix")
    return kind in FULL | {""} or stem.startswith("imatrix") or is_last


def _vision(others: list[str], text: str) -> str | None:
    """The mmproj of a text file, or else what is named as an image encoder; one with the model's name is preferred."""
    visions = [name for name in others if "mmproj" in _base(name).lower()]
    visions = visions or [name for name in others if _EYES.search(_base(name))]
    model = _plain(_stem(text))
    model = model.partition(f"-{_plain(quantization(text))}")[0] if quantization(text) else model

    def key(name: str) -> tuple[object, ...]:
        return model not in _plain(name), _rank(name, VISION_ORDER), _folder(name) != _folder(text), len(name), name

    return min(visions, key=key, default=None)


def _refuse_pieces(pieces: list[str], where: str, what: str) -> None:
    """Raises UnavailableError if there are pieces of a file that was cut without regard to its format."""
    if pieces:
        raise UnavailableError(
            f"{where} has {what} in pieces that llama.cpp does not read ({_base(pieces[0])}); fetch them, join them "
            "with cat to one .gguf file, and give that file as the model"
        )


def _rank(name: str, order: tuple[str, ...]) -> tuple[int, int]:
    """The place of a file's quantization in the order of preference: by `order`, or else by its bits."""
    kind = quantization(name)
    if kind in order:
        return 0, order.index(kind)
    found = _BITS.search(kind)
    bits = found[1] if found else ""
    return 1, BITS_ORDER.index(bits) if bits in BITS_ORDER else len(BITS_ORDER)


def _is_named_after(name: str, where: str) -> bool:
    return _plain(_base(name)).startswith(_model_of(where))


def _model_of(where: str) -> str:
    """The plain name of the model that a repository is named after."""
    return re.sub(r"(-i1)?-gguf$", "", _plain(_base(where)))


def _share_a_word(one: str, other: str) -> bool:
    """Whether the first word of one plain name is in the other."""
    return any(word and word in name for word, name in ((_first_word(one), other), (_first_word(other), one)))


def _first_word(plain: str) -> str:
    """The first word of a plain name, if it may be that of a model; else an empty string."""
    [word] = re.findall(r"^[a-z]*", plain)
    return word if len(word) > 2 and word not in _NO_NAME else ""


def _plain(name: str) -> str:
    """In small letters, with hyphens only."""
    return re.sub(r"[._]", "-", name.lower())


def _kind(text: str) -> str:
    """The last quantization in a text, or an empty string."""
    found = [(match.start(), match.end(), _normal(match[1] or match[0])) for match in _QUANT.finditer(text)]
    if len(found) > 1 and found[-1][2] in FULL and found[-2][1] == found[-1][0] and found[-2][2] not in FULL:
        del found[-1]
    return found[-1][2] if found else ""


def _normal(kind: str) -> str:
    """One spelling: ``fp16`` is F16."""
    return re.sub(r"^FP(?=16|32)", "F", kind.upper())


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _stem(name: str) -> str:
    return PART.sub("", _base(name)[: -len(".gguf")])
