"""The interface of an engine.

Letters of array shapes: N prompts, K patches, L layers, D width of the residual stream, V vocabulary.
*Layer* l is the 0-based decoder block; its output is the residual stream after the block. The *delimiter*
is the last token of a prompt. A *patch* changes the residual at the delimiter after one layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tvcli import notebook
from tvcli.encoded import EncodedImage
from tvcli.engine.batches import Limits
from tvcli.images import AnyImage, Image
from tvcli.kinds import Picture
from tvcli.prompts.chat import Chat
from tvcli.prompts.prompt import Prompt
from tvcli.vector import ModelInfo, TaskVector

NOT_FINITE = "not finite"  # one of the results of `fault`
MAX_ROWS = 256  # prompts × patches; no engine decodes more of them in one batch


@dataclass(frozen=True)
class Operation:
    """What a patch does to a residual; `doing` is its name in messages: "overwriting layer 3"."""

    doing: str
    apply: Callable[[np.ndarray, np.ndarray], np.ndarray]  # takes the residual and the patch's row, float32 (D,) each


OVERWRITE = Operation("overwriting", lambda residual, row: row)  # paper, section 3.3


@dataclass(frozen=True, eq=False)
class Patch:
    """Replace the delimiter's residual after `layer` by the result of `operation` on residual and `row`.

    An engine calls `applied` and does not know the operation.
    """

    layer: int
    row: np.ndarray = field(repr=False)  # float32 (D,)
    operation: Operation = field(default=OVERWRITE, repr=False)

    def applied(self, residual: np.ndarray) -> np.ndarray:
        """The new residual, float32 (D,); the given one is not changed."""
        return self.operation.apply(residual, self.row)

    @classmethod
    def of(cls, vector: TaskVector, layer: int) -> Patch:
        """Row `layer` of a task vector at its own layer."""
        return cls(layer, vector.rows[layer])


@dataclass(frozen=True)
class Decoding:
    """How an answer is continued after its first token. Decoding is always greedy."""

    max_tokens: int = 1
    stop_at_newline: bool = True


FIRST_TOKEN = Decoding()  # the paper's metric looks at one new token


@dataclass(frozen=True)
class Settings:
    """How a model is loaded; `None` chooses by machine and model."""

    context: int | None = None  # KV cache cells
    threads: int | None = None
    gpu_layers: int | None = None
    rpc: tuple[str, ...] = ()  # HOST:PORT of llama.cpp's rpc-servers, over which the model is distributed
    picture: Picture = Picture.MODEL
    # called with 0 to 1 while files are read for the first time, and again while the model is loaded
    progress: Callable[[float], None] | None = field(default=None, compare=False)


DEFAULTS = Settings()


@dataclass(frozen=True)
class Lora:
    """A LoRA adapter: its file, and the factor by which its change of the weights is multiplied."""

    path: Path
    scale: float = 1.0

    def __str__(self) -> str:
        return self.path.stem if self.scale == 1 else f"{self.path.stem}:{self.scale:g}"


@dataclass(frozen=True)
class Token:
    """A vocabulary entry; `text` is its Unicode text."""

    id: int
    text: str


@dataclass(frozen=True)
class ImageTokens:
    """A run of tokens of an image, or of one tile of it."""

    count: int


@dataclass(frozen=True)
class Answer:
    """A greedy continuation. `margin` is the first token's logit minus the second-best logit."""

    text: str
    tokens: tuple[int, ...]
    margin: float

    @property
    def first(self) -> int:
        return self.tokens[0]

    def __repr__(self) -> str:
        return f"Answer({self.text!r}, {len(self.tokens)} tokens, margin {self.margin:.3g})"

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return notebook.table({"answer": self.text, "tokens": len(self.tokens), "margin": f"{self.margin:.3g}"})


def lead(first: float, second: float) -> float:
    """The top logit minus the second; 0 if that is not finite."""
    return first - second if math.isfinite(first - second) else 0.0


