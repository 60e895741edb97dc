"""Prompts with images: llama.cpp's mtmd library tokenizes, encodes and places them.

mtmd computes positions, M-RoPE and non-causal masks. Images are given as pixels (`tvcli.images`), texts as separate
parts, so that no text of a user is ever read as an image marker.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvcli.engine.class_token import ClassTokenFirst
from tvcli.engine.decoder import Decoder
from tvcli.engine.devices import default_threads
from tvcli.engine.encoder_graph import EncoderGraph
from tvcli.engine.gguf.repair import FEATURE_LAYER, Repair
from tvcli.engine.image_cache import ImageCache
from tvcli.engine.native import pinned
from tvcli.engine.native.interrupts import deferred_interrupt
from tvcli.engine.native.library import Library
from tvcli.engine.native.log import forget_errors, last_error
from tvcli.engine.native.memory import address, floats, integers, location, number, pointers, size
from tvcli.engine.picture import Preparation, Untile
from tvcli.engine.protocol import Settings
from tvcli.engine.unset_memory import UnsetMemoryCleared
from tvcli.errors import TvError, UnavailableError
from tvcli.images import Image, check_shape
from tvcli.prompts.prompt import Control

log = logging.getLogger(__name__)

ChunkKey = tuple[bytes, int, int]  # the image's id, the number of the chunk, tokens


@dataclass(frozen=True, eq=False)
class ImageChunk:
    """A run of image tokens: one image, or one tile of it. Implements `protocol.ImageRun`."""

    pointer: Any  # mtmd_input_chunk *, owned by `owner`
    owner: Chunks
    vision: Vision
    key: ChunkKey
    n_tokens: int
    name: str  # the image's, for messages

    def decode(self, position: int, sequence: int) -> int:
        return self.vision.decode(self, position, sequence)


class Chunks:
    """Owns an ``mtmd_input_chunks``; chunks point into it."""

    def __init__(self, library: Library) -> None:
        self.pointer = library.mtmd_input_chunks_init()
        self._free = library.mtmd_input_chunks_free

    def __del__(self) -> None:
        if self.pointer:
            self._free(self.pointer)
            self.pointer = None


class Vision:
    """An mmproj file, loaded with its text model."""

    def __init__(self, mmproj: Path, decoder: Decoder, settings: Settings, repair: Repair) -> None:
        """Raises UnavailableError if the file is not an mmproj or does not belong to the model."""
        self._decoder = decoder
        self._repair = repair
        self._library = library = decoder.library
        self._cache: ImageCache[ChunkKey] = ImageCache()
        self._preparation = Preparation(settings.picture, mmproj)
        params = library.mtmd_context_params_default()
        params.use_gpu = settings.gpu_layers != 0
        params.n_threads = settings.threads or default_threads()
        params.print_timings, params.warmup = False, False
        params.image_min_tokens, params.image_max_tokens = self._preparation.limits
        self._graph = _repaired_graph(library, repair)
        if self._graph is not None:
            params.cb_eval = self._graph.callback
        with _deepened(mmproj, repair, settings) as file:
            forget_errors()
            self._context = library.mtmd_init_from_file(str(file).encode(), decoder.handle, params)
        if not self._context:
            raise UnavailableError(f"mmproj {mmproj} cannot be used with this model: {last_error()}")
        if not library.mtmd_support_vision(self._context):
            self.close()
            raise UnavailableError(f"mmproj {mmproj} has no image encoder")

    @property
    def repairs(self) -> list[str]:
        """What was repaired in image tokens so far, one sentence each."""
        return self._repair.sentences(positions=self._graph is not None and self._graph.changed)

    def close(self) -> None:
        if self._context:
            self._library.mtmd_free(self._context)
            self._context = None
            log.debug("%d image chunks were encoded", self.encoded)
        self._cache.close()

    @property
    def encoded(self) -> int:
        """How many chunks were encoded so far."""
        return self._cache.computed

    def segments(self, given: Sequence[str | Image], *, first: bool) -> list[list[int] | ImageChunk]:
        """Parts of a prompt as runs of text tokens and of image tokens, in order.

        BOS is put before the `first` parts of a prompt where the model wants it.
        """
        parts = [self._preparation.image(part) if isinstance(part, Image) else part for part in given]
        whole = self._tokenized(parts, first=first)
        untile = self._preparation.untiled
        if untile is None:
            return whole
        images = {_id(part): part for part in parts if isinstance(part, Image)}
        return _untiled(whole, {name: self._tokenized([image], first=False) for name, image in images.items()}, untile)

    def _tokenized(self, given: Sequence[str | Image], *, first: bool) -> list[list[int] | ImageChunk]:
        """``mtmd_tokenize_from_parts``."""
        chunks = Chunks(self._library)
        forget_errors()
        with ExitStack() as stack:
            texts = [self._decoder.safe_texts(p) if isinstance(p, str) else [p] for p in given]
            parts = [self._part(part, stack) for text in texts for part in text]
            array = pointers(map(location, parts))
            code = self._library.mtmd_tokenize_from_parts(self._context, chunks.pointer, array, len(parts), first)
        if code != 0:
            names = ", ".join(part.name for part in given if isinstance(part, Image))
            raise TvError(f"llama.cpp cannot prepare {names}: {last_error()}")
        return list(
            _split(self, self._library, chunks, {_id(part): part.name for part in given if isinstance(part, Image)})
        )

    def _part(self, part: str | Image, stack: ExitStack) -> Any:
        if isinstance(part, str):
            data = part.encode("utf-8", "replace")
            text = self._library.mtmd_input_text(data, len(data), False, isinstance(part, Control))
            stack.callback(lambda: text)  # keeps it until the block ends: the part has only its address
            return self._library.mtmd_input_part(location(text), None)
        check_shape(part)  # it may have been made without `load_image`
        height, width, _ = part.pixels.shape
        pixels = np.ascontiguousarray(part.pixels)
        bitmap = self._library.mtmd_bitmap_init(width, height, address(pixels))
        stack.callback(self._library.mtmd_bitmap_free, bitmap)
        self._library.mtmd_bitmap_set_id(bitmap, _id(part))
        return self._library.mtmd_input_part(None, bitmap)

    def image_tokens(self, image: Image) -> np.ndarray:
        """The output of image encoder and projector, float32 (tokens, D); tiles one after another."""
        chunks = [run for run in self.segments([image], first=True) if isinstance(run, ImageChunk)]
        return np.concatenate([self.encode(chunk) for chunk in chunks])

    def decode(self, chunk: ImageChunk, position: int, sequence: int) -> int:
        """Put an image chunk into the KV cache; returns the next position (``mtmd_helper_decode_image_chunk``)."""
        n_batch = self._decoder.n_batch
        if self._library.mtmd_decode_use_non_causal(self._context, chunk.pointer) and chunk.n_tokens > n_batch:
            # llama.cpp would abort the process: a non-causal image must fit one micro-batch
            raise TvError(
                f"image {chunk.name} makes {chunk.n_tokens} tokens, more than fit the batch of {n_batch}; scale it down"
            )
        embeddings = self.encode(chunk)
        after = number(position)
        with deferred_interrupt():
            code = self._library.mtmd_helper_decode_image_chunk(
                self._context,
                self._decoder.context,
                chunk.pointer,
                address(embeddings),
                position,
                sequence,
                n_batch,
                location(after),
                self._library.mtmd_helper_post_decode_callback(0),
                None,
            )
        self._decoder.hook.raise_pending()
        if code != 0:
            raise TvError(f"llama.cpp cannot decode image {chunk.name} (code {code}): {last_error()}")
        return int(after.value)

    def forget(self, image: Image) -> None:
        """Drop the encoded tokens of an image."""
        name = _id(self._preparation.image(image))
        self._cache.drop(lambda key: key[0] == name)

    def encode(self, chunk: ImageChunk) -> np.ndarray:
        """The projected image tokens, float32 (tokens, D); computed once for each image that is not dropped."""
        return self._cache.get(chunk.key, lambda: self._encoded(chunk))

    def _encoded(self, chunk: ImageChunk) -> np.ndarray:
        with nullcontext() if self._graph is None else self._graph.active():
            code = self._library.mtmd_encode_chunk(self._context, chunk.pointer)
        if code != 0:
            raise TvError(f"llama.cpp cannot encode image {chunk.name}: {last_error()}")
        width = self._library.llama_model_n_embd_inp(self._decoder.handle)
        output = floats(self._library.mtmd_get_output_embd(self._context), chunk.n_tokens * width)
        embeddings = np.array(output).reshape(chunk.n_tokens, width)
        if not np.isfinite(embeddings).all():
            raise TvError(f"llama.cpp encoded image {chunk.name} to values that are not finite")
        return embeddings


def _repaired_graph(library: Library, repair: Repair) -> EncoderGraph | None:
    if repair.class_first:
        return ClassTokenFirst(library)
    return UnsetMemoryCleared(library) if repair.unset_memory else None


def _deepened(mmproj: Path, repair: Repair, settings: Settings) -> AbstractContextManager[Path]:
    """The file to load: a copy that names the depth, if llama.cpp alone would stop before it."""
    for sentence in repair.warnings:
        log.warning("%s: %s", mmproj, sentence)
    if not repair.depth:
        return nullcontext(mmproj)
    for sentence in repair.sentences(positions=False):
        log.debug("%s: %s", mmproj, sentence)
    from tvcli.engine.gguf.amended import amended  # not at every start: it loads the gguf package

    return amended(mmproj, FEATURE_LAYER, repair.depth, settings.progress)


def _id(image: Image) -> bytes:
    """The image's id in mtmd."""
    return image.digest.hex().encode()


