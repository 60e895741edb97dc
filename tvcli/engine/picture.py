"""The pixels that mtmd gets of an image, and which of the tokens that it makes of them are used.

As the model (`Picture.MODEL`): all pixels of the image; mtmd resizes, pads and tiles them.

As the paper: what its reference feeds the model. xpatch_dataset.py opens the file and makes it 224 pixels wide
(`Image.papers`); the model's own Hugging Face processor resizes that, with Pillow, and normalizes it. Here tv resizes,
to a size that mtmd leaves as it is, so that mtmd only normalizes. The reference turns splitting off
(``do_image_splitting = False``): every image is one tile. Not every processor can be told from the mmproj file
(`processor_of`): with others, mtmd resizes and tiles the 224 pixels as it does any image, and a note says so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from PIL import Image as Pillow
from PIL.Image import Resampling

from tvcli.engine.gguf.repair import projector_of
from tvcli.errors import UnavailableError
from tvcli.images import Image
from tvcli.kinds import Picture

log = logging.getLogger(__name__)

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIPImageProcessor; SigLIP's is 0.5
ANY_SIZE = (1, 1 << 16)  # image tokens; mtmd would else resize below 8 or above 1024 or 4096, unlike the processors


@dataclass(frozen=True)
class Encoder:
    """What an mmproj file says of its image encoder: sides in pixels, `unit` is the side of one image token."""

    projector: str
    side: int
    unit: int
    patch: int
    longest: int  # to which Idefics3 resizes the longer side, before it makes tiles
    mean: tuple[float, ...]
    has_pinpoints: bool  # of LLaVA-NeXT

    @classmethod
    def of(cls, mmproj: Path) -> Encoder:
        """Raises UnavailableError if the file cannot be read."""
        from tvcli.engine.gguf.header import HeaderError, read_header  # not at every start: it loads the gguf package

        try:
            header = read_header(mmproj)
        except (HeaderError, OSError) as error:
            raise UnavailableError(f"mmproj {mmproj} cannot be read: {error}") from error

        def number(name: str, otherwise: int) -> int:
            return header.number(f"clip.vision.{name}") or otherwise

        projector = projector_of(header)
        merged = number("spatial_merge_size", number("projector.scale_factor", MERGED.get(projector, 1)))
        patch, side = number("patch_size", 1), number("image_size", 0)
        mean = header.get("clip.vision.image_mean")
        return cls(
            projector,
            side,
            patch * merged,
            patch,
            number("preproc_image_size", 4 * side),  # Idefics3 and SmolVLM: four tiles
            tuple(mean) if isinstance(mean, (tuple, list)) else (),
            bool(header.get("clip.vision.image_grid_pinpoints")),
        )


# tools/mtmd/clip.cpp: hparams.n_merge, where the file does not give it
MERGED = {"qwen2vl_merger": 2, "qwen2.5vl_merger": 2, "qwen3vl_merger": 2, "gemma4v": 3, "gemma4uv": 3}

Resize = Callable[[Pillow.Image, Encoder], Pillow.Image]
Pieces = list[Any]  # what mtmd makes of one image: lists of text tokens, and chunks of image tokens, in order
Untile = Callable[[Pieces], Pieces]


@dataclass(frozen=True)
class Processor:
    """A Hugging Face image processor without splitting, and how mtmd is kept from resizing again.

    `limits` are mtmd's bounds on an image's tokens; `untiled` keeps of all that mtmd makes of an image what belongs to
    its one tile (`None`: it makes no others).
    """

    resize: Resize
    limits: Callable[[Encoder], tuple[int, int]] = lambda encoder: (-1, -1)
    untiled: Untile | None = None


# -- sizes ------------------------------------------------------------------------------------------------------------


def _square(image: Pillow.Image, encoder: Encoder, how: Resampling = Resampling.BICUBIC) -> Pillow.Image:
    """Stretched to the encoder's square (SiglipImageProcessor, Gemma3ImageProcessor, GotOcr2ImageProcessor)."""
    return image.resize((encoder.side, encoder.side), how)


