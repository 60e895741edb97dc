"""Small vocabularies of the kinds that the families use: byte-level BPE, SentencePiece, and a mixture of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6  # llama_token_type
WORDS = (" the", " capital", " country", " France", " Paris", " Peru", " Lima", "Greece", "France", "word", "\n\n")


def byte_bpe(pre: str, control: Sequence[str] = (), *, bos: str = "", eos: str = "<|endoftext|>") -> dict[str, Any]:
    """GPT-2's kind: 256 bytes, `WORDS` and their beginnings, then control tokens. `pre` names the splitting rule."""
    letters = _printable_bytes()
    tokens, merges = _merged(letters, ["".join(letters[byte] for byte in word.encode()) for word in WORDS])
    special = [eos, *filter(None, [bos]), *control]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [*tokens, *special],
        "tokenizer.ggml.token_type": [NORMAL] * len(tokens) + [CONTROL] * len(special),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": len(tokens),
        **({"tokenizer.ggml.bos_token_id": len(tokens) + 1} if bos else {}),
        "tokenizer.ggml.add_bos_token": bool(bos),
    }


def _merged(letters: Sequence[str], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tokens and merges that make each word of its letters, from its beginning on."""
    tokens, merges = list(letters), []
    for word in words:
        for end in range(1, len(word)):
            if word[: end + 1] not in tokens:
                merges.append(f"{word[:end]} {word[end]}")
                tokens.append(word[: end + 1])
    return tokens, merges


def _printable_bytes() -> list[str]:
    """GPT-2's letter for each byte: itself where it prints, else one from U+0100 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def sentencepiece(*, space_prefix: bool, user_defined: Sequence[str] = ()) -> dict[str, Any]:
    """Llama's and Gemma's kind: bytes to fall back on, characters, `WORDS` and their beginnings, with scores."""
    control = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    characters = ["▁", "\n", *map(chr, range(33, 127))]
    starts = {word[:end].replace(" ", "▁") for word in WORDS for end in range(2, len(word) + 1)}
    words = sorted((starts | {"▁Q", "▁A"}) - set(characters), key=lambda piece: (len(piece), piece))
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [*control, *bytes_, *characters, *words, *user_defined],
        "tokenizer.ggml.scores": [0.0] * (3 + 256)
        + [-1000.0 - i for i in range(len(characters))]
        + [-float(i) for i in range(len(words))]
        + [-1000.0] * len(user_defined),
        "tokenizer.ggml.token_type": [UNKNOWN, CONTROL, CONTROL]
        + [BYTE] * 256
        + [NORMAL] * (len(characters) + len(words))
        + [USER_DEFINED] * len(user_defined),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": space_prefix,
    }


def gemma4(control: Sequence[str] = ()) -> dict[str, Any]:
    """Gemma 4's kind: SentencePiece's pieces (▁ for a space, bytes to fall back on), joined by BPE's merges."""
    special, bytes_ = ["<pad>", "<eos>", "<bos>", "<unk>"], [f"<0x{byte:02X}>" for byte in range(256)]
    characters = ["▁", "\n", *map(chr, range(33, 127))]
    words = [word.replace(" ", "▁") for word in WORDS if "\n" not in word]  # no merge joins newlines
    pieces, merges = _merged(characters, words)
    tokens = [*special, *bytes_, *pieces, "\n\n", *control]
    return {
        "tokenizer.ggml.model": "gemma4",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-1000.0] * len(tokens),
        "tokenizer.ggml.token_type": [CONTROL] * 3
        + [UNKNOWN]
        + [BYTE] * 256
        + [NORMAL] * (len(pieces) + 1)
        + [CONTROL] * len(control),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
    }


def size(vocabulary: dict[str, Any]) -> int:
    return len(vocabulary["tokenizer.ggml.tokens"])
