"""LoRA adapters against models whose weights were changed by hand, and hostile adapter files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from conftest import Runner
from random_models import FAMILIES
from random_models.writer import random_weights

from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Lora, Patch, Settings
from tvcli.errors import UnavailableError
from tvcli.prompts.prompt import zero_shot

RANK, ALPHA = 4, 6.0
ONE = Settings(threads=1)
PROMPT = zero_shot("the capital of France")
ADAPTED = ("blk.0.attn_q.weight", "blk.2.ffn_down.weight", "token_embd.weight", "output.weight")
Tensors = dict[str, np.ndarray]


def weights() -> Tensors:
    return {name: random_weights(name, shape) for name, shape in FAMILIES["llama"]().text.shapes.items()}


def halves(name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A (RANK, inputs) and B (outputs, RANK), float32."""
    rng = np.random.default_rng(len(name))
    outputs, inputs = shape
    return rng.standard_normal((RANK, inputs), np.float32) / 8, rng.standard_normal((outputs, RANK), np.float32) / 4


def adapter(path: Path, change: Callable[[Tensors], None] = lambda tensors: None, **keys: Any) -> Path:
    """An adapter of ADAPTED, as convert_lora_to_gguf.py writes it; `change` may spoil its tensors, `keys` its keys."""
    tensors: Tensors = {}
    for name in ADAPTED:
        a, b = halves(name, weights()[name].shape)
        if name == "token_embd.weight":  # looked up by token: A is stored by rows of tokens
            a, b = np.ascontiguousarray(b), np.ascontiguousarray(a.T)
        tensors |= {f"{name}.lora_a": a, f"{name}.lora_b": b}
    change(tensors)
    writer = gguf.GGUFWriter(path, keys.pop("architecture", "llama"))
    writer.add_string("general.type", keys.pop("type", "adapter"))
    writer.add_string("adapter.type", "lora")
    alpha = keys.pop("alpha", ALPHA)
    writer.add_float32("adapter.lora.alpha", alpha) if isinstance(alpha, float) else writer.add_uint32(
        "adapter.lora.alpha", alpha
    )
    if "invocation" in keys:
        writer.add_array("adapter.alora.invocation_tokens", keys.pop("invocation"))
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES["llama"]().write(tmp_path_factory.mktemp("base")).text


def merged(path: Path, scale: float) -> Path:
    """The model with the adapter's change in its weights: W + scale × alpha / rank × B A."""
    changed = weights()
    for name in ADAPTED:
        a, b = halves(name, changed[name].shape)
        changed[name] = changed[name] + np.float32(scale * ALPHA / RANK) * (b @ a)
    return FAMILIES["llama"]().text.write(path, changed)


def residuals_and_logits(model: Path, *loras: Lora) -> tuple[np.ndarray, np.ndarray]:
    with LlamaEngine(model, None, ONE, loras) as engine:
        [rows] = engine.read([PROMPT])
        patch = Patch(2, rows[1])
        return rows, engine.logits([PROMPT] * 3, [None, patch])  # several rows: another context


@pytest.mark.parametrize("scale", [1.0, 0.5, -2.0])
def test_an_adapter_computes_what_merged_weights_do(base: Path, tmp_path: Path, scale: float) -> None:
    lora = Lora(adapter(tmp_path / "a.gguf"), scale)
    wanted = residuals_and_logits(merged(tmp_path / "merged.gguf", scale))
    plain = residuals_and_logits(base)
    for found, right, without in zip(residuals_and_logits(base, lora), wanted, plain, strict=True):
        assert np.abs(found - right).max() < 1e-3 * np.abs(right).max()  # keys and values are rounded to 16 bits
        assert np.abs(found - without).max() > 0.1 * np.abs(right).max()


def test_two_adapters_add_up(base: Path, tmp_path: Path) -> None:
    path = adapter(tmp_path / "a.gguf")
    copy = tmp_path / "b.gguf"
    copy.write_bytes(path.read_bytes())
    once, twice = residuals_and_logits(base, Lora(path, 2.0)), residuals_and_logits(base, Lora(path), Lora(copy))
    for one, two in zip(once, twice, strict=True):
        assert np.abs(one - two).max() < 1e-3 * np.abs(one).max()  # keys and values are rounded to 16 bits