def fault(logits: np.ndarray) -> str:
    """Why logits, float32 (V,), select no answer, or an empty string."""
    if not np.isfinite(logits[0]):  # a NaN before the head makes all logits NaN
        return NOT_FINITE
    flat = logits[0] == logits[-1] and logits.min() == logits.max()
    return "all equal" if flat else ""


def fault_sentence(patch: Patch | None, problem: str) -> str:
    """A warning about a `fault`."""
    after = "" if patch is None else f"after {patch.operation.doing} layer {patch.layer} "
    return f"{after}the model's logits are {problem}, so the answer means nothing"


class ImageRun(Protocol):
    """A run of image tokens at its place in a prompt."""

    @property
    def n_tokens(self) -> int: ...

    def decode(self, position: int, sequence: int) -> int:
        """Put the tokens into the KV cache; returns the next position."""


class ImageEncoder(Protocol):
    """A model's image encoder and projector, run outside llama.cpp."""

    @property
    def identity(self) -> str:
        """What its image tokens depend on besides the image: a digest of its files, and the programs."""

    @property
    def encoded(self) -> int:
        """How many images were encoded so far, without those that were kept."""

    def encode(self, image: Image) -> EncodedImage: ...

    def forget(self, image: Image) -> None:
        """Drop what is in memory of an image that is not used again."""

    def close(self) -> None: ...


class Engine(Protocol):
    """A loaded model. The result of a call never depends on earlier calls.

    All prompts and patches of one call share decodes as far as they fit. llama.cpp picks its kernels by
    the shape of a batch, so an answer can differ in its last bits between calls of different shapes:
    pass prompts one by one where an answer must not depend on its neighbors.
    """

    @property
    def model(self) -> ModelInfo: ...

    @property
    def identity(self) -> Mapping[str, str]:
        """What answers depend on besides the query: the model's files, the library, tv's repairs, and `picture`."""

    @property
    def has_vision(self) -> bool: ...

    @property
    def repairs(self) -> Sequence[str]:
        """What was changed so far in the library's encoding of images, so that it is the model's; sentences."""

    @property
    def picture(self) -> Picture:
        """Which pixels of an image the model gets."""

    @property
    def chat_template(self) -> Chat | None:
        """The model's own chat template, if its file has one."""

    @property
    def buffers(self) -> Sequence[str]:
        """The name of the memory buffer of each layer's output, L texts."""

    @property
    def limits(self) -> Limits:
        """How much fits one decode."""

    def layout(self, prompt: Prompt) -> list[Token | ImageTokens]:
        """All tokens of a prompt in order; the last is the delimiter."""

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text, without special tokens before it."""

    def token_text(self, token: int) -> str:
        """The text of a vocabulary entry."""

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        """Residuals at the delimiter of every layer, float32 (N, L, D); with `patch`, as patched."""

    def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
        """Next-token logits of every prompt under every patch, float32 (N, K, V)."""

    def logits_by_adapter(self, prompt: Prompt, patch: Patch) -> np.ndarray:
        """What `logits` gives for a patch at layer ≥ 1, computed by another method, as a check; float32 (V,)."""

    def answer(
        self,
        prompts: Sequence[Prompt],
        patches: Sequence[Patch | None] = (None,),
        decoding: Decoding = FIRST_TOKEN,
    ) -> list[list[Answer]]:
        """Every prompt answered under every patch (`None`: unpatched), N lists of K.

        A sweep over layers is one prompt under L patches, in one decode.
        """

    def forget(self, image: AnyImage) -> None:
        """Drop what is cached for an image that is not used again."""

    def close(self) -> None:
        """Free everything; every later call raises UsageError."""


def tail(engine: Engine, prompt: Prompt, count: int) -> list[Token]:
    """The last `count` text tokens of a prompt (fewer after an image); the last is the delimiter."""
    text: list[Token] = []
    for piece in reversed(engine.layout(prompt)):
        if not isinstance(piece, Token) or len(text) == count:
            break
        text.append(piece)
    return text[::-1]