def _split(
    vision: Vision, library: Library, chunks: Chunks, names: Mapping[bytes, str]
) -> Iterator[list[int] | ImageChunk]:
    """Read mtmd's chunks; an image may give several (tiles), with text of the template between them."""
    seen: Counter[bytes] = Counter()
    for index in range(library.mtmd_input_chunks_size(chunks.pointer)):
        pointer = library.mtmd_input_chunks_get(chunks.pointer, index)
        if library.mtmd_input_chunk_get_type(pointer) == pinned.CHUNK_TEXT:
            count = size()
            tokens = library.mtmd_input_chunk_get_tokens_text(pointer, location(count))
            yield integers(tokens, count.value).tolist() if count.value else []
            continue
        n_tokens = library.mtmd_input_chunk_get_n_tokens(pointer)
        if n_tokens == 0:
            raise TvError("llama.cpp produced no tokens for an image; the mmproj does not work with this model")
        digest = library.mtmd_input_chunk_get_id(pointer)
        yield ImageChunk(pointer, chunks, vision, (digest, seen[digest], n_tokens), n_tokens, names.get(digest, ""))
        seen[digest] += 1


def _untiled(
    whole: Sequence[list[int] | ImageChunk], alone: Mapping[bytes, list[list[int] | ImageChunk]], untile: Untile
) -> list[list[int] | ImageChunk]:
    """A prompt with each image as `untile` leaves it; `alone` is what mtmd makes of each image without a text."""
    given, made = _flat(whole), list[int | ImageChunk]()
    position = 0
    while position < len(given):
        item = given[position]
        if isinstance(item, ImageChunk):
            image = alone[item.key[0]]
            before = next(n for n, piece in enumerate(_flat(image)) if isinstance(piece, ImageChunk))
            made[len(made) - before :] = _flat(untile(image))
            position += len(_flat(image)) - before
        else:
            made.append(item)
            position += 1
    return _runs(made)


def _flat(pieces: Sequence[list[int] | ImageChunk]) -> list[int | ImageChunk]:
    return [item for piece in pieces for item in ([piece] if isinstance(piece, ImageChunk) else piece)]


def _runs(items: Sequence[int | ImageChunk]) -> list[list[int] | ImageChunk]:
    """Neighboring text tokens in one list."""
    runs: list[list[int] | ImageChunk] = []
    for item in items:
        if isinstance(item, ImageChunk):
            runs.append(item)
        elif runs and isinstance(runs[-1], list):
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs
