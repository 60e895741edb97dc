"""Image tokens that are given, decoded by llama.cpp in the place of token embeddings (``llama_batch.embd``)."""

from __future__ import annotations

from dataclasses import dataclass

from tvcli.encoded import EncodedImage
from tvcli.engine.decoder import Decoder
from tvcli.engine.native import pinned
from tvcli.errors import UsageError


@dataclass(frozen=True, eq=False)
class GivenTokens:
    """The tokens of an encoded image at their place in a prompt. Implements `protocol.ImageRun`."""

    image: EncodedImage
    decoder: Decoder

    @property
    def n_tokens(self) -> int:
        return len(self.image.tokens)

    def decode(self, position: int, sequence: int) -> int:
        self.decoder.decode_embeddings(self.image.tokens, position, sequence, causal=self.image.causal is not False)
        return position + self.n_tokens


def check_given(image: EncodedImage, decoder: Decoder) -> None:
    """Raises UsageError if image tokens do not fit the model, or if it is not known how they are to be decoded."""
    if problem := _problem(image, decoder):
        raise UsageError(f"image tokens {image.name}: {problem}")


def _problem(image: EncodedImage, decoder: Decoder) -> str:
    architecture, width = decoder.info.architecture, image.tokens.shape[1]
    if architecture in pinned.ONLY_TOKENS:
        return f"llama.cpp's {architecture} takes none"
    if decoder.rope_type not in (pinned.ROPE_NONE, pinned.ROPE_NORM, pinned.ROPE_NEOX):
        return f"{architecture} has positions in rows and columns (M-RoPE), which a file of tokens does not say"
    if width != decoder.n_embd_inp:
        return f"they have a width of {width}, the model {decoder.info.name} takes {decoder.n_embd_inp}"
    if image.causal is None and architecture in pinned.BOTH_WAYS:
        return (
            f"those of {architecture} may attend to each other in both directions; "
            "save them as .npz, with causal true or false"
        )
    if image.causal is False and len(image.tokens) > decoder.n_batch:
        # llama.cpp would abort the process: without causality, an image must fit one micro-batch
        return f"{len(image.tokens)} tokens that attend in both directions do not fit the batch of {decoder.n_batch}"
    return ""
