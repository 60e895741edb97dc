"""The engine on llama.cpp, by its C API.

Every query runs the same way: all tokens but the last go into the KV cache; the cache is shared by one
sequence per patch; then the delimiter of every sequence is decoded in one batch, with the hook armed. So
each ``l_out-l`` has exactly the rows of that batch, regardless of earlier images, micro-batches and pruning.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvcli.encoded import EncodedImage
from tvcli.engine.batches import Block, Limits, plan, shared_start
from tvcli.engine.decoder import Decoder
from tvcli.engine.gguf.checked import MMPROJ, MODEL, checked
from tvcli.engine.gguf.repair import NONE
from tvcli.engine.given import GivenTokens, check_given
from tvcli.engine.hook import Edit
from tvcli.engine.protocol import (
    DEFAULTS,
    FIRST_TOKEN,
    NOT_FINITE,
    Answer,
    Decoding,
    ImageEncoder,
    ImageRun,
    ImageTokens,
    Lora,
    Patch,
    Settings,
    Token,
    fault_sentence,
    lead,
)
from tvcli.engine.vision import Vision
from tvcli.errors import TvError, UnavailableError, UsageError
from tvcli.images import AnyImage, Image
from tvcli.kinds import Picture
from tvcli.prompts.chat import Chat
from tvcli.prompts.prompt import Control, Input, Prompt

log = logging.getLogger(__name__)


TAIL = 1  # text tokens decoded with the hook: the delimiter

Segment = list[int] | ImageRun  # text tokens, or a run of image tokens


@dataclass(frozen=True)
class _Encoded:
    """A tokenized prompt: the part decoded first, and the text tokens at its end, decoded with the hook."""

    prefix: Sequence[Segment]
    tail: list[int]

    @property
    def length(self) -> int:
        return len(self.tail) + sum(len(s) if isinstance(s, list) else s.n_tokens for s in self.prefix)


@dataclass(frozen=True)
class _Decoded:
    """A block whose logits the context holds until the next decode."""

    positions: np.ndarray  # int (rows,), the position of each row's next token
    captured: np.ndarray | None  # residuals, float32 (rows, L, D), if they were read


Use = Callable[[Block, _Decoded], None]


class LlamaEngine:
    """A GGUF model, with its mmproj for images. Implements `protocol.Engine`."""

    def __init__(
        self,
        model: Path,
        mmproj: Path | None = None,
        settings: Settings = DEFAULTS,
        loras: Sequence[Lora] = (),
        encoder: ImageEncoder | None = None,
    ) -> None:
        """Load and probe a model; LoRA adapters are part of its identity (`Adapters.adapted`).

        An `encoder` sees for a model without `mmproj`, and is closed with the engine.

        Raises:
            UsageError: both an `mmproj` and an encoder.
            UnavailableError: a file that is missing or broken, an mmproj or adapter that does not belong to the model,
                or an architecture whose residual stream llama.cpp does not name.
        """
        if mmproj is not None and encoder is not None:
            raise UsageError(f"the model {model.stem} has an image encoder of its own; leave `mmproj` out")
        facts = checked(model, MODEL, settings.progress)
        vision = None if mmproj is None else checked(mmproj, MMPROJ, settings.progress)
        self._mmproj_digest, self._repair = ("", NONE) if vision is None else (vision.digest, vision.repair)
        self._vision: Vision | None = None
        self._encoder = encoder
        self.picture = settings.picture
        self._dirty = False  # cells may hold NaN
        self._said: set[str] = set()  # warnings
        resources = ExitStack()
        self._free = weakref.finalize(self, resources.close)  # by close, or with the last reference to the engine
        self._loaded = Decoder(model, facts, settings, loras)
        resources.callback(self._loaded.close)
        if encoder is not None:
            resources.callback(encoder.close)
        self.model = self._loaded.info
        try:
            self._probe()
            if mmproj is not None:
                self._vision = Vision(mmproj, self._loaded, settings, self._repair)
                resources.callback(self._vision.close)
        except BaseException:
            self.close()
            raise
        build = self._loaded.library.build
        log.debug("%s; %s", build, build.kernels)

    def __enter__(self) -> LlamaEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free everything; safe to call twice. Every later call raises UsageError."""
        self._free()

    def _check_open(self) -> None:
        if not self._free.alive:
            raise UsageError(f"the model {self.model.name} is closed; open it again")

    @property
    def _decoder(self) -> Decoder:
        """Raises UsageError if the engine is closed."""
        self._check_open()
        return self._loaded

    @property
    def _mtmd(self) -> Vision:
        """Raises UsageError if the engine has no image encoder."""
        if self._vision is None:
            raise UsageError(f"the model {self.model.name} has no image encoder; add `mmproj`")
        return self._vision

    def _probe(self) -> None:
        """Decode one token and read all layers: refuses models without a usable ``l_out``."""
        try:
            self._decode_block([_Encoded([], [self._decoder.first_token()])], [None], read=True)
        except TvError as error:
            name = self.model.architecture
            raise UnavailableError(f"the architecture {name} is not supported: {error}") from error

    @property
    def identity(self) -> Mapping[str, str]:
        build = self._loaded.library.build
        library = f"llama.cpp {build.version} (ggml {build.ggml}), {build.kernels}"
        files = {"model": self.model.digest, "mmproj": self._mmproj_digest}
        outside = {} if self._encoder is None else {"image encoder": self._encoder.identity}
        repair = {"vision": self._repair.identity} if self._repair.identity else {}
        picture = self.picture if self.has_vision else ""
        return {**files, "library": library, "picture": picture, **outside, **repair}

    @property
    def has_vision(self) -> bool:
        return self._vision is not None or self._encoder is not None

    @property
    def repairs(self) -> Sequence[str]:
        return [] if self._vision is None else self._vision.repairs

    @property
    def chat_template(self) -> Chat | None:
        return self._decoder.chat_template()

    @property
    def buffers(self) -> Sequence[str]:
        return self._loaded.hook.buffers

    @property
    def limits(self) -> Limits:
        return self._decoder.limits

    # -- operations ----------------------------------------------------------------------------------------

    def layout(self, prompt: Prompt) -> list[Token | ImageTokens]:
        encoded = self._encode(prompt)
        pieces: list[Token | ImageTokens] = []
        for segment in (*encoded.prefix, encoded.tail):
            if isinstance(segment, list):
                pieces += [Token(token, self.token_text(token)) for token in segment]
            else:
                pieces.append(ImageTokens(segment.n_tokens))
        return pieces

    def tokens(self, text: str) -> list[Token]:
        return [Token(token, self.token_text(token)) for token in self._decoder.tokenize(text, first=False)]

    def token_text(self, token: int) -> str:
        return self._decoder.text([token], special=True)

    def read(self, prompts: Sequence[Prompt], patch: Patch | None = None) -> np.ndarray:
        residuals = np.empty((len(prompts), self.model.n_layer, self.model.n_embd), np.float32)

        def keep(block: Block, decoded: _Decoded) -> None:
            residuals[block.prompts.start : block.prompts.stop] = decoded.captured

        self._run([self._encode(prompt) for prompt in prompts], [patch], 1, keep, read=True)
        return residuals

    def logits(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,)) -> np.ndarray:
        result = np.empty((len(prompts), len(patches), self._decoder.n_vocab), np.float32)

        def keep(block: Block, _: _Decoded) -> None:
            for row, (i, k) in enumerate(_pairs(block)):
                result[i, k] = self._decoder.row_logits(row)

        self._run([self._encode(prompt) for prompt in prompts], patches, 1, keep)
        return result

    def answer(
        self,
        prompts: Sequence[Prompt],
        patches: Sequence[Patch | None] = (None,),
        decoding: Decoding = FIRST_TOKEN,
    ) -> list[list[Answer]]:
        answers: dict[tuple[int, int], Answer] = {}

        def keep(block: Block, decoded: _Decoded) -> None:
            answers.update(zip(_pairs(block), self._generate(decoded.positions, decoding), strict=True))

        self._run([self._encode(prompt) for prompt in prompts], patches, decoding.max_tokens, keep)
        return [[answers[i, k] for k in range(len(patches))] for i in range(len(prompts))]

    def image_tokens(self, image: Image) -> np.ndarray:
        """The output of image encoder and projector for an image, float32 (tokens, D); tiles one after another.

        Raises:
            UsageError: the model has no image encoder.
        """
        self._check_open()
        if self._encoder is not None:
            return self._encoder.encode(self._outside(image)).tokens
        return self._mtmd.image_tokens(image)

    @property
    def encodings(self) -> int:
        """How many images, or tiles of them, were encoded so far."""
        return sum(encoder.encoded for encoder in (self._vision, self._encoder) if encoder is not None)

    def forget(self, image: AnyImage) -> None:
        self._check_open()
        if self._vision is not None and isinstance(image, Image):
            self._vision.forget(image)
        if self._encoder is not None and isinstance(image, Image):
            self._encoder.forget(self._outside(image))

    def logits_by_adapter(self, prompt: Prompt, patch: Patch) -> np.ndarray:
        """The hook writes nothing: llama.cpp's own control vector adds (patched - residual) to the layer's output."""
        if patch.layer < 1:
            raise UsageError("llama.cpp's control vectors start at layer 1")
        encoded = self._encode(prompt)
        own = self.read([prompt])[0, patch.layer]
        rows = np.zeros((self.model.n_layer - 1, self.model.n_embd), np.float32)
        rows[patch.layer - 1] = patch.applied(own) - own
        self._decoder.clear(data=False)  # not only the last position: a recurrent state cannot be undone
        position = self._decode_prefixes([encoded], 1)
        self._decoder.set_control_vector(rows)
        try:
            self._dirty = True
            self._decoder.decode(np.array(encoded.tail), position, np.zeros(TAIL), logits=True)
            self._dirty = self._warned_of(0, patch) == NOT_FINITE
            return self._decoder.row_logits(0)
        finally:
            self._decoder.set_control_vector(None)

    # -- prompts to rows ----------------------------------------------------------------------------------

    def _encode(self, prompt: Prompt) -> _Encoded:
        self._check_open()
        segments: list[Segment] = []
        for piece in _pieces(map(self._seen, prompt.parts)):
            if isinstance(piece, EncodedImage):
                check_given(piece, self._decoder)
                segments.append(self._tokenize([Control(piece.before)], first=not segments))
                segments += [GivenTokens(piece, self._decoder), self._tokenize([Control(piece.after)], first=False)]
            elif any(isinstance(part, Image) for part in piece):
                segments += self._mtmd.segments(piece, first=not segments)
            else:
                texts = [part for part in piece if isinstance(part, str)]  # not str(part), which is no `Control`
                segments.append(self._tokenize(texts, first=not segments))
        first = segments[0]
        if isinstance(prompt.parts[0], Control) and isinstance(first, list):
            segments[0] = self._decoder.with_one_bos(first)
        return _split(segments)

    def _seen(self, part: Input) -> Input:
        """The part as llama.cpp takes it: an encoder outside of it sees before."""
        if self._encoder is None or not isinstance(part, Image):
            return part
        return self._encoder.encode(self._outside(part))

    def _outside(self, image: Image) -> Image:
        """The image that an encoder outside of llama.cpp gets, which has the model's own processor."""
        return Image(image.papers, image.name) if self.picture == Picture.PAPER else image

    def _tokenize(self, texts: Iterable[str], *, first: bool) -> list[int]:
        """The tokens of texts, BOS before the `first` ones of a prompt where the model wants it."""
        safe = [piece for text in texts for piece in self._decoder.safe_texts(text)]
        runs = [self._decoder.tokenize(text, first=first and i == 0) for i, text in enumerate(safe)]
        return [token for run in runs for token in run]

    def _run(
        self,
        encoded: Sequence[_Encoded],
        patches: Sequence[Patch | None],
        new_tokens: int,
        use: Use,
        *,
        read: bool = False,
    ) -> None:
        """Decode the blocks in turn; `use` copies what it needs of each before the next is decoded."""
        for patch in patches:
            self._check(patch)
        for block in plan([e.length for e in encoded], len(patches), new_tokens, self._decoder.limits):
            some = [patches[k] for k in block.patches]
            use(block, self._decode_block([encoded[i] for i in block.prompts], some, read=read))

    def _check(self, patch: Patch | None) -> None:
        if patch is None:
            return
        if not 0 <= patch.layer < self.model.n_layer:
            raise UsageError(f"layer {patch.layer} is outside 0 to {self.model.n_layer - 1} of {self.model.name}")
        if patch.row.shape != (self.model.n_embd,):
            raise ValueError(f"a patch has the shape ({self.model.n_embd},), not {patch.row.shape}")

    def _decode_block(self, encoded: Sequence[_Encoded], patches: Sequence[Patch | None], *, read: bool) -> _Decoded:
        """Every prompt under every patch, row = prompt × K + patch; logits stay in the context."""
        k, rows = len(patches), len(encoded) * len(patches)
        self._decoder.reserve(rows)
        self._decoder.clear(data=self._dirty)
        self._dirty = True  # until the result is known to be finite
        positions = np.repeat(self._decode_prefixes(encoded, k), k)
        edits: dict[int, list[Edit]] = {}
        for row in range(rows):
            patch = patches[row % k]
            if patch is not None:
                edits.setdefault(patch.layer, []).append((row, patch.applied))
            if row % k:
                self._decoder.share(row - row % k, row)
        tokens = np.repeat([e.tail for e in encoded], k)
        with self._decoder.hook.armed(rows=rows, edits=edits, read=read) as captured:
            self._decoder.decode(tokens, positions, np.arange(rows), logits=True)
        self._dirty = NOT_FINITE in [self._warned_of(row, patches[row % k]) for row in range(rows)]
        return _Decoded(positions + TAIL, captured)

    def _warned_of(self, row: int, patch: Patch | None) -> str:
        """The fault of a row of the latest decode, or an empty string; warns once per layer."""
        problem = self._decoder.fault(row)
        if problem and (said := fault_sentence(patch, problem)) not in self._said:
            self._said.add(said)
            log.warning("%s", said)
        return problem

    def _decode_prefixes(self, encoded: Sequence[_Encoded], stride: int) -> np.ndarray:
        """Fill sequence i × stride with prompt i; texts of many prompts share batches. Next positions, int (N,)."""
        common = _common_start(encoded)
        self._decode_text([(token, n, 0) for n, token in enumerate(common)])
        for i in range(1, len(encoded) if common else 0):
            # all sequences before any continues: a recurrent state is shared as a whole
            self._decoder.share(0, i * stride)
        positions = np.full(len(encoded), len(common), np.int32)
        waiting: list[tuple[int, int, int]] = []  # token, position, sequence
        for i, one in enumerate(encoded):
            for segment in _without_start(one.prefix, len(common)):
                if isinstance(segment, list):
                    waiting += [(token, int(positions[i]) + n, i * stride) for n, token in enumerate(segment)]
                    positions[i] += len(segment)
                else:
                    self._decode_text(waiting)
                    waiting = []
                    positions[i] = segment.decode(int(positions[i]), i * stride)
        self._decode_text(waiting)
        return positions

    def _decode_text(self, rows: Sequence[tuple[int, int, int]]) -> None:
        n_batch = self._decoder.n_batch
        for start in range(0, len(rows), n_batch):
            tokens, positions, sequences = np.array(rows[start : start + n_batch], np.int32).T
            self._decoder.decode(tokens, positions, sequences, logits=False)

    # -- rows to answers ----------------------------------------------------------------------------------

    def _generate(self, positions: np.ndarray, decoding: Decoding) -> list[Answer]:
        """Continue every row greedily from its logits; finished rows are removed from the batch."""
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
        return [self._answer(tokens, margin, decoding) for tokens, margin in zip(chosen, margins, strict=True)]

    def _answer(self, tokens: list[int], margin: float, decoding: Decoding) -> Answer:
        text = self._decoder.text(tokens)
        return Answer(text.split("\n", 1)[0] if decoding.stop_at_newline else text, tuple(tokens), margin)

    def _greedy(self, row: int) -> tuple[int, float]:
        """The top token (ties: the lowest id) and its margin over the second."""
        best, first, second = self._decoder.top(row)
        if not np.isfinite(first):
            self._dirty = True
        return best, lead(first, second)

    def _ends(self, token: int, decoding: Decoding) -> bool:
        return self._decoder.is_end(token) or (decoding.stop_at_newline and b"\n" in self._decoder.piece(token))


