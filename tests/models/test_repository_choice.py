"""Which of a repository's files make a model; the names are those of real repositories."""

import pytest

from tvcli.errors import UnavailableError
from tvcli.models.repository import Chosen, choose, quantization


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SmolVLM-256M-Instruct-Q8_0.gguf", "Q8_0"),
        ("vicuna-7b-v1.5.Q4_K_M.gguf", "Q4_K_M"),
        ("smollm2-1.7b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("gemma-4-E2B_q4_0-it.gguf", "Q4_0"),
        ("moondream2-text-model-f16_ct-vicuna.gguf", "F16"),
        ("moondream2-mmproj-f16-20250414.gguf", "F16"),
        ("mmproj-gemma-4-E2B-it-bf16.gguf", "BF16"),
        ("Qwen3-VL-Reranker-2B.i1-Q4_K_M.gguf", "Q4_K_M"),
        ("gemma-4-E2B-it-qat-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("model-IQ3_XXS-00001-of-00002.gguf", "IQ3_XXS"),
        ("gpt-oss-20b-MXFP4.gguf", "MXFP4"),
        ("qwen2-1_5b-instruct-fp16.gguf", "F16"),
        ("Q8_0/model-Q8_0.gguf", "Q8_0"),
        ("gemma-4-E2B-it-mmproj.gguf", ""),
    ],
)
def test_the_quantization_is_read_from_the_name(name: str, kind: str) -> None:
    assert quantization(name) == kind


SMOLVLM = ["SmolVLM-256M-Instruct-Q8_0.gguf", "SmolVLM-256M-Instruct-f16.gguf"]
SMOLVLM += [f"mmproj-{name}" for name in SMOLVLM]


@pytest.mark.parametrize(
    ("names", "quant", "text", "vision"),
    [
        (SMOLVLM, None, SMOLVLM[0], SMOLVLM[3]),
        (SMOLVLM, "f16", SMOLVLM[1], SMOLVLM[3]),
        (SMOLVLM[:3], None, SMOLVLM[0], SMOLVLM[2]),
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf", "a-Q2_K.gguf"], None, "a-Q4_K_M.gguf", None),
        (["a-Q2_K.gguf", "a-IQ1_S.gguf"], None, "a-Q2_K.gguf", None),
        (["a-IQ1_S.gguf"], None, "a-IQ1_S.gguf", None),
        (["model.gguf", "README.md", "config.json"], None, "model.gguf", None),
        (["m-Q4_K_M.gguf", "imatrix.gguf", "mtp-m-Q4_K_M.gguf", "m-lora-f16.gguf"], None, "m-Q4_K_M.gguf", None),
        (["x-Q4_K_M.gguf", "x-thinking-Q4_K_M.gguf"], None, "x-Q4_K_M.gguf", None),
        (["moondream2-text-model-f16_ct-vicuna.gguf", "moondream2-mmproj-f16-20250414.gguf"], None,
         "moondream2-text-model-f16_ct-vicuna.gguf", "moondream2-mmproj-f16-20250414.gguf"),
        (["a-Q4_K_M.gguf", "mmproj-BF16.gguf", "mmproj-F32.gguf"], None, "a-Q4_K_M.gguf", "mmproj-BF16.gguf"),
    ],
)  # fmt: skip
def test_the_best_known_files_are_chosen(names: list[str], quant: str | None, text: str, vision: str | None) -> None:
    assert choose(names, "o/r", quant) == Chosen((text,), vision)
    assert choose(reversed(names), "o/r", quant) == Chosen((text,), vision)


def test_the_file_that_is_opened_is_fetched_last() -> None:
    parts = tuple(f"Q4_K_M/big-Q4_K_M-{number:05d}-of-00003.gguf" for number in (1, 2, 3))
    chosen = choose([*parts, "mmproj-F16.gguf"], "o/r")
    assert chosen == Chosen(parts, "mmproj-F16.gguf")
    assert chosen.in_order == ["mmproj-F16.gguf", parts[2], parts[1], parts[0]]


@pytest.mark.parametrize(
    ("names", "quant", "words"),
    [
        ([], None, "o/r contains no GGUF model"),
        (["model.safetensors", "mmproj-f16.gguf"], None, "o/r contains no GGUF model"),
        (["a-Q4_0.gguf", "a-Q8_0.gguf"], "Q4_K_M", "o/r has no Q4_K_M file; it has: Q4_0, Q8_0"),
        (["a.gguf"], "Q4_K_M", "it has: no file that names one"),
        (["a-Q8_0-00001-of-00002.gguf"], None, "does not have a part of the model: a-Q8_0-00002-of-00002.gguf"),
        (["a-Q8_0-00002-of-00002.gguf"], None, "does not have a part of the model: a-Q8_0-00001-of-00002.gguf"),
    ],
)
def test_what_makes_no_model_is_said(names: list[str], quant: str | None, words: str) -> None:
    with pytest.raises(UnavailableError, match=words):
        choose(names, "o/r", quant)
