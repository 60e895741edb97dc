"""A vision half in PyTorch: transformers' own processor and modules, without the language model's layers.

This alone imports PyTorch and transformers, the extra `transformers`. Weights are read from safetensors; no code of a
repository is run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import safetensors
import torch
import transformers
from PIL import Image as Pillow

from tvcli.encoded import EncodedImage
from tvcli.errors import TvError, UnavailableError
from tvcli.images import Image
from tvcli.models.vision_half.files import VisionHalf, is_language
from tvcli.progress import Meter

log = logging.getLogger(__name__)


def load(half: VisionHalf, threads: int | None, meter: Meter) -> Callable[[Image], EncodedImage]:
    """The function that encodes an image, in float32 on the CPU. Raises UnavailableError."""
    if threads is not None:
        torch.set_num_threads(threads)
    log.info("loading the image encoder of %s into transformers; every image is encoded once", half.source)
    with _reported(half):
        processor = transformers.AutoImageProcessor.from_pretrained(
            half.folder, backend="pil", local_files_only=True, trust_remote_code=False
        )
        model = _model(half, meter)

    def encode(image: Image) -> EncodedImage:
        with _reported(half), torch.inference_mode():
            pixels = Pillow.fromarray(image.pixels)
            inputs = processor(images=[pixels], return_tensors="pt", **half.family.options)
            features = model.get_image_features(**inputs).pooler_output
            rows = torch.cat([part.reshape(-1, part.shape[-1]) for part in features])
            tokens = np.ascontiguousarray(rows.numpy(), np.float32)
        return EncodedImage(tokens, image.name, half.family.before, half.family.after, half.family.causal)

    return encode


def _model(half: VisionHalf, meter: Meter) -> Any:
    """The model of transformers with a language model of no layers and one token, which is never run."""
    config = transformers.AutoConfig.from_pretrained(half.folder, local_files_only=True, trust_remote_code=False)
    text = config.get_text_config()
    text.num_hidden_layers, text.vocab_size, text.pad_token_id = 0, 1, None
    if getattr(text, "layer_types", None):
        text.layer_types = []
    kind = getattr(transformers, half.family.architecture)
    model, found = kind.from_pretrained(
        None, config=config, state_dict=_tensors(half, meter), dtype=torch.float32, output_loading_info=True
    )
    missing = sorted(name for name in found["missing_keys"] if not is_language(name))
    if missing:
        raise UnavailableError(f"the weights of {half.source} have no {missing[0]}")
    return model.eval()


def _tensors(half: VisionHalf, meter: Meter) -> Mapping[str, Any]:
    """The tensors that are not the language model's, by name."""
    tensors: dict[str, Any] = {}
    with meter(sum(path.stat().st_size for path in half.weights), "reading weights", in_bytes=True) as advance:
        for path in half.weights:
            with safetensors.safe_open(path, "pt") as file:
                names = [name for name in file.keys() if not is_language(name)]  # noqa: SIM118 - not a dict
                for name in names:
                    tensors[name] = file.get_tensor(name).to(torch.float32)
            advance(path.stat().st_size)
    return tensors


@contextmanager
def _reported(half: VisionHalf) -> Iterator[None]:
    """Turns whatever these programs raise over a file into one sentence, and silences what they print."""
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    try:
        yield
    except TvError:
        raise
    except Exception as error:  # settings of anyone can cause any error
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise UnavailableError(f"the image encoder of {half.source} cannot be run: {said}") from error