def test_an_adapted_model_is_another_model(base: Path, tmp_path: Path) -> None:
    path = adapter(tmp_path / "tuned.gguf")
    infos = []
    for loras in ((), (Lora(path),), (Lora(path, 0.5),), (Lora(path), Lora(path))):
        with LlamaEngine(base, None, ONE, loras) as engine:
            infos.append(engine.model)
            assert engine.identity["model"] == engine.model.digest
    assert len({info.digest for info in infos}) == len({info.name for info in infos}) == 4
    assert [info.name.removeprefix(infos[0].name) for info in infos] == [
        *("", " + tuned", " + tuned:0.5", " + tuned + tuned"),
    ]
    assert {len(info.digest) for info in infos} == {48}
    assert not infos[0].same_as(infos[1])


def drop(name: str) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.__delitem__(name)


def put(name: str, *shape: int) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: np.zeros(shape, np.float32)})


@pytest.mark.parametrize(
    ("change", "keys", "words"),
    [
        (lambda _: None, {"type": "model"}, "is not a LoRA adapter"),
        (lambda _: None, {"architecture": "qwen2"}, "arch and LoRA arch mismatch"),
        (lambda _: None, {"alpha": 6}, "adapter.lora.alpha as uint32, not float32"),
        (lambda _: None, {"invocation": [1, 2]}, "is an activated LoRA"),
        (drop("output.weight.lora_b"), {}, "missing one component"),
        (put("blk.9.attn_q.weight.lora_a", 4, 64), {}, "missing one component"),
        (put("output.weight.lora_a", 4, 63), {}, "incorrect shape"),
        (put("output.weight.lora_a", 5, 64), {}, "cannot be multiplied"),
        (put("output.weight.lora_a", 2, 4, 64), {}, "cannot be multiplied"),
        (put("token_embd.weight.lora_b", 64, 5), {}, "cannot be multiplied"),
        (put("blk.0.attn_q.weight.lora_c", 4, 64), {}, "unexpected suffix"),
    ],
)
def test_a_bad_adapter_is_refused_in_one_sentence(
    base: Path, tmp_path: Path, change: Callable[[Tensors], None], keys: dict[str, Any], words: str
) -> None:
    path = adapter(tmp_path / "bad.gguf", change, **keys)
    with pytest.raises(UnavailableError, match=words) as caught:
        LlamaEngine(base, None, ONE, [Lora(path)])
    assert "bad.gguf" in str(caught.value)


def test_a_damaged_or_missing_adapter_is_refused(base: Path, tmp_path: Path) -> None:
    path = adapter(tmp_path / "torn.gguf")
    path.write_bytes(path.read_bytes()[:-100])
    for wrong in (path, tmp_path / "none.gguf", base):
        with pytest.raises(UnavailableError, match=wrong.name):
            LlamaEngine(base, None, ONE, [Lora(wrong)])


def test_the_command_line_takes_adapters_with_scales(base: Path, tmp_path: Path, tv: Runner) -> None:
    path = adapter(tmp_path / "tuned.gguf")
    vectors = {}
    for name, options in {"base": (), "one": ("--lora", path), "half": ("--lora", f"{path}:0.5")}.items():
        ran = tv("extract", "--instruction", "capital", "-o", tmp_path / f"{name}.npy", "-m", base, *options)
        assert ran.code == 0, ran.err
        vectors[name] = tv("show", tmp_path / f"{name}.npy").out
    assert "tuned" not in vectors["base"]
    assert "+ tuned" in vectors["one"]
    assert "+ tuned:0.5" in vectors["half"]
    used = tv("apply", tmp_path / "base.npy", "--text", "x", "-l", 2, "-m", base, "--lora", path)
    assert used.code == 0
    assert "read with random llama (llama, 4 layers × 64) and is used with random llama + tuned" in used.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("none.gguf", "none.gguf"),
        ("none.gguf:0.5", "none.gguf"),
        ("none.gguf:half", "none.gguf:half"),
        ("none.gguf:1e999", "the scale of --lora none.gguf:1e999 is too large"),
    ],
)
def test_what_is_no_adapter_is_said(base: Path, tv: Runner, given: str, words: str) -> None:
    ran = tv("prompt", "--text", "x", "-m", base, "--lora", given)
    assert ran.code in (2, 3)
    assert words in ran.err
    assert tv("prompt", "--text", "x", "--lora", given).code in (2, 3)  # the fake model has none