def _cropped(image: Pillow.Image, encoder: Encoder) -> Pillow.Image:
    """The shorter side resized, then the center cut out (CLIPImageProcessor)."""
    side = encoder.side
    width, height = (int(side * n / min(image.size)) for n in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    return image.resize((width, height), Resampling.BICUBIC).crop((left, top, left + side, top + side))


def _longest_first(image: Pillow.Image, encoder: Encoder) -> Pillow.Image:
    """The longer side resized, the other one to an even number, then stretched to a square (Idefics3ImageProcessor)."""
    width, height = image.size
    ratio, longest = width / height, encoder.longest
    if width >= height:
        width, height = longest, _even(int(longest / ratio))
    else:
        width, height = _even(int(longest * ratio)), longest
    return _square(image.resize((max(width, 1), max(height, 1)), Resampling.LANCZOS), encoder, Resampling.LANCZOS)


def _even(length: int) -> int:
    return length + length % 2


def _bounded(
    image: Pillow.Image, encoder: Encoder, *, least: int, most: int, at_least_one: bool = False, how: Resampling
) -> Pillow.Image:
    """Sides that are multiples of the unit, and `least` to `most` pixels (``smart_resize``)."""
    unit, (width, height) = encoder.unit, image.size
    wide, high = (max(round(n / unit), int(at_least_one)) * unit for n in (width, height))
    if wide * high > most:
        scale = math.sqrt(width * height / most)
        wide, high = (max(unit, math.floor(n / scale / unit) * unit) for n in (width, height))
    elif wide * high < least:
        scale = math.sqrt(least / (width * height))
        wide, high = (math.ceil(n * scale / unit) * unit for n in (width, height))
    return image.resize((wide, high), how)


def _by_tokens(image: Pillow.Image, encoder: Encoder) -> Pillow.Image:
    """64 to 256 tokens (Lfm2VlImageProcessor)."""
    least, most = (tokens * encoder.unit**2 for tokens in (64, 256))
    return _bounded(image, encoder, least=least, most=most, at_least_one=True, how=Resampling.BILINEAR)


def _rounded_up(image: Pillow.Image, encoder: Encoder) -> Pillow.Image:
    """At most 1024 pixels, then up to whole units (PixtralImageProcessor)."""
    ratio = max(max(image.size) / 1024, 1)
    wide, high = ((math.floor(n / ratio) - 1) // encoder.unit + 1 for n in image.size)
    return image.resize((wide * encoder.unit, high * encoder.unit), Resampling.BICUBIC)


def _filling(image: Pillow.Image, encoder: Encoder) -> Pillow.Image:
    """The largest size of whole units in 280 tokens (get_aspect_ratio_preserving_size of Gemma4ImageProcessor and of
    Gemma4UnifiedImageProcessor).
    """
    unit, (width, height) = encoder.unit, image.size
    scale = math.sqrt(280 * unit**2 / (width * height))
    wide, high = (math.floor(n * scale / unit) * unit for n in (width, height))
    if not high:
        wide, high = min(width // height, 280) * unit, unit
    elif not wide:
        wide, high = unit, min(height // width, 280) * unit
    return image.resize((wide, high), Resampling.BICUBIC)


def _same_area(image: Pillow.Image, encoder: Encoder) -> Pillow.Image:
    """The area of the encoder's square, in whole patches (MiniCPM-V's image_processing_minicpmv.py, find_best_resize).

    mtmd computes the size once more from this one: for some heights (of 224 pixels' width: 121, 133, 191, 216 ...) it
    takes a side one patch shorter, or the square.
    """
    ratio = image.width / image.height
    high = int(encoder.side / math.sqrt(ratio))
    wide, high = (max(round(n / encoder.patch), 1) * encoder.patch for n in (int(high * ratio), high))
    return image.resize((wide, high), Resampling.BICUBIC)


# -- tiles ------------------------------------------------------------------------------------------------------------


def _one_tile(encoder: Encoder) -> tuple[int, int]:
    """As few image tokens as mtmd's idefics3 takes: it always makes tiles, then exactly one.

    A limit also makes it take the overview directly from the image.
    """
    return -1, (encoder.side // encoder.unit) ** 2


def _overview_last(pieces: Pieces) -> Pieces:
    """mtmd writes ``<fake><row_1_col_1>`` tile ``\\n\\n<fake><global-img>`` overview ``<fake>``.

    Without splitting, Idefics3Processor writes ``<fake><global-img>`` image ``<fake>``.
    """
    _before, _tile, between, *rest = pieces
    return [between[1:], *rest]


def _overview_first(pieces: Pieces) -> Pieces:
    """mtmd writes ``<image>`` overview ``</image>``, then the tiles if there are any (MiniCPM-V)."""
    before, overview, after, *_tiles = pieces
    return [before, overview, after[:1]]


# -- processors -------------------------------------------------------------------------------------------------------


def _any_size(_encoder: Encoder) -> tuple[int, int]:
    return ANY_SIZE


def _qwen(least: int, most: int) -> Processor:
    """Qwen2VLImageProcessor; the bounds are those of the models' preprocessor_config.json."""
    return Processor(partial(_bounded, least=least, most=most, how=Resampling.BICUBIC), _any_size)


_GEMMA4 = Processor(_filling, _any_size)
_QWEN2 = _qwen(56 * 56, 28 * 28 * 16384)
SQUARE, CROPPED = Processor(_square), Processor(_cropped)
PROCESSORS: Mapping[str, Processor] = {  # by projector (tools/mtmd/clip-impl.h: PROJECTOR_TYPE_NAMES)
    "gemma3": Processor(partial(_square, how=Resampling.BILINEAR)),
    "gemma4v": _GEMMA4,
    "gemma4uv": _GEMMA4,
    "idefics3": Processor(_longest_first, _one_tile, _overview_last),
    "internvl": SQUARE,
    "lfm2": Processor(_by_tokens, _any_size),
    "pixtral": Processor(_rounded_up, _any_size),
    "qwen2vl_merger": _QWEN2,
    "qwen2.5vl_merger": _QWEN2,
    "qwen3vl_merger": _qwen(256 * 256, 4096 * 4096),
    "resampler": Processor(_same_area, untiled=_overview_first),
}


def processor_of(encoder: Encoder) -> Processor | None:
    """The model's own processor, `None` if it is not known.

    Under the projector ``mlp`` are LLaVA-1.5 (CLIP, told by its mean, which crops), models with SigLIP and
    LLaVA-NeXT (pinpoints), both of which stretch; of LLaVA-NeXT's tiles that is the first.
    """
    if encoder.projector != "mlp":
        return PROCESSORS.get(encoder.projector)
    clip = len(encoder.mean) == len(CLIP_MEAN) and np.allclose(encoder.mean, CLIP_MEAN, atol=1e-4)
    return CROPPED if clip and not encoder.has_pinpoints else SQUARE


class Preparation:
    """What is done to images before mtmd, and to what it makes of them."""

    def __init__(self, picture: Picture, mmproj: Path) -> None:
        """Raises UnavailableError if the mmproj file cannot be read."""
        self._encoder = Encoder.of(mmproj) if picture == Picture.PAPER else None
        self._processor = None if self._encoder is None else processor_of(self._encoder)
        self._made: WeakKeyDictionary[Image, Image] = WeakKeyDictionary()
        if self._encoder is not None and self._processor is None:
            log.info(
                "it is not known how the processor of %s models resizes; "
                "llama.cpp resizes the paper's image of 224 pixels' width",
                self._encoder.projector or "these",
            )

    @property
    def limits(self) -> tuple[int, int]:
        """``image_min_tokens`` and ``image_max_tokens`` of ``mtmd_context_params``."""
        if self._encoder is None or self._processor is None:
            return -1, -1
        return self._processor.limits(self._encoder)

    @property
    def untiled(self) -> Untile | None:
        """What is kept of the pieces that mtmd makes of one image, `None` for all of them."""
        return None if self._processor is None else self._processor.untiled

    def image(self, image: Image) -> Image:
        """The image that mtmd gets, made once while `image` exists."""
        if self._encoder is None:
            return image
        found = self._made.get(image)
        if found is None:
            pixels = image.papers
            if self._processor is not None:
                pixels = np.asarray(self._processor.resize(Pillow.fromarray(pixels), self._encoder))
            found = self._made[image] = Image(pixels, image.name)
        return found