def _pieces(parts: Iterable[Input]) -> Iterator[EncodedImage | list[str | Image]]:
    """Encoded images, and all other parts between them, in order."""
    stretch: list[str | Image] = []
    for part in parts:
        if isinstance(part, EncodedImage):
            if stretch:
                yield stretch
            yield part
            stretch = []
        else:
            stretch.append(part)
    if stretch:
        yield stretch


def _common_start(encoded: Sequence[_Encoded]) -> list[int]:
    """The text tokens that all prompts begin with; empty for a single prompt."""
    starts = [one.prefix[0] if one.prefix and isinstance(one.prefix[0], list) else [] for one in encoded]
    return starts[0][: shared_start(starts)]


def _split(segments: Sequence[Segment]) -> _Encoded:
    """Raises TvError unless the last segment is text of `TAIL` tokens or more."""
    *before, last = segments
    if not isinstance(last, list) or len(last) < TAIL:
        raise TvError("the prompt does not end in text tokens, so it has no delimiter")
    return _Encoded([s for s in (*before, last[:-TAIL]) if s or not isinstance(s, list)], last[-TAIL:])


def _without_start(prefix: Sequence[Segment], count: int) -> Sequence[Segment]:
    first, *more = prefix or [[]]
    return [first[count:], *more] if isinstance(first, list) else prefix


def _pairs(block: Block) -> list[tuple[int, int]]:
    return [(i, k) for i in block.prompts for k in block.patches]
