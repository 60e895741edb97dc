"""A GGUF model with its context: tokens in, logits out, the hook on the way. All of llama.cpp but images."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvcli.engine import devices, runtime
from tvcli.engine.gguf_file import gguf_digest, quantization
from tvcli.engine.hook import ResidualHook
from tvcli.engine.plan import Limits
from tvcli.engine.protocol import Settings
from tvcli.engine.runtime import C
from tvcli.errors import TvError, UnavailableError
from tvcli.prompts import Control
from tvcli.vector import ModelInfo

DEFAULT_CONTEXT = 4096  # cells; a 30-shot prompt with images fits, and LLaVA-7B's cache stays at 2 GB
MAX_BATCH = 2048  # one micro-batch, so that a non-causal image (Gemma) is never cut
MAX_SEQUENCES = 256  # llama.cpp's LLAMA_MAX_SEQ
MAX_RECURRENT_SEQUENCES = 32  # recurrent models keep a whole state for each
MARKER = re.compile(r"[<\[][^\s<>\[\]]*(?:image|img|vision|video|audio|turn|media)[^\s<>\[\]]*[>\]]", re.IGNORECASE)


class Decoder:
    """Owns ``llama_model`` and ``llama_context``, and keeps the hook's callback alive with them."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """Raises UnavailableError if llama.cpp cannot load the file, or it is no decoder-only language model.

        See `devices.model_devices` for what RPC servers may raise.
        """
        self.handle: Any = None  # llama_model *
        self.context: Any = None  # llama_context *
        try:
            self._load(path, settings)
            self._open_context(path, settings)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free both; safe to call twice, or after a failed construction."""
        if self.context:
            C.llama_free(self.context)
        if self.handle:
            C.llama_model_free(self.handle)
        self.context = self.handle = None

    def _load(self, path: Path, settings: Settings) -> None:
        params = C.llama_model_default_params()
        params.n_gpu_layers = -1 if settings.gpu_layers is None else settings.gpu_layers
        if settings.rpc:
            self._devices = devices.model_devices(settings.rpc)
            params.devices = ctypes.addressof(self._devices)
        runtime.forget_errors()
        with runtime.deferred_interrupt() as interrupted:
            if settings.progress is not None:
                params.progress_callback = _progress_callback(settings.progress, interrupted)
            self.handle = C.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise UnavailableError(f"model {path} cannot be loaded: {runtime.last_error()}")
        self._vocab = C.llama_model_get_vocab(self.handle)
        self.n_vocab = C.llama_vocab_n_tokens(self._vocab)
        self.info = ModelInfo(
            architecture=self._metadata("general.architecture"),
            name=self._metadata("general.name") or path.stem,
            n_layer=C.llama_model_n_layer(self.handle),
            n_embd=C.llama_model_n_embd(self.handle),
            quantization=quantization(self._metadata("general.file_type")),
            digest=gguf_digest(path),
        )
        self._check_kind(path)

    def _check_kind(self, path: Path) -> None:
        """Refuse, by name, what llama.cpp loads but never asks for a next token; nothing has been computed yet."""
        architecture = self.info.architecture
        pooled = self._metadata(f"{architecture}.pooling_type") not in ("", "0")  # LLAMA_POOLING_TYPE_NONE
        both_ways = self._metadata(f"{architecture}.attention.causal") == "false"
        kind = ""
        if C.llama_model_has_encoder(self.handle) or not C.llama_model_has_decoder(self.handle):
            kind = "an encoder-decoder or draft model"
        elif C.llama_model_is_diffusion(self.handle):
            kind = "a diffusion model"
        elif pooled or both_ways:
            kind = "an embedding model"
        if kind:
            raise UnavailableError(f"model {path} ({architecture}) is {kind}; tv needs a decoder-only language model")

    def _open_context(self, path: Path, settings: Settings) -> None:
        recurrent = C.llama_model_is_recurrent(self.handle) or C.llama_model_is_hybrid(self.handle)
        self.hook = ResidualHook(self.info.n_layer, self.info.n_embd)
        params = C.llama_context_default_params()
        params.n_ctx = settings.context or DEFAULT_CONTEXT
        params.n_batch = params.n_ubatch = self.n_batch = min(MAX_BATCH, params.n_ctx)
        params.n_seq_max = MAX_RECURRENT_SEQUENCES if recurrent else MAX_SEQUENCES
        params.n_outputs_max = params.n_seq_max  # else the output buffer is reserved for a whole batch
        params.n_threads = params.n_threads_batch = settings.threads or runtime.default_threads()
        params.kv_unified = True  # sequences share the cells of a prefix
        params.swa_full = True  # a sliding window would drop cells that a copied sequence still needs
        params.no_perf = True
        params.cb_eval = self.hook.callback
        with runtime.deferred_interrupt():
            self.context = C.llama_init_from_model(self.handle, params)
        if not self.context:
            raise UnavailableError(f"model {path} cannot be run: {runtime.last_error()}")
        self._memory = C.llama_get_memory(self.context)
        if not self._memory:
            raise UnavailableError(f"model {path} ({self.info.architecture}) does not generate text")
        self.limits = Limits(rows=min(params.n_seq_max, self.n_batch), cells=C.llama_n_ctx(self.context))

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        size = C.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if size >= 0 else ""

    # -- tokens -------------------------------------------------------------------------------------------

    def tokenize(self, text: str, *, first: bool) -> list[int]:
        """Tokens of one text, BOS before the `first` where the model wants it; control tokens only in `Control`."""
        parse_special = isinstance(text, Control)
        tokens = self._tokenize(text, add_special=first, parse_special=parse_special)
        if first and tokens and C.llama_vocab_get_add_eos(self._vocab) and self.is_end(tokens[-1]):
            tokens.pop()  # the delimiter must be last
        return tokens

    def safe_texts(self, text: str) -> list[str]:
        """The text, cut inside any image marker of the vocabulary, so that none is read as one.

        llama.cpp leaves control tokens alone unless asked, but always parses user-defined tokens, and some
        vocabularies (Gemma 3) have ``<start_of_image>`` among those.
        """
        if isinstance(text, Control):
            return [text]
        found = {match for match in MARKER.findall(text) if len(self._tokenize(match)) == 1}
        if not found:
            return [text]
        return re.split("|".join(f"(?<={re.escape(m[0])})(?={re.escape(m[1:])})" for m in sorted(found)), text)

    def _tokenize(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        data = text.encode("utf-8", "replace")
        buffer = (C.llama_token * (len(data) + 8))()
        count = C.llama_tokenize(self._vocab, data, len(data), buffer, len(buffer), add_special, parse_special)
        if count < 0:
            raise TvError(f"llama.cpp cannot tokenize a text of {len(data)} bytes")
        return list(buffer[:count])

    def chat_template(self) -> str:
        """The model's own, or nothing."""
        template = C.llama_model_chat_template(self.handle, None)
        return template.decode("utf-8", "replace") if template else ""

    def first_token(self) -> int:
        """BOS, or any token where there is none."""
        return max(0, int(C.llama_vocab_bos(self._vocab)))

    def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        return b"".join(self.piece(token, special=special) for token in tokens).decode("utf-8", "replace")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """A token's bytes (``llama_token_to_piece``); empty for control tokens unless `special`."""
        buffer = ctypes.create_string_buffer(64)
        size = C.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = C.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return buffer.raw[:size]

    def is_end(self, token: int) -> bool:
        return bool(C.llama_vocab_is_eog(self._vocab, token))

    # -- the KV cache -------------------------------------------------------------------------------------

    def clear(self, *, data: bool) -> None:
        """Forget all sequences; with `data` also zero the cells, since a mask does not hide NaN."""
        C.llama_memory_clear(self._memory, data)

    def share(self, source: int, target: int) -> None:
        """Let sequence `target` have what `source` has so far, without a copy."""
        C.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    # -- compute ------------------------------------------------------------------------------------------

    def decode(self, tokens: np.ndarray, positions: np.ndarray, sequences: np.ndarray, *, logits: bool) -> None:
        """One ``llama_decode`` of n rows: int (n,) each; with `logits`, `row_logits` has all of them after."""
        n = len(tokens)
        token, position, sequence = (np.ascontiguousarray(a, np.int32) for a in (tokens, positions, sequences))
        counts, wanted = np.ones(n, np.int32), np.full(n, logits, np.int8)
        pointers = (sequence.ctypes.data + sequence.itemsize * np.arange(n)).astype(np.uintp)
        int32_p, int8_p = ctypes.POINTER(ctypes.c_int32), ctypes.POINTER(ctypes.c_int8)
        batch = C.llama_batch(
            n,
            token.ctypes.data_as(int32_p),
            None,
            position.ctypes.data_as(int32_p),
            counts.ctypes.data_as(int32_p),
            pointers.ctypes.data_as(ctypes.POINTER(int32_p)),
            wanted.ctypes.data_as(int8_p),
        )
        with runtime.deferred_interrupt():
            code = C.llama_decode(self.context, batch)
            if logits:
                C.llama_synchronize(self.context)  # a GPU or server may still be at it, where Ctrl-C must be heard
        self.hook.raise_pending()
        if code != 0:
            raise TvError(f"llama.cpp failed to decode {n} tokens (code {code}): {runtime.last_error()}")

    def row_logits(self, row: int) -> np.ndarray:
        """A view into llama.cpp's buffer, float32 (V,), valid until the next decode."""
        return np.ctypeslib.as_array(C.llama_get_logits_ith(self.context, row), (self.n_vocab,))

    def set_control_vector(self, rows: np.ndarray | None) -> None:
        """Add row l - 1 of float32 (L - 1, D) to the output of layer l ≥ 1; `None` removes it again."""
        n_layer, n_embd = self.info.n_layer, self.info.n_embd
        if rows is None:
            C.llama_set_adapter_cvec(self.context, None, 0, n_embd, -1, -1)
            return
        data = np.ascontiguousarray(rows, np.float32)
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        C.llama_set_adapter_cvec(self.context, pointer, data.size, n_embd, 1, n_layer)


def _progress_callback(report: Callable[[float], None], interrupted: list[int]) -> Any:
    """A ``llama_progress_callback`` that stops the loading after Ctrl-C."""

    def callback(fraction: float, _: object) -> bool:
        report(fraction)
        return not interrupted

    return C.llama_progress_callback(callback)
