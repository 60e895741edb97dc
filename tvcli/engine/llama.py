"""The engine on llama.cpp, by llama-cpp-python's low-level API.

Every query runs the same way: all tokens but the last go into the KV cache; the cache is shared by one
sequence per patch; then the delimiter of every sequence is decoded in one batch, with the hook armed. So
each ``l_out-l`` has exactly the rows of that batch, whatever images, micro-batches and pruning did before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvcli.engine.batches import Block, plan
from tvcli.engine.decoder import Decoder
from tvcli.engine.gguf.checked import MMPROJ, MODEL, checked
from tvcli.engine.hook import Write
from tvcli.engine.protocol import (
    DEFAULTS,
    FIRST_TOKEN,
    Answer,
    Decoding,
    ImageTokens,
    Patch,
    Settings,
    Token,
    last_tokens,
)
from tvcli.engine.vision import ImageChunk, Vision
from tvcli.errors import TvError, UnavailableError, UsageError
from tvcli.images import Image
from tvcli.prompts.prompt import Prompt

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Encoded:
    """A tokenized prompt: what goes into the cache first, and the delimiter."""

    prefix: list[list[int] | ImageChunk]
    delimiter: int

    @property
    def length(self) -> int:
        return 1 + sum(s.n_tokens if isinstance(s, ImageChunk) else len(s) for s in self.prefix)


class LlamaEngine:
    """A GGUF model, with its mmproj where images are wanted. Implements `protocol.Engine`."""

    def __init__(self, model: Path, mmproj: Path | None = None, settings: Settings = DEFAULTS) -> None:
        """Load and probe a model.

        Raises:
            UnavailableError: a file that is missing or broken, an mmproj that does not belong to the model,
                or an architecture whose residual stream llama.cpp does not name.
        """
        facts = checked(model, MODEL)
        self._mmproj_digest = ""
        if mmproj is not None:
            self._mmproj_digest = checked(mmproj, MMPROJ).digest
        self._vision: Vision | None = None
        self._dirty = False  # cells may hold NaN
        self._decoder = Decoder(model, facts, settings)
        try:
            self._probe()
            if mmproj is not None:
                self._vision = Vision(mmproj, self._decoder, settings)
        except BaseException:
            self.close()
            raise
        self.model = self._decoder.info
        build = self._decoder.library.build
        log.debug("%s; %s", build, build.kernels)

    def __enter__(self) -> LlamaEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free everything; safe to call twice."""
        if self._vision is not None:
            self._vision.close()
            self._vision = None
        self._decoder.close()

    def _probe(self) -> None:
        """Decode one token with all layers wanted: refuses models without a usable ``l_out``, by name."""
        try:
            self._decode_block([_Encoded([], self._decoder.first_token())], [None], read=True)
        except TvError as error:
            name = self._decoder.info.architecture
            raise UnavailableError(f"the architecture {name} is not supported: {error}") from error

    @property
    def identity(self) -> Mapping[str, str]:
        build = self._decoder.library.build
        library = f"llama.cpp {build.version} (ggml {build.ggml}), {build.kernels}"
        return {"model": self.model.digest, "mmproj": self._mmproj_digest, "library": library}

    @property
    def has_vision(self) -> bool:
        return self._vision is not None

    @property
    def chat_template(self) -> str:
        return self._decoder.chat_template()

    @property
    def buffers(self) -> Sequence[str]:
        return self._decoder.hook.buffers

    # -- the verbs ----------------------------------------------------------------------------------------

    def layout(self, prompt: Prompt) -> list[Token | ImageTokens]:
        encoded = self._encode(prompt)
        pieces: list[Token | ImageTokens] = []
        for segment in (*encoded.prefix, [encoded.delimiter]):
            if isinstance(segment, ImageChunk):
                pieces.append(ImageTokens(segment.n_tokens))
            else:
                pieces += [Token(token, self.token_text(token)) for token in segment]
        return pieces

    def tail(self, prompt: Prompt, count: int) -> list[Token]:
        return last_tokens(self.layout(prompt), count)

    def tokens(self, text: str) -> list[Token]:
        return [Token(token, self.token_text(token)) for token in self._decoder.tokenize(text, first=False)]

    def token_text(self, token: int) -> str:
        return self._decoder.text([token], special=True)

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        self._check(patch)
        encoded = [self._encode(prompt) for prompt in prompts]
        residuals = np.empty((len(prompts), self.model.n_layer, self.model.n_embd), np.float32)
        for block in self._plan(encoded, 1, 1):
            captured = self._decode_block([encoded[i] for i in block.prompts], [patch], read=True)
            residuals[block.prompts.start : block.prompts.stop] = captured
        return residuals

    def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
        result = np.empty((len(prompts), len(patches), self._decoder.n_vocab), np.float32)
        for block in self._run([self._encode(prompt) for prompt in prompts], patches, 1):
            for row, (i, k) in enumerate(_pairs(block)):
                result[i, k] = self._decoder.row_logits(row)
        return result

    def answer(
        self,
        prompts: Sequence[Prompt],
        patches: Sequence[Patch | None] = (None,),
        decoding: Decoding = FIRST_TOKEN,
    ) -> list[list[Answer]]:
        encoded = [self._encode(prompt) for prompt in prompts]
        answers: dict[tuple[int, int], Answer] = {}
        for block in self._run(encoded, patches, decoding.max_tokens):
            positions = np.repeat(self._positions, len(block.patches))
            answers.update(zip(_pairs(block), self._generate(positions, decoding), strict=True))
        return [[answers[i, k] for k in range(len(patches))] for i in range(len(prompts))]

    def image_tokens(self, image: Image) -> np.ndarray:
        """What the image encoder and projector make of a picture, float32 (tokens, D); the tiles one after another.

        Raises:
            UnavailableError: the model has no image encoder.
        """
        if self._vision is None:
            raise UnavailableError(f"the model {self.model.name} has no image encoder")
        chunks = [s for s in self._vision.segments(Prompt((image, ":"))) if isinstance(s, ImageChunk)]
        return np.concatenate([self._vision.encode(chunk) for chunk in chunks])

    def forget(self, image: Image) -> None:
        if self._vision is not None:
            self._vision.forget(image)

    def logits_by_adapter(self, prompt: Prompt, patch: Patch) -> np.ndarray:
        """The hook writes nothing: llama.cpp's own control vector adds (patch - residual) to the layer's output."""
        if patch.layer < 1:
            raise UsageError("llama.cpp's control vectors start at layer 1")
        encoded = self._encode(prompt)
        captured = self._decode_block([encoded], [None], read=True)
        assert captured is not None  # noqa: S101 - it was asked for
        rows = np.zeros((self.model.n_layer - 1, self.model.n_embd), np.float32)
        rows[patch.layer - 1] = patch.row - captured[0, patch.layer]
        self._decoder.clear(data=False)  # not only the last position: a recurrent state cannot be rolled back
        position = self._decode_prefixes([encoded], 1)
        self._decoder.set_control_vector(rows)
        try:
            self._decoder.decode(np.array([encoded.delimiter]), position, np.zeros(1), logits=True)
            return np.array(self._decoder.row_logits(0))
        finally:
            self._decoder.set_control_vector(None)

    # -- prompts to rows ----------------------------------------------------------------------------------

    def _encode(self, prompt: Prompt) -> _Encoded:
        if not prompt.images:
            texts = [text for part in prompt.parts if isinstance(part, str) for text in self._decoder.safe_texts(part)]
            runs = [self._decoder.tokenize(text, first=i == 0) for i, text in enumerate(texts)]
            segments: list[list[int] | ImageChunk] = [[token for run in runs for token in run]]
        elif self._vision is not None:
            segments = self._vision.segments(prompt)
        else:
            raise UsageError(f"the model {self.model.name} has no image encoder; add --mmproj FILE")
        last = segments[-1]
        if isinstance(last, ImageChunk) or not last:
            raise TvError("the prompt does not end in text tokens, so it has no delimiter")
        return _Encoded([s for s in (*segments[:-1], last[:-1]) if isinstance(s, ImageChunk) or s], last[-1])

    def _plan(self, encoded: Sequence[_Encoded], n_patches: int, new_tokens: int) -> Iterator[Block]:
        return plan([e.length for e in encoded], n_patches, new_tokens, self._decoder.limits)

    def _run(self, encoded: Sequence[_Encoded], patches: Sequence[Patch | None], new_tokens: int) -> Iterator[Block]:
        """Decode block after block; at each yield, the block's rows hold their next-token logits."""
        for patch in patches:
            self._check(patch)
        for block in self._plan(encoded, len(patches), new_tokens):
            some = [patches[k] for k in block.patches]
            self._decode_block([encoded[i] for i in block.prompts], some, read=False)
            yield block

    def _check(self, patch: Patch | None) -> None:
        if patch is None:
            return
        if not 0 <= patch.layer < self.model.n_layer:
            raise UsageError(f"layer {patch.layer} is outside 0 to {self.model.n_layer - 1} of {self.model.name}")
        if patch.row.shape != (self.model.n_embd,):
            raise ValueError(f"a patch has the shape ({self.model.n_embd},), not {patch.row.shape}")

    def _decode_block(
        self, encoded: Sequence[_Encoded], patches: Sequence[Patch | None], *, read: bool
    ) -> np.ndarray | None:
        """Every prompt under every patch: float32 (rows, L, D) if `read`; logits stay in the context."""
        k, rows = len(patches), len(encoded) * len(patches)
        self._decoder.reserve(rows)
        self._decoder.clear(data=self._dirty)
        self._dirty = False
        positions = self._decode_prefixes(encoded, k)
        writes: dict[int, list[Write]] = {}
        for row in range(rows):
            patch = patches[row % k]
            if patch is not None:
                writes.setdefault(patch.layer, []).append((row, patch.row))
            if row % k:
                self._decoder.share(row - row % k, row)
        tokens = np.repeat([e.delimiter for e in encoded], k)
        with self._decoder.hook.armed(rows=rows, writes=writes, read=read) as captured:
            self._decoder.decode(tokens, np.repeat(positions, k), np.arange(rows), logits=True)
        self._positions = positions + 1  # int (N,), where each prompt's answer starts
        return captured

    def _decode_prefixes(self, encoded: Sequence[_Encoded], stride: int) -> np.ndarray:
        """Fill sequence i × stride with prompt i; texts of many prompts share batches. Next positions, int (N,)."""
        common = _common_start(encoded)
        self._decode_text([(token, n, 0) for n, token in enumerate(common)])
        for i in range(1, len(encoded) if common else 0):
            self._decoder.share(0, i * stride)  # all before any goes on: a recurrent state is shared whole
        positions = np.full(len(encoded), len(common), np.int32)
        waiting: list[tuple[int, int, int]] = []  # token, position, sequence
        for i, one in enumerate(encoded):
            for segment in _without_start(one.prefix, len(common)):
                if isinstance(segment, ImageChunk) and self._vision is not None:
                    self._decode_text(waiting)
                    waiting = []
                    positions[i] = self._vision.decode(segment, int(positions[i]), i * stride)
                elif isinstance(segment, list):
                    waiting += [(token, int(positions[i]) + n, i * stride) for n, token in enumerate(segment)]
                    positions[i] += len(segment)
        self._decode_text(waiting)
        return positions

    def _decode_text(self, rows: Sequence[tuple[int, int, int]]) -> None:
        n_batch = self._decoder.n_batch
        for start in range(0, len(rows), n_batch):
            tokens, positions, sequences = np.array(rows[start : start + n_batch], np.int32).T
            self._decoder.decode(tokens, positions, sequences, logits=False)

    # -- rows to answers ----------------------------------------------------------------------------------

    def _generate(self, positions: np.ndarray, decoding: Decoding) -> Iterator[Answer]:
        """Continue every row greedily from its logits; finished rows leave the batch."""
        chosen: list[list[int]] = [[] for _ in positions]
        margins = [0.0] * len(positions)
        active = list(range(len(positions)))
        for step in range(decoding.max_tokens):
            for row, sequence in enumerate(active):
                token, margin = self._greedy(row)
                chosen[sequence].append(token)
                margins[sequence] = margin if step == 0 else margins[sequence]
            active = [s for s in active if not self._ends(chosen[s][-1], decoding)]
            if not active or step + 1 == decoding.max_tokens:
                break
            latest = np.array([chosen[s][-1] for s in active])
            self._decoder.decode(latest, positions[active] + step, np.array(active), logits=True)
        for tokens, margin in zip(chosen, margins, strict=True):
            text = self._decoder.text(tokens)
            yield Answer(text.split("\n", 1)[0] if decoding.stop_at_newline else text, tuple(tokens), margin)

    def _greedy(self, row: int) -> tuple[int, float]:
        """The top token (ties: the lowest id) and its lead over the second."""
        logits = self._decoder.row_logits(row)
        best = int(logits.argmax())
        top = float(logits[best])
        if not np.isfinite(top):
            self._dirty = True
        logits[best] = -np.inf
        margin = top - float(logits.max())
        logits[best] = top
        return best, margin

    def _ends(self, token: int, decoding: Decoding) -> bool:
        return self._decoder.is_end(token) or (decoding.stop_at_newline and b"\n" in self._decoder.piece(token))


def _common_start(encoded: Sequence[_Encoded]) -> list[int]:
    """The text tokens that all prompts begin with; nothing for one prompt alone."""
    starts = [one.prefix[0] if one.prefix and isinstance(one.prefix[0], list) else [] for one in encoded]
    if len(starts) < 2:
        return []
    count = 0
    while all(count < len(start) and start[count] == starts[0][count] for start in starts):
        count += 1
    return starts[0][:count]


def _without_start(prefix: list[list[int] | ImageChunk], count: int) -> list[list[int] | ImageChunk]:
    first, *more = prefix or [[]]
    return [first[count:], *more] if isinstance(first, list) else prefix


def _pairs(block: Block) -> list[tuple[int, int]]:
    return [(i, k) for i in block.prompts for k in block.patches]
