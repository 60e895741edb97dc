"""Models that llama.cpp loads but tv cannot use: no next token, or no residual stream that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from random_models import gemma, lfm2, llama, qwen
from random_models.blocks import Decoder, linear
from random_models.recurrent import KERNEL, STATE
from random_models.vocabulary import CONTROL, NORMAL, byte_bpe, sentencepiece, size
from random_models.writer import File, Shapes


def _renamed(file: File, architecture: str, **more: Any) -> File:
    """The same tensors under another architecture's name."""
    old, new = f"{file.architecture}.", f"{architecture}."
    metadata = {key.replace(old, new) if key.startswith(old) else key: value for key, value in file.metadata.items()}
    return replace(file, architecture=architecture, metadata=metadata | {new + k: v for k, v in _dotted(more).items()})


def _dotted(keys: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("__", "."): value for key, value in keys.items()}


def t5() -> File:
    """An encoder whose states the decoder attends to."""
    text = Decoder("t5", layers=1, kv_heads=4)
    shapes: Shapes = {"enc.output_norm.weight": (text.width,), "dec.output_norm.weight": (text.width,)}
    for side, parts in {"enc": ["attn"], "dec": ["attn", "cross_attn"]}.items():
        at = f"{side}.blk.0."
        for part in parts:
            shapes[f"{at}{part}_norm.weight"] = (text.width,)
            shapes |= {f"{at}{part}_{x}.weight": (text.width, text.width) for x in "qkvo"}
        shapes |= {name.replace("blk.0.", at): shape for name, shape in text.feed_forward(0).items()}
        shapes[f"{at}attn_rel_b.weight"] = (32, text.heads)
    vocabulary = sentencepiece(space_prefix=True) | {"tokenizer.ggml.model": "t5"}
    file = text.file(vocabulary, shapes, attention__relative_buckets_count=32, decoder_start_token_id=0)
    return replace(file, shapes={name: s for name, s in file.shapes.items() if name != "output_norm.weight"})


def _wordpiece() -> dict[str, Any]:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*(f"▁{chr(c)}" for c in range(33, 127)), *(chr(c) for c in range(33, 127)), "▁the", "▁capital"]
    ids = {"padding": 0, "unknown": 1, "cls": 2, "seperator": 3, "mask": 4, "bos": 2, "eos": 3}
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": [*special, *words],
        "tokenizer.ggml.token_type": [CONTROL] * len(special) + [NORMAL] * len(words),
        "tokenizer.ggml.token_type_count": 2,
        **{f"tokenizer.ggml.{name}_token_id": number for name, number in ids.items()},
    }


def _bert(architecture: str, *, gated: bool) -> File:
    text, vocabulary = Decoder(architecture, layers=2, kv_heads=4), _wordpiece()
    norms = ["token_embd_norm", *(f"blk.{i}.{n}_output_norm" for i in range(2) for n in ("attn", "layer"))]
    shapes: Shapes = {"token_types.weight": (2, text.width)}
    shapes |= {} if gated else {"position_embd.weight": (8192, text.width)}
    shapes |= {f"{norm}.{part}": (text.width,) for norm in norms for part in ("weight", "bias")}
    for layer in range(2):
        blocks = text.attention(layer) | text.feed_forward(layer)
        unused = ("attn_norm", "ffn_norm") if gated else ("attn_norm", "ffn_norm", "ffn_gate")
        shapes |= {name: shape for name, shape in blocks.items() if not name.removesuffix(".weight").endswith(unused)}
    keys = {"attention__causal": False, "attention__layer_norm_epsilon": 1e-12, "pooling_type": 1}
    file = text.file(vocabulary, shapes, tied=True, **keys)
    return replace(file, shapes={name: s for name, s in file.shapes.items() if name != "output_norm.weight"})


