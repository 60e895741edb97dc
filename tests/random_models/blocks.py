"""What many families share: a decoder of attention and gated feed-forward blocks, and a vision transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from random_models.vocabulary import size
from random_models.writer import File, Shapes


@dataclass(frozen=True)
class Decoder:
    """Sizes of a text model. Few key-value heads, so that grouped attention is covered."""

    architecture: str
    layers: int = 4
    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    head: int = 16
    ff: int = 96

    def file(self, vocabulary: dict[str, Any], shapes: Shapes, *, tied: bool = False, **more: Any) -> File:
        """The text model's file; `more` are keys after the architecture's prefix, `__` for a dot."""
        own = {
            "context_length": 8192,
            "embedding_length": self.width,
            "block_count": self.layers,
            "feed_forward_length": self.ff,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads,
            "attention.layer_norm_rms_epsilon": 1e-5,
            "rope.freq_base": 10000.0,
            **{key.replace("__", "."): value for key, value in more.items()},
        }
        tokens = (size(vocabulary), self.width)
        head = {} if tied else {"output.weight": tokens}
        return File(
            self.architecture,
            {"general.name": f"random {self.architecture}", "general.file_type": 0}
            | {f"{self.architecture}.{key}": value for key, value in own.items()}
            | vocabulary,
            {"token_embd.weight": tokens, "output_norm.weight": (self.width,), **head, **shapes},
        )

    def attention(self, layer: int, *, bias: bool = False, head_norms: bool = False) -> Shapes:
        rows = {"q": self.heads * self.head, "k": self.kv_heads * self.head, "v": self.kv_heads * self.head}
        at = f"blk.{layer}."
        return {
            f"{at}attn_norm.weight": (self.width,),
            **{f"{at}attn_{x}.weight": (n, self.width) for x, n in rows.items()},
            **({f"{at}attn_{x}.bias": (n,) for x, n in rows.items()} if bias else {}),
            **({f"{at}attn_{x}_norm.weight": (self.head,) for x in "qk"} if head_norms else {}),
            f"{at}attn_output.weight": (self.width, self.heads * self.head),
        }

    def feed_forward(self, layer: int) -> Shapes:
        at = f"blk.{layer}."
        return {
            f"{at}ffn_norm.weight": (self.width,),
            f"{at}ffn_gate.weight": (self.ff, self.width),
            f"{at}ffn_up.weight": (self.ff, self.width),
            f"{at}ffn_down.weight": (self.width, self.ff),
        }

    def experts(self, layer: int, count: int, ff: int) -> Shapes:
        """A router's matrix, and those of all experts."""
        at = f"blk.{layer}."
        return {
            f"{at}ffn_gate_inp.weight": (count, self.width),
            f"{at}ffn_gate_exps.weight": (count, ff, self.width),
            f"{at}ffn_up_exps.weight": (count, ff, self.width),
            f"{at}ffn_down_exps.weight": (count, self.width, ff),
        }

    def shared_expert(self, layer: int, ff: int) -> Shapes:
        """One that every token gets."""
        at = f"blk.{layer}."
        return {
            f"{at}ffn_gate_shexp.weight": (ff, self.width),
            f"{at}ffn_up_shexp.weight": (ff, self.width),
            f"{at}ffn_down_shexp.weight": (self.width, ff),
        }

    def blocks(self, *, bias: bool = False, head_norms: bool = False) -> Shapes:
        shapes: Shapes = {}
        for layer in range(self.layers):
            shapes |= self.attention(layer, bias=bias, head_norms=head_norms) | self.feed_forward(layer)
        return shapes


@dataclass(frozen=True)
class VisionTransformer:
    """Sizes of an image encoder; `image` and `patch` in pixels."""

    image: int
    patch: int = 14
    layers: int = 2
    width: int = 64
    heads: int = 4
    ff: int = 96

    @property
    def patches(self) -> int:
        return (self.image // self.patch) ** 2

    def file(self, projector: str, text_width: int, shapes: Shapes, **more: Any) -> File:
        """The mmproj file; `more` are keys after ``clip.``, `__` for a dot."""
        vision = {
            "image_size": self.image,
            "patch_size": self.patch,
            "embedding_length": self.width,
            "feed_forward_length": self.ff,
            "projection_dim": text_width,
            "block_count": self.layers,
            "attention.head_count": self.heads,
            "attention.layer_norm_epsilon": 1e-6,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.25, 0.25, 0.25],
        }
        return File(
            "clip",
            {"general.type": "mmproj", "general.file_type": 0}
            | {"clip.has_vision_encoder": True, "clip.projector_type": projector}
            | {f"clip.vision.{key}": value for key, value in vision.items()}
            | {f"clip.{key.replace('__', '.')}": value for key, value in more.items()},
            {"v.patch_embd.weight": (self.width, 3, self.patch, self.patch), **shapes},
        )

    def blocks(self, *, bias: bool = True, gated: bool = False, fused: bool = False, scaled: bool = False) -> Shapes:
        """Attention (`fused`: one matrix for query, key, value) and feed-forward; `scaled` as in InternVL."""
        rows = {"attn_qkv": 3 * self.width} if fused else {f"attn_{x}": self.width for x in "qkv"}
        matrices = {name: (n, self.width) for name, n in rows.items()} | {"attn_out": (self.width, self.width)}
        matrices |= {"ffn_gate": (self.ff, self.width)} if gated else {}
        matrices |= {"ffn_up": (self.ff, self.width), "ffn_down": (self.width, self.ff)}
        shapes: Shapes = {}
        for layer in range(self.layers):
            at = f"v.blk.{layer}."
            shapes |= {f"{at}{name}.weight": shape for name, shape in matrices.items()}
            shapes |= {f"{at}{name}.bias": shape[:1] for name, shape in matrices.items()} if bias else {}
            shapes |= {f"{at}ls{n}.weight": (self.width,) for n in (1, 2)} if scaled else {}
            for norm in ("ln1", "ln2"):
                shapes |= self.norm(f"{at}{norm}", bias=bias)
        return shapes

    def norm(self, name: str, *, bias: bool = True) -> Shapes:
        kinds = ("weight", "bias") if bias else ("weight",)
        return {f"{name}.{kind}": (self.width,) for kind in kinds}

    def embedding(self, *, bias: bool = True, classes: int = 0) -> Shapes:
        """Learned positions, and `classes` tokens in front."""
        shapes: Shapes = {"v.position_embd.weight": (self.patches + classes, self.width)}
        if bias:
            shapes["v.patch_embd.bias"] = (self.width,)
        if classes:
            shapes["v.class_embd"] = (self.width,)
        return shapes


def linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})
