"""What llama.cpp computes otherwise than the model from an mmproj file, told from the file's header.

*Class token.* The models of CLIP's kind (LLaVA) and InternVL have a class token before the patches. llama.cpp puts it
behind them, and still counts positions from the first patch (tools/mtmd/models/llava.cpp and internvl.cpp;
https://github.com/ggml-org/llama.cpp/issues/25814). Whether a library does is told from its graph
(`tvcli.engine.class_token`); here only which models are meant. Llama 4 has its class token behind the patches indeed.

*Depth.* LLaVA's projector takes the output of the encoder's last block but one (``vision_feature_layer`` -2). The only
converter of these files, tools/mtmd/legacy-models/convert_image_encoder_to_gguf.py, leaves the last block out and
counts one less; llama.cpp computes one less than that count once more, unless ``clip.vision.feature_layer`` names the
blocks (https://github.com/ggml-org/llama.cpp/issues/25817). A file needs all its blocks if it is such a file:

- not if it has ``clip.vision.feature_layer``, which the converter writes for encoders whose configuration names the
  blocks (Granite Vision), and llama.cpp obeys;
- not if it has the encoder's final norm, which that converter never writes for a projector: the scripts for moondream2
  and nanoLLaVA do, and have stored their last block twice for llama.cpp to skip one;
- an encoder of a known size (`BLOCKS`) needs them all if it holds one block less than it was trained with (23 of
  CLIP-L's 24), and is right if it holds no less;
- an encoder of another size needs them all if the file has what that converter writes about itself; else it cannot be
  known, is left as it is, and the user is told.

*Unset memory.* Pixtral's graph multiplies memory that nothing sets by zero (`tvcli.engine.unset_memory`).

*Not repaired* (`FAULTS`): seen against Hugging Face on small models with random weights (benchmarks/architectures.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tvcli.engine.gguf.header import Header

LLAVA = frozenset({"mlp", "ldp", "ldpv2"})  # projector types that models/llava.cpp gives one block less
BREAKS_ROWS = "v.token_embd.img_break"  # tools/mtmd/clip-impl.h: TN_TOK_IMG_BREAK
CLASS_FIRST = LLAVA | {"internvl"}
FEATURE_LAYER = "clip.vision.feature_layer"
LEGACY = {"clip.has_llava_projector": True, "general.description": "image encoder for LLaVA"}
BLOCKS = {  # by width and width of the feed-forward: config.json of each model on the hub
    (768, 3072): 12,  # openai/clip-vit-base-patch16, google/siglip-base-patch16-224
    (1024, 4096): 24,  # openai/clip-vit-large-patch14-336, google/siglip-large-patch16-384
    (1152, 4304): 27,  # google/siglip-so400m-patch14-384
    (1280, 5120): 32,  # laion/CLIP-ViT-H-14-laion2B-s32B-b79K, Yi-VL's
    (1408, 6144): 40,  # laion/CLIP-ViT-g-14-laion2B-s12B-b42K
    (1664, 8192): 48,  # laion/CLIP-ViT-bigG-14-laion2B-39B-b160k
}
CLASS_FIRST_SENTENCE = (
    "the class token of an image has its own position, the first, and is no image token; llama.cpp alone shifts all "
    "positions by one"
)
UNKNOWN_DEPTH = (
    "the mmproj does not show whether its last block belongs to the model; it is left out, as llama.cpp does, and "
    "image tokens may be those of a block too early"
)
FAULTS = {  # by projector type
    "llama4": "llama.cpp orders this model's image tokens by columns, not by rows (tools/mtmd/models/llama4.cpp); "
    "tv does not repair it, so answers about images are not the model's own",
    "kimivl": "llama.cpp rotates the heads of this model's image encoder in another order than the model does "
    "(tools/mtmd/models/kimivl.cpp); tv does not repair it, so answers about images are not the model's own",
}


@dataclass(frozen=True)
class Repair:
    """What tv changes so that image tokens are the model's own; `fault`: what it knows to be wrong and leaves so."""

    class_first: bool = False  # the model's class token belongs before its patches
    depth: int = 0  # blocks to compute, where llama.cpp alone computes one less; 0: as llama.cpp does
    unknown_depth: bool = False
    unset_memory: bool = False  # which llama.cpp takes for zeros
    fault: str = ""

    @property
    def identity(self) -> str:
        """What image tokens depend on besides the files and the library; an empty string if nothing is repaired."""
        class_first = ["class token first"] if self.class_first else []
        return ", ".join(class_first + ([f"{self.depth} blocks"] if self.depth else []))

    def sentences(self, *, positions: bool = True) -> list[str]:
        """What is done, for users; `positions` if the library was seen to need it, or is not loaded."""
        said = [CLASS_FIRST_SENTENCE] if self.class_first and positions else []
        if self.depth:
            said.append(f"all {self.depth} blocks of the image encoder are computed; llama.cpp alone omits the last")
        return [*said, *self.warnings]

    @property
    def warnings(self) -> list[str]:
        """What is or may be wrong with image tokens."""
        return ([UNKNOWN_DEPTH] if self.unknown_depth else []) + ([self.fault] if self.fault else [])


NONE = Repair()


def projector_of(header: Header) -> str:
    """llama.cpp's name of an mmproj file's projector, for a file of several encoders that of images."""
    return header.text("clip.projector_type") or header.text("clip.vision.projector_type")


def repair(header: Header) -> Repair:
    """The repair that an mmproj file needs."""
    projector = projector_of(header)
    class_first = projector in CLASS_FIRST and "v.class_embd" in header.tensors
    all_blocks = _all_blocks(header) if projector in LLAVA else False
    depth = header.number("clip.vision.block_count") or 0
    return Repair(
        class_first,
        depth if all_blocks else 0,
        unknown_depth=all_blocks is None,
        unset_memory=BREAKS_ROWS in header.tensors,
        fault=FAULTS.get(projector, ""),
    )


def _all_blocks(header: Header) -> bool | None:
    """Whether the projector takes the output of the last block in the file; `None` if it cannot be known."""
    if FEATURE_LAYER in header.keys or "v.post_ln.weight" in header.tensors:
        return False
    count, width, inner = (
        header.number(f"clip.vision.{key}") or 0 for key in ("block_count", "embedding_length", "feed_forward_length")
    )
    trained = BLOCKS.get((width, inner))
    if trained is None:
        return True if all(header.get(key) == value for key, value in LEGACY.items()) else None
    return count == trained - 1 if count >= trained - 1 else None
