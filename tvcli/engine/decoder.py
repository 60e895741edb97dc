"""A GGUF model with its context: tokens to logits, through the hook. All of llama.cpp except images."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvcli.engine import devices
from tvcli.engine.batches import Limits
from tvcli.engine.gguf.checked import Facts
from tvcli.engine.hook import ResidualHook
from tvcli.engine.lora import Adapters
from tvcli.engine.native import pinned
from tvcli.engine.native.interrupts import deferred_interrupt
from tvcli.engine.native.library import Library, load
from tvcli.engine.native.log import forget_errors, last_error
from tvcli.engine.native.memory import address, buffer, floats, location
from tvcli.engine.protocol import Lora, Settings, fault
from tvcli.errors import TvError, UnavailableError
from tvcli.prompts.chat import Chat
from tvcli.prompts.prompt import Control
from tvcli.vector import ModelInfo

log = logging.getLogger(__name__)

DEFAULT_CONTEXT = 4096  # cells; a 30-shot prompt with images fits, and LLaVA-7B's cache stays at 2 GB
MAX_BATCH = 2048  # one micro-batch, so that a non-causal image (Gemma) is never cut
MAX_RECURRENT_SEQUENCES = 32  # a recurrent model has a whole state per sequence


class Decoder:
    """Owns ``llama_model`` and ``llama_context``, and keeps the hook's callback alive with them."""

    def __init__(self, path: Path, facts: Facts, settings: Settings, loras: Sequence[Lora] = ()) -> None:
        """Raises UnavailableError if llama.cpp cannot load a file, or it is not a decoder-only language model.

        See `devices.model_devices` for errors of RPC servers.
        """
        self.library = load()
        self.handle: Any = None  # llama_model *
        self.context: Any = None  # llama_context *
        try:
            self._load(path, facts, settings)
            self._adapt(loras)
            self._open_context(path, settings)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free both; safe to call twice, or after a failed construction."""
        if self.context:
            self.library.llama_free(self.context)
        if self.handle:
            self.library.llama_model_free(self.handle)
        self.context = self.handle = None

    def _load(self, path: Path, facts: Facts, settings: Settings) -> None:
        params = self.library.llama_model_default_params()
        params.n_gpu_layers = -1 if settings.gpu_layers is None else settings.gpu_layers
        if settings.gpu_layers and not settings.rpc and not devices.has_gpu():
            log.warning("`gpu_layers` does nothing: llama.cpp finds no GPU")
        if settings.rpc:
            self._devices = devices.model_devices(settings.rpc)
            params.devices = location(self._devices)
        forget_errors()
        with deferred_interrupt() as interrupted:
            if settings.progress is not None:
                params.progress_callback = _progress_callback(self.library, settings.progress, interrupted)
            self.handle = self.library.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise UnavailableError(f"model {path} cannot be loaded: {last_error()}")
        self._vocab = self.library.llama_model_get_vocab(self.handle)
        self.n_vocab = self.library.llama_vocab_n_tokens(self._vocab)
        self.info = ModelInfo(
            architecture=self._metadata("general.architecture"),
            name=self._metadata("general.name") or path.stem,
            n_layer=self.library.llama_model_n_layer(self.handle),
            n_embd=self.library.llama_model_n_embd(self.handle),
            quantization=facts.quantization,
            digest=facts.digest,
        )
        self.n_embd_inp = self.library.llama_model_n_embd_inp(self.handle)  # more than D with deepstack
        self.rope_type = self.library.llama_model_rope_type(self.handle)
        self._check_kind(path)

    def _check_kind(self, path: Path) -> None:
        """Refuse models that llama.cpp loads but that do not predict a next token, before anything is computed."""
        architecture = self.info.architecture
        pooled = self._metadata(f"{architecture}.pooling_type") not in ("", str(pinned.POOLING_NONE))
        both_ways = self._metadata(f"{architecture}.attention.causal") == "false"
        kind = ""
        if self.library.llama_model_has_encoder(self.handle) or not self.library.llama_model_has_decoder(self.handle):
            kind = "an encoder-decoder or draft model"
        elif self.library.llama_model_is_diffusion(self.handle):
            kind = "a diffusion model"
        elif pooled or both_ways:
            kind = "an embedding model"
        if kind:
            raise UnavailableError(f"model {path} ({architecture}) is {kind}; tv needs a decoder-only language model")

    def _adapt(self, loras: Sequence[Lora]) -> None:
        """Before a context is made, which reserves space for adapters."""
        self._adapters = Adapters(self.library, self.handle, loras)
        self.info = self._adapters.adapted(self.info)

    def _open_context(self, path: Path, settings: Settings) -> None:
        library = self.library
        recurrent = library.llama_model_is_recurrent(self.handle) or library.llama_model_is_hybrid(self.handle)
        self.hook = ResidualHook(library, self.info.n_layer, self.info.n_embd)
        self._params = params = library.llama_context_default_params()
        params.n_ctx = settings.context or DEFAULT_CONTEXT
        params.n_batch = params.n_ubatch = self.n_batch = min(MAX_BATCH, params.n_ctx)
        params.n_threads = params.n_threads_batch = settings.threads or devices.default_threads()
        params.kv_unified = True  # sequences share the cells of a prefix
        params.swa_full = True  # a sliding window would drop cells that a copied sequence still needs
        params.no_perf = True
        params.cb_eval = self.hook.callback
        self._path = path
        self._new_context(1)
        most = MAX_RECURRENT_SEQUENCES if recurrent else pinned.MAX_SEQUENCES
        self.limits = Limits(rows=min(most, self.n_batch), cells=library.llama_n_ctx(self.context), tokens=self.n_batch)

    def _new_context(self, sequences: int) -> None:
        library, params = self.library, self._params
        params.n_seq_max = params.n_outputs_max = sequences  # else outputs are reserved for a whole batch
        if self.context:
            library.llama_free(self.context)
        with deferred_interrupt():
            self.context = library.llama_init_from_model(self.handle, params)
        if not self.context:
            raise UnavailableError(f"model {self._path} cannot be run: {last_error()}")
        self._adapters.attach(self.context)
        self._memory = library.llama_get_memory(self.context)
        if not self._memory:
            raise UnavailableError(f"model {self._path} ({self.info.architecture}) does not generate text")

    def reserve(self, rows: int) -> None:
        """Reserve space for `rows` sequences, at most `limits.rows`; a new context, if needed, has an empty cache.

        Most queries need one row, and with Gemma's vocabulary the logits of 256 take a quarter of a gigabyte.
        """
        if rows > self._params.n_seq_max:
            self._new_context(min(1 << (rows - 1).bit_length(), self.limits.rows))

    def _metadata(self, key: str) -> str:
        text = buffer(256)
        size = self.library.llama_model_meta_val_str(self.handle, key.encode(), text, len(text))
        return text.value.decode("utf-8", "replace") if size >= 0 else ""

    # -- tokens -------------------------------------------------------------------------------------------

    def tokenize(self, text: str, *, first: bool) -> list[int]:
        """Tokens of one text, BOS before the `first` where the model wants it; control tokens only in `Control`."""
        parse_special = isinstance(text, Control)
        tokens = self._tokenize(text, add_special=first, parse_special=parse_special)
        if first and tokens and self.library.llama_vocab_get_add_eos(self._vocab) and self.is_end(tokens[-1]):
            tokens.pop()  # the delimiter must be last
        return tokens

    def with_one_bos(self, tokens: list[int]) -> list[int]:
        """Tokens of a chat template without a second BOS: some templates contain BOS, and llama.cpp adds one."""
        bos = self.library.llama_vocab_bos(self._vocab)
        return tokens[1:] if tokens[:2] == [bos, bos] else tokens

    def safe_texts(self, text: str) -> list[str]:
        """The text, cut inside any image marker of the vocabulary, so that none is read as one.

        llama.cpp leaves control tokens alone unless asked, but always parses user-defined tokens, and some
        vocabularies (Gemma 3) have ``<start_of_image>`` among those.
        """
        if isinstance(text, Control):
            return [text]
        found = {match for match in pinned.MARKER.findall(text) if len(self._tokenize(match)) == 1}
        if not found:
            return [text]
        return re.split("|".join(f"(?<={re.escape(m[0])})(?={re.escape(m[1:])})" for m in sorted(found)), text)

    def _tokenize(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        data = text.encode("utf-8", "replace")
        tokens = np.empty(len(data) + 8, np.int32)
        count = self.library.llama_tokenize(
            self._vocab, data, len(data), address(tokens), len(tokens), add_special, parse_special
        )
        if count < 0:
            raise TvError(f"llama.cpp cannot tokenize a text of {len(data)} bytes")
        return [int(token) for token in tokens[:count]]

    def chat_template(self) -> Chat | None:
        """The model's own chat template, with the texts of its BOS and EOS (empty if it has none)."""
        template = self.library.llama_model_chat_template(self.handle, None)
        if not template:
            return None
        return Chat(template.decode("utf-8", "replace"), self._special_text("bos"), self._special_text("eos"))

    def _special_text(self, name: str) -> str:
        """The text of a token that the file names, or an empty string; llama.cpp alone would invent one."""
        token = self._metadata(f"tokenizer.ggml.{name}_token_id")
        known = token and int(token) < self.n_vocab
        return self.text([int(token)], special=True) if known else ""

    def first_token(self) -> int:
        """BOS, or any token where there is none."""
        return max(0, int(self.library.llama_vocab_bos(self._vocab)))

    def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        return b"".join(self.piece(token, special=special) for token in tokens).decode("utf-8", "replace")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """A token's bytes (``llama_token_to_piece``); empty for control tokens unless `special`."""
        data = buffer(64)
        size = self.library.llama_token_to_piece(self._vocab, token, data, len(data), 0, special)
        if size < 0:
            data = buffer(-size)
            size = self.library.llama_token_to_piece(self._vocab, token, data, len(data), 0, special)
        return bytes(data.raw[:size])

    def is_end(self, token: int) -> bool:
        return bool(self.library.llama_vocab_is_eog(self._vocab, token))

    # -- the KV cache -------------------------------------------------------------------------------------

    def clear(self, *, data: bool) -> None:
        """Remove all sequences; with `data` also zero the cells, since a mask does not hide NaN."""
        self.library.llama_memory_clear(self._memory, data)

    def share(self, source: int, target: int) -> None:
        """Give sequence `target` the cells that `source` has so far, without a copy."""
        self.library.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    # -- compute ------------------------------------------------------------------------------------------

    def decode(self, tokens: np.ndarray, positions: np.ndarray, sequences: np.ndarray, *, logits: bool) -> None:
        """One ``llama_decode`` of n rows: int (n,) each; with `logits`, `row_logits` then has all of them."""
        n = len(tokens)
        if logits and n > self._params.n_outputs_max:  # llama.cpp would abort the process
            raise ValueError(f"space is reserved for the logits of {self._params.n_outputs_max} rows, not of {n}")
        token = np.ascontiguousarray(tokens, np.int32)
        self._decode(n, address(token), None, positions, sequences, logits=logits)

    def decode_embeddings(self, embeddings: np.ndarray, position: int, sequence: int, *, causal: bool) -> None:
        """Vectors in the place of token embeddings, float32 (n, n_embd_inp), from `position` on, without logits.

        Not `causal`, every one of them attends to all of them; they must then fit `n_batch`.
        """
        count = len(embeddings)
        positions, sequences = np.arange(position, position + count), np.full(count, sequence)
        self.library.llama_set_causal_attn(self.context, causal)  # does nothing if it is so already
        try:
            for start in range(0, count, self.n_batch):
                rows = np.ascontiguousarray(embeddings[start : start + self.n_batch], np.float32)
                places = slice(start, start + len(rows))
                self._decode(len(rows), None, address(rows), positions[places], sequences[places], logits=False)
        finally:
            self.library.llama_set_causal_attn(self.context, True)

    def _decode(
        self,
        n: int,
        tokens: int | None,
        embeddings: int | None,
        positions: np.ndarray,
        sequences: np.ndarray,
        *,
        logits: bool,
    ) -> None:
        """One ``llama_decode`` of `n` rows, of which `tokens` or `embeddings` is the address."""
        position, sequence = (np.ascontiguousarray(a, np.int32) for a in (positions, sequences))
        counts, wanted = np.ones(n, np.int32), np.full(n, logits, np.int8)
        pointers = (address(sequence) + sequence.itemsize * np.arange(n)).astype(np.uintp)
        batch = self.library.llama_batch(
            n, tokens, embeddings, address(position), address(counts), address(pointers), address(wanted)
        )
        with deferred_interrupt():
            code = self.library.llama_decode(self.context, batch)
            if logits:
                self.library.llama_synchronize(self.context)  # a GPU or server may still compute; Ctrl-C must work
        self.hook.raise_pending()
        if code != 0:
            raise TvError(f"llama.cpp failed to decode {n} tokens (code {code}): {last_error()}")

    def row_logits(self, row: int) -> np.ndarray:
        """A row's logits of the latest decode, float32 (V,); a copy."""
        return np.array(self._logits(row))

    def top(self, row: int) -> tuple[int, float, float]:
        """The top token of a row of the latest decode (ties: the lowest id), its logit, and the second-best logit."""
        logits = self._logits(row)
        best = int(logits.argmax())
        first = float(logits[best])
        logits[best] = -np.inf
        second = float(logits.max())
        logits[best] = first
        return best, first, second

    def fault(self, row: int) -> str:
        """The `protocol.fault` of a row of the latest decode, or an empty string."""
        return fault(self._logits(row))

    def _logits(self, row: int) -> np.ndarray:
        """A view into llama.cpp's buffer, float32 (V,), valid until the next decode: it must not leave this class."""
        return floats(self.library.llama_get_logits_ith(self.context, row), self.n_vocab)

    def set_control_vector(self, rows: np.ndarray | None) -> None:
        """Add row l - 1 of float32 (L - 1, D) to the output of layer l ≥ 1; `None` removes it again."""
        n_layer, n_embd = self.info.n_layer, self.info.n_embd
        if rows is None:
            self.library.llama_set_adapter_cvec(self.context, None, 0, n_embd, -1, -1)
            return
        data = np.ascontiguousarray(rows, np.float32)
        self.library.llama_set_adapter_cvec(self.context, address(data), data.size, n_embd, 1, n_layer)


def _progress_callback(library: Library, report: Callable[[float], None], interrupted: list[int]) -> Any:
    """A ``llama_progress_callback`` that stops the loading after Ctrl-C."""

    def callback(fraction: float, _: object) -> bool:
        report(fraction)
        return not interrupted

    return library.llama_progress_callback(callback)
