"""An image encoder outside llama.cpp whose results are kept on disk, so that every image is encoded once."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tvcli.encoded import EncodedImage, load_encoded, to_bytes
from tvcli.engine.gguf.checked import WEIGHTS, checked
from tvcli.errors import UnavailableError
from tvcli.files import make_folder, read_bytes, replacing, user_cache
from tvcli.images import Image
from tvcli.models.vision_half.files import CONFIG, PROCESSOR, VisionHalf
from tvcli.progress import Meter, silent

log = logging.getLogger(__name__)
INSTALL = "pip install 'tvcli[transformers]'"
PROGRAMS = ("torch", "transformers")  # of the extra
RULES = 1  # of what is kept; another number where tv itself changes it
MOST_IN_MEMORY = 32  # images; one of Idefics2 takes 1 MB, one of LLaVA-1.5 9.4 MB

Run = Callable[[Image], EncodedImage]


class KeptEncoder:
    """Implements `protocol.ImageEncoder`. `load` makes the function that encodes, when the first image needs it."""

    def __init__(self, identity: str, load: Callable[[], Run]) -> None:
        self.identity = identity
        self._load = load
        self._run: Run | None = None
        self._recent: dict[bytes, EncodedImage] = {}
        self.encoded = 0

    def encode(self, image: Image) -> EncodedImage:
        """From memory, from disk, or computed. Raises UnavailableError if the encoder cannot be run."""
        found = self._recent.pop(image.digest, None) or self._kept(image) or self._computed(image)
        self._recent[image.digest] = found
        if len(self._recent) > MOST_IN_MEMORY:
            del self._recent[next(iter(self._recent))]
        return found

    def forget(self, image: Image) -> None:
        self._recent.pop(image.digest, None)

    def close(self) -> None:
        self._run = None
        self._recent.clear()

    def _kept(self, image: Image) -> EncodedImage | None:
        path = self._path(image)
        with suppress(UnavailableError):  # not there, or damaged: it is computed
            return load_encoded(path, image.name)
        return None

    def _computed(self, image: Image) -> EncodedImage:
        if self._run is None:
            self._run = self._load()
        log.debug("%s: encoded by the model's own image encoder", image.name)
        found = self._run(image)
        self.encoded += 1
        path = self._path(image)
        try:
            make_folder(path.parent)
            with replacing(path) as temporary:
                temporary.write_bytes(to_bytes(found))
        except UnavailableError as error:
            log.warning("encoded images cannot be kept: %s", error)
        return found

    def _path(self, image: Image) -> Path:
        return user_cache() / "encoded" / self.identity / f"{image.digest.hex()}.npz"


def open_encoder(
    half: VisionHalf,
    threads: int | None = None,
    progress: Callable[[float], None] | None = None,
    meter: Meter = silent,
) -> KeptEncoder:
    """The encoder of a vision half; PyTorch and the weights are loaded with the first image that is not kept.

    `progress` is called with 0 to 1 while the weights are read for the first time.

    Raises:
        UnavailableError: the extra is not installed, or a file that cannot be read.
    """
    missing = [name for name in PROGRAMS if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(f"the image encoder of {half.source} needs {' and '.join(missing)}; run: {INSTALL}")

    return KeptEncoder(_identity(half, progress), lambda: load_half(half, threads, meter))


def load_half(half: VisionHalf, threads: int | None, meter: Meter) -> Run:
    from tvcli.models.vision_half.run import load  # loads PyTorch, which takes seconds

    return load(half, threads, meter)


def _identity(half: VisionHalf, progress: Callable[[float], None] | None) -> str:
    """Of all that its image tokens depend on: settings, weights, the family's options, and the programs' versions."""
    facts: list[object] = [RULES, half.family, *(importlib.metadata.version(name) for name in PROGRAMS)]
    facts += [read_bytes(half.folder / name, "file") for name in (CONFIG, PROCESSOR)]
    facts += [checked(path, WEIGHTS, progress).digest for path in half.weights]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
