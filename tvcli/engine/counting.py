"""An engine that counts what work would cost, and does none of it.

The work is cut into decodes as `llama.LlamaEngine` cuts it (`batches.plan`, the start that prompts share, one decode
for each run of image tokens), so that what is counted is what would be decoded.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import numpy as np

from tvcli.engine.batches import Limits, plan, shared_start
from tvcli.engine.protocol import FIRST_TOKEN, Answer, Decoding, Engine, ImageTokens, Patch, Token
from tvcli.images import AnyImage, Image
from tvcli.kinds import Picture
from tvcli.prompts.chat import Chat
from tvcli.prompts.prompt import Control, Prompt, zero_shot
from tvcli.timing import Spent
from tvcli.vector import ModelInfo

FEW = 8  # rows; llama.cpp's kernels for more of them take less for each
VOCABULARY = 1024  # of the logits that are returned; a real one is up to 250 times as large


@dataclass
class Work:
    """What was asked of an engine.

    `decodes` are calls of llama.cpp; `tokens` are prefilled, of texts and of images; `rows` have logits: delimiters and
    further tokens of answers; `few` of them are the first of their decode, up to `FEW`; `pairs` are of each of these
    with each cell of its decode's cache; `probabilities` are rows of which all logits were asked; `encodings` are
    images or tiles; `encoded` their tokens; `prepared` is the time that it takes to prepare the prompts' images.
    """

    decodes: int = 0
    tokens: int = 0
    rows: int = 0
    few: int = 0
    pairs: int = 0
    probabilities: int = 0
    encodings: int = 0
    encoded: int = 0
    prepared: Spent = field(default_factory=Spent)

    def __add__(self, other: Work) -> Work:
        return Work(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: Work) -> Work:
        return Work(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True)
class _Run:
    """Neighboring tokens of text, or of one image or tile."""

    count: int
    of_image: bool


@dataclass(frozen=True)
class _Shown:
    """An image in a prompt: its tokens, and the time that it takes to prepare it."""

    runs: tuple[_Run, ...]
    start: tuple[int, ...]  # the text tokens before the first run
    spent: Spent

    @property
    def tiles(self) -> list[int]:
        return [run.count for run in self.runs if run.of_image]


@dataclass(frozen=True)
class _Sized:
    """A prompt: the text tokens that it starts with, and all runs."""

    start: tuple[int, ...]
    runs: tuple[_Run, ...]

    @property
    def length(self) -> int:
        return sum(run.count for run in self.runs)


class CountingEngine:
    """Implements `protocol.Engine`. Tokens, sizes of images and facts about the model are those of the given engine.

    Residuals are those of one prompt, logits are zero, and answers are one token, or as many as the real engine
    generates for the first prompts that ask for more.
    """

    def __init__(self, real: Engine, work: Work | None = None) -> None:
        self.real = real
        self.work = work or Work()  # several engines may count together
        self.inside = Spent()  # the time in here
        self._texts: dict[tuple[str, bool, bool], tuple[int, ...]] = {}
        self._images: dict[Hashable, _Shown] = {}
        self._encoded: set[bytes] = set()
        self._residuals: np.ndarray | None = None
        self._lengths: dict[Decoding, tuple[float, int]] = {}

    # -- what the real engine says ------------------------------------------------------------------------

    @property
    def model(self) -> ModelInfo:
        return self.real.model

    @property
    def identity(self) -> Mapping[str, str]:
        return self.real.identity

    @property
    def has_vision(self) -> bool:
        return self.real.has_vision

    @property
    def chat_template(self) -> Chat | None:
        return self.real.chat_template

    @property
    def buffers(self) -> Sequence[str]:
        return self.real.buffers

    @property
    def picture(self) -> Picture:
        return self.real.picture

    @property
    def repairs(self) -> Sequence[str]:
        return self.real.repairs

    @property
    def limits(self) -> Limits:
        return self.real.limits

    def layout(self, prompt: Prompt) -> list[Token | ImageTokens]:
        with self._timed():
            return self.real.layout(prompt)

    def tokens(self, text: str) -> list[Token]:
        """With ids below `VOCABULARY`, to index the logits with."""
        with self._timed():
            return [Token(token.id % VOCABULARY, token.text) for token in self.real.tokens(text)]

    def token_text(self, token: int) -> str:
        return self.real.token_text(token)

    def close(self) -> None:
        """The real engine stays open."""

    # -- what it would do ---------------------------------------------------------------------------------

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        with self._timed():
            self._count(prompts, 1, 1)
            if self._residuals is None:
                self._residuals = self.real.read([zero_shot("x")])[0]
            return np.repeat(self._residuals[None], len(prompts), axis=0)

    def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
        with self._timed():
            self._count(prompts, len(patches), 1)
            self.work.probabilities += len(prompts) * len(patches)
            return np.zeros((len(prompts), len(patches), VOCABULARY), np.float32)

    def logits_by_adapter(self, prompt: Prompt, patch: Patch) -> np.ndarray:
        return np.asarray(self.logits([prompt], [patch])[0, 0])

    def answer(
        self,
        prompts: Sequence[Prompt],
        patches: Sequence[Patch | None] = (None,),
        decoding: Decoding = FIRST_TOKEN,
    ) -> list[list[Answer]]:
        with self._timed():
            rows = self._count(prompts, len(patches), decoding.max_tokens)
            mean, longest = self._length(prompts, patches, decoding)
            more, steps = round(rows * (mean - 1)), longest - 1
            self.work.rows += more
            self.work.few += min(more, FEW * steps)
            self.work.decodes += steps
            return [[Answer("", (0,), 0.0)] * len(patches) for _ in prompts]

    def forget(self, image: AnyImage) -> None:
        self._encoded.discard(image.digest)

    def _length(
        self, prompts: Sequence[Prompt], patches: Sequence[Patch | None], decoding: Decoding
    ) -> tuple[float, int]:
        """The mean and the largest number of tokens of answers, of the first two prompts that ask for more than one."""
        if decoding.max_tokens == 1:
            return 1.0, 1
        if decoding not in self._lengths:
            found = self.real.answer(prompts[:2], patches[:4], decoding)
            lengths = [len(answer.tokens) for row in found for answer in row]
            self._lengths[decoding] = float(np.mean(lengths)), max(lengths)
        return self._lengths[decoding]

    # -- decodes ------------------------------------------------------------------------------------------

    def _count(self, prompts: Sequence[Prompt], patches: int, new_tokens: int) -> int:
        """Count the decodes up to the first new token; returns the number of rows."""
        for image in (image for prompt in prompts for image in prompt.images):
            self._show(image)
        sized = [self._sized(prompt) for prompt in prompts]
        for block in plan([one.length for one in sized], patches, new_tokens, self.limits):
            cells = self._count_prefixes([sized[i] for i in block.prompts])
            self.work.decodes += 1
            self.work.rows += block.rows
            self.work.few += min(block.rows, FEW)
            self.work.pairs += block.rows * (cells + block.rows)
        return len(prompts) * patches

    def _count_prefixes(self, prompts: Sequence[_Sized]) -> int:
        """What `LlamaEngine._decode_prefixes` decodes; returns the number of cells."""
        common = _common_start(prompts)
        cells, waiting = self._decode(common, 0), 0
        for one in prompts:
            for number, run in enumerate(one.runs):
                if run.of_image:
                    cells = self._decode(run.count, self._decode(waiting, cells))
                    waiting = 0
                else:
                    waiting += run.count - common * (number == 0) - (run is one.runs[-1])
        return self._decode(waiting, cells)

    def _decode(self, tokens: int, cells: int) -> int:
        """A decode without logits into a cache that has so many cells; returns how many it has then."""
        for start in range(0, tokens, self.limits.tokens):
            some = min(tokens - start, self.limits.tokens)
            cells += some
            self.work.decodes += 1
            self.work.tokens += some
            self.work.pairs += some * cells
        return cells

    def _show(self, image: AnyImage) -> None:
        shown = self._image(image)
        self.work.prepared += shown.spent
        if isinstance(image, Image) and image.digest not in self._encoded:
            self._encoded.add(image.digest)
            self.work.encodings += len(shown.tiles)
            self.work.encoded += sum(shown.tiles)

    # -- sizes --------------------------------------------------------------------------------------------

    def _sized(self, prompt: Prompt) -> _Sized:
        """A text is tokenized as a whole, and parts between images are tokenized alone, as mtmd does."""
        start: tuple[int, ...] = ()
        runs: list[_Run] = []
        for number, part in enumerate(prompt.parts):
            if isinstance(part, str):
                tokens = self._text(part, first=number == 0)
                if not any(run.of_image for run in runs):
                    start += tokens
                runs.append(_Run(len(tokens), of_image=False))
            else:
                shown = self._image(part)
                if not any(run.of_image for run in runs):
                    start += shown.start
                runs += shown.runs
        return _Sized(start, tuple(_joined(runs)))

    def _text(self, text: str, *, first: bool) -> tuple[int, ...]:
        """The tokens of one part of a prompt, with those that stand before the first."""
        key = (text, isinstance(text, Control), first)
        if key not in self._texts:
            found = self.real.layout(Prompt((text,))) if first else self.real.tokens(text)
            self._texts[key] = tuple(piece.id for piece in found if isinstance(piece, Token))
        return self._texts[key]

    def _image(self, image: AnyImage) -> _Shown:
        """By its size: the time to prepare an image and its tokens do not depend on what it shows."""
        if image.digest in self._images:
            return self._images[image.digest]
        key = image.pixels.shape if isinstance(image, Image) else image.digest
        if key not in self._images:
            before, after = "Q:", ":"
            started = Spent.now()
            found = self.real.layout(Prompt((before, image, after)))
            spent = Spent.now() - started
            own = found[len(self._text(before, first=True)) : len(found) - len(self._text(after, first=False))]
            runs = [
                _Run(piece.count, of_image=True) if isinstance(piece, ImageTokens) else _Run(1, of_image=False)
                for piece in own
            ]
            start = itertools.takewhile(lambda piece: isinstance(piece, Token), own)
            self._images[key] = _Shown(tuple(_joined(runs)), tuple(t.id for t in start if isinstance(t, Token)), spent)
        self._images[image.digest] = self._images[key]
        return self._images[key]

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Add to `inside`."""
        started = Spent.now()
        try:
            yield
        finally:
            self.inside += Spent.now() - started


def _joined(runs: Sequence[_Run]) -> Iterator[_Run]:
    """With neighboring runs of text as one; every image or tile stays one."""
    text = 0
    for run in runs:
        if run.of_image:
            if text:
                yield _Run(text, of_image=False)
            yield run
        text = 0 if run.of_image else text + run.count
    if text:
        yield _Run(text, of_image=False)


def _common_start(prompts: Sequence[_Sized]) -> int:
    """How many tokens all prompts start with, the delimiter not among them; none for a single prompt."""
    return shared_start([one.start[:-1] if len(one.runs) == 1 else one.start for one in prompts])
