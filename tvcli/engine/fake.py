"""A deterministic engine without weight files: a tiny residual network in NumPy.

Its answers are meaningless but always the same. Its residual stream is computed, so a patch has a real effect. With
the model ``fake`` a script can be tested in milliseconds; most of tv's tests run on it.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from tvcli.encoded import EncodedImage
from tvcli.engine.batches import Limits
from tvcli.engine.protocol import (
    FIRST_TOKEN,
    MAX_ROWS,
    Answer,
    Decoding,
    ImageTokens,
    Operation,
    Patch,
    Token,
    fault,
    fault_sentence,
    lead,
)
from tvcli.errors import UsageError
from tvcli.images import AnyImage, Image
from tvcli.kinds import Picture
from tvcli.prompts.chat import Chat
from tvcli.prompts.prompt import Prompt
from tvcli.vector import ModelInfo

log = logging.getLogger(__name__)

N_LAYER, N_EMBD = 6, 16
WORDS = ("\n", " Paris", " Lima", " Rome", " Cairo", " Oslo", " yes", " no", " red", " sweet", ",", ".")
CONTEXT = 4096


def _noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


class FakeEngine:
    """Implements `protocol.Engine`. h ← h + tanh(W_l (h + c)), c the mean embedding of the tokens before."""

    def __init__(self, n_layer: int = N_LAYER, n_embd: int = N_EMBD, *, vision: bool = True) -> None:
        self.model = ModelInfo("fake", "fake", n_layer, n_embd)
        self.has_vision = vision
        self.picture = Picture.MODEL
        self.chat_template: Chat | None = None
        self._closed = False
        self._weights = _noise(1, n_layer, n_embd, n_embd) / np.sqrt(np.float32(n_embd))
        self._unembedding = _noise(2, n_embd, len(WORDS))

    @property
    def identity(self) -> Mapping[str, str]:
        return {
            "model": f"fake {self.model.n_layer} × {self.model.n_embd}",
            "picture": self.picture if self.has_vision else "",
        }

    @property
    def repairs(self) -> Sequence[str]:
        return []

    def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the model {self.model.name} is closed; open it again")

    def forget(self, image: AnyImage) -> None:
        self._check_open()

    @property
    def buffers(self) -> Sequence[str]:
        return ["NumPy"] * self.model.n_layer

    @property
    def limits(self) -> Limits:
        return Limits(MAX_ROWS, CONTEXT)

    def layout(self, prompt: Prompt) -> list[Token | ImageTokens]:
        parts = [self.tokens(part) if isinstance(part, str) else [_run(part)] for part in prompt.parts]
        return [piece for part in parts for piece in part]

    def tokens(self, text: str) -> list[Token]:
        self._check_open()
        return [Token(zlib.crc32(_bytes(piece)) % len(WORDS), piece) for piece in _pieces(text)]

    def token_text(self, token: int) -> str:
        self._check_open()
        return WORDS[token]

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        self._check(patch)
        return np.array([self._forward(self._embed(prompt), patch) for prompt in prompts], np.float32)

    def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
        for patch in (None, *patches):
            self._check(patch)
        with np.errstate(invalid="ignore"):
            return np.array([[self._next(prompt, patch) for patch in patches] for prompt in prompts], np.float32)

    def logits_by_adapter(self, prompt: Prompt, patch: Patch) -> np.ndarray:
        self._check(patch)
        own = self._forward(self._embed(prompt), None)[patch.layer]
        return self._next(prompt, Patch(patch.layer, patch.applied(own) - own, Operation("adding to", np.add)))

    def answer(
        self,
        prompts: Sequence[Prompt],
        patches: Sequence[Patch | None] = (None,),
        decoding: Decoding = FIRST_TOKEN,
    ) -> list[list[Answer]]:
        return [[self._answer(prompt, patch, decoding) for patch in patches] for prompt in prompts]

    def _answer(self, prompt: Prompt, patch: Patch | None, decoding: Decoding) -> Answer:
        tokens: list[int] = []
        logits = self.logits([prompt], [patch])[0, 0]
        problem = fault(logits)
        if problem:
            log.warning("%s", fault_sentence(patch, problem))
        second, first = np.sort(logits)[-2:]
        while len(tokens) < decoding.max_tokens:
            tokens.append(int(logits.argmax()))
            text = "".join(WORDS[token] for token in tokens)
            if decoding.stop_at_newline and text.endswith("\n"):
                text = text[:-1]
                break
            logits = self.logits([prompt.__class__((*prompt.parts, text or "\n"))])[0, 0]
        return Answer(text, tuple(tokens), lead(float(first), float(second)))

    def _next(self, prompt: Prompt, patch: Patch | None) -> np.ndarray:
        """Logits, float32 (V,)."""
        return np.asarray(self._forward(self._embed(prompt), patch)[-1] @ self._unembedding)

    def _check(self, patch: Patch | None) -> None:
        self._check_open()
        if patch is not None and not 0 <= patch.layer < self.model.n_layer:
            raise UsageError(f"layer {patch.layer} is outside 0 to {self.model.n_layer - 1} of {self.model.name}")

    def _embed(self, prompt: Prompt) -> np.ndarray:
        """Token embeddings, float32 (tokens, D)."""
        if any(isinstance(image, Image) for image in prompt.images) and not self.has_vision:
            raise UsageError(f"the model {self.model.name} has no image encoder; add `mmproj`")
        rows: list[np.ndarray] = []
        for part in prompt.parts:
            if isinstance(part, EncodedImage):
                rows += self._fitting(part)
                continue
            names = [_bytes(p) for p in _pieces(part)] if isinstance(part, str) else [part.digest]
            rows += [_noise(zlib.crc32(name), self.model.n_embd) for name in names]
        if len(rows) > CONTEXT:
            raise UsageError(f"a prompt of {len(rows)} tokens does not fit the context of {CONTEXT}")
        return np.array(rows)

    def _fitting(self, image: EncodedImage) -> list[np.ndarray]:
        width = image.tokens.shape[1]
        if width != self.model.n_embd:
            raise UsageError(
                f"image tokens {image.name}: they have a width of {width}, the model {self.model.name} takes "
                f"{self.model.n_embd}"
            )
        return list(image.tokens)

    def _forward(self, embeddings: np.ndarray, patch: Patch | None) -> np.ndarray:
        """The residual stream at the last token after every layer, as patched; float32 (L, D)."""
        h, context = embeddings[-1], embeddings.mean(0)
        stream = []
        for layer, weights in enumerate(self._weights):
            with np.errstate(invalid="ignore"):  # a patch may hold anything
                h = h + np.tanh(weights @ (h + context))
                if patch is not None and patch.layer == layer:
                    h = patch.applied(h)
            stream.append(h)
        return np.array(stream)


def _run(image: AnyImage) -> ImageTokens:
    return ImageTokens(1 if isinstance(image, Image) else len(image.tokens))


def _pieces(text: str) -> list[str]:
    return re.findall(r"\s?\w+|\s|[^\w\s]", text)


def _bytes(piece: str) -> bytes:
    return piece.encode("utf-8", "replace")