def plamo2() -> File:
    """Mamba and attention; llama.cpp's graph names no ``l_out``."""
    text = Decoder("plamo2", layers=2)
    inner, steps = 2 * text.width, 64
    at, rows = "blk.0.", (2 * text.kv_heads + text.heads) * text.head
    shapes: Shapes = {
        f"{at}ssm_in.weight": (2 * inner, text.width),
        f"{at}ssm_conv1d.weight": (inner, KERNEL),
        f"{at}ssm_x.weight": (steps + 2 * STATE, inner),
        f"{at}ssm_dt.weight": (4, steps),
        f"{at}ssm_dt.bias": (4,),
        f"{at}ssm_a": (4,),
        f"{at}ssm_d": (4,),
        f"{at}ssm_out.weight": (text.width, inner),
        f"{at}ssm_dt_norm": (steps,),
        f"{at}ssm_b_norm": (STATE,),
        f"{at}ssm_c_norm": (STATE,),
        "blk.1.attn_qkv.weight": (rows, text.width),
        "blk.1.attn_q_norm.weight": (text.heads, text.head),
        "blk.1.attn_k_norm.weight": (text.kv_heads, text.head),
        "blk.1.attn_output.weight": (text.width, text.heads * text.head),
    }
    for layer in range(2):
        at = f"blk.{layer}."
        shapes |= {f"{at}{n}": (text.width,) for n in ("attn_norm.weight", "ffn_norm.weight")}
        shapes |= {f"{at}{n}": (text.width,) for n in ("post_attention_norm", "post_ffw_norm")}
        shapes |= linear(f"{at}ffn_up", text.width, 2 * text.ff, bias=False)
        shapes |= linear(f"{at}ffn_down", text.ff, text.width, bias=False)
    keys = {
        "attention__head_count_kv": [0, text.kv_heads],
        "attention__key_length": text.head,
        "attention__value_length": text.head,
        "rope__dimension_count": text.head,
        "ssm__conv_kernel": KERNEL,
        "ssm__inner_size": inner,
        "ssm__state_size": STATE,
        "ssm__time_step_rank": 4,
        "ssm__group_count": 0,
    }
    return text.file(byte_bpe("default"), shapes, tied=True, **keys)


def gemma3n() -> File:
    """Four streams (AltUp), so that ``l_out`` has a third axis."""
    text = Decoder("gemma3n", layers=22)  # llama.cpp: keys and values of the first 20 serve all
    streams, low, deep, width = 4, 64, 256, text.width
    shapes = text.blocks(head_norms=True) | {
        "altup_proj.weight": (streams - 1, width, width),
        "altup_unembd_proj.weight": (streams - 1, width, width),
        "per_layer_token_embd.weight": (size(sentencepiece(space_prefix=False)), deep * text.layers),
        "per_layer_model_proj.weight": (deep * text.layers, width),
        "per_layer_proj_norm.weight": (deep,),
    }
    own: Shapes = {
        "post_attention_norm": (width,),
        "post_ffw_norm": (width,),
        "inp_gate": (deep, width),
        "proj": (width, deep),
        "post_norm": (width,),
        "altup_correct_coef": (streams, streams),
        "altup_correct_scale": (width,),
        "altup_predict_coef": (streams * streams, streams),
        "altup_router": (streams, width),
        "altup_router_norm": (width,),
        "laurel_l": (low, width),
        "laurel_r": (width, low),
        "laurel_post_norm": (width,),
    }
    shapes |= {f"blk.{i}.{name}.weight": shape for i in range(text.layers) for name, shape in own.items()}
    keys = {"key_length": text.head, "value_length": text.head, "sliding_window": 512}
    more = {f"attention__{key}": value for key, value in keys.items()}
    return text.file(sentencepiece(space_prefix=False), shapes, tied=True, **more)


def eagle3() -> File:
    """Drafts tokens for another model, out of that model's hidden states."""
    text = Decoder("eagle3", layers=1)
    shapes = text.blocks() | {"fc.weight": (text.width, 3 * text.width), "blk.0.attn_norm_2.weight": (text.width,)}
    for x in "qkv":
        name = f"blk.0.attn_{x}.weight"
        shapes[name] = (shapes[name][0], 2 * text.width)
    return text.file(
        byte_bpe("default"),
        shapes,
        target_layers=[0, 1, 2],
        target_hidden_size=text.width,
        rope__dimension_count=text.head,
    )


# what makes each, and words of the sentence that refuses it
REFUSED: dict[str, tuple[Callable[[], File], str]] = {
    "t5": (t5, "an encoder-decoder or draft model"),
    "eagle3": (eagle3, "an encoder-decoder or draft model"),
    "bert": (lambda: _bert("bert", gated=False), "an embedding model"),
    "nomic-bert": (lambda: _bert("nomic-bert", gated=True), "an embedding model"),
    "gemma-embedding": (lambda: _renamed(gemma.gemma3().text, "gemma-embedding", pooling_type=1), "an embedding model"),
    "qwen3": (lambda: _renamed(qwen.qwen3().text, "qwen3", pooling_type=3), "an embedding model"),
    "lfm2": (lambda: _renamed(lfm2.lfm2().text, "lfm2", attention__causal=False), "an embedding model"),
    "llada": (lambda: _renamed(llama.llama().text, "llada", attention__causal=False), "a diffusion model"),
    "plamo2": (plamo2, "the tensor l_out-0 appeared 0 times"),
    "gemma3n": (gemma3n, "the tensor l_out-0 has shape"),
}
