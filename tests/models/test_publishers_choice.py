"""The files of real repositories that tv takes for a model: names and sizes as public catalogs list them.

`tests/data/listings.json` has every listing with its source. A size is what the source says, null where it says none.
"""

import json

import pytest
from conftest import DATA

from tvcli.errors import UnavailableError
from tvcli.models.repository import Chosen, choose

RECORD = json.loads((DATA / "listings.json").read_text("utf-8"))
LISTINGS: dict[str, dict[str, str | None]] = {name: entry["files"] for name, entry in RECORD["listings"].items()}
PUBLISHERS = {
    *("unsloth", "bartowski", "ggml-org", "lmstudio-community", "mradermacher", "TheBloke", "Qwen", "google"),
    *("MaziyarPanahi", "LiquidAI", "openbmb", "second-state", "mistralai", "allenai", "microsoft"),
}
UNITS = {"MB": 1 << 20, "GB": 1 << 30}


def parts(first: str, count: int) -> tuple[str, ...]:
    return tuple(first.replace("00001-of", f"{number:05d}-of") for number in range(1, count + 1))


def size(repository: str, names: tuple[str, ...]) -> float | None:
    """Bytes, if the source says the size of each file."""
    given = [(LISTINGS[repository][name] or "").split() for name in names]
    return sum(float(one[0]) * UNITS[one[1]] for one in given) if all(given) else None


# repository, quantization, (first) text file, number of its parts, mmproj
CHOSEN: list[tuple[str, str | None, str, int, str | None]] = [
    ("unsloth/Qwen3.5-4B-GGUF", None, "Qwen3.5-4B-Q4_K_M.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/Qwen3.5-4B-GGUF", "UD-Q4_K_XL", "Qwen3.5-4B-UD-Q4_K_XL.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/Qwen3.5-4B-GGUF", "ud-iq2_xxs", "Qwen3.5-4B-UD-IQ2_XXS.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/Qwen3.5-4B-GGUF", "BF16", "Qwen3.5-4B-BF16.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/gemma-4-E2B-it-GGUF", None, "gemma-4-E2B-it-Q4_K_M.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/gemma-4-E2B-it-GGUF", "UD-Q4_K_XL", "gemma-4-E2B-it-UD-Q4_K_XL.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/gemma-4-E2B-it-GGUF", "Q8_0", "gemma-4-E2B-it-Q8_0.gguf", 1, "mmproj-F16.gguf"),  # not the one in MTP/
    ("unsloth/gemma-4-E2B-it-GGUF", "BF16", "gemma-4-E2B-it-BF16.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/gemma-4-E2B-it-qat-mobile-GGUF", None, "gemma-4-E2B-it-qat-UD-Q2_K_XL.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/Qwen3.8-27B-GGUF", None, "Qwen3.8-27B-UD-Q4_K_XL.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/Qwen3.8-27B-GGUF", "Q4_0", "Qwen3.8-27B-Q4_0.gguf", 1, "mmproj-F16.gguf"),
    ("unsloth/Qwen3.8-27B-GGUF", "BF16", "BF16/Qwen3.8-27B-BF16-00001-of-00002.gguf", 2, "mmproj-F16.gguf"),
    ("unsloth/Muse-Glimmer-30B-GGUF", None, "Muse-Glimmer-30B-UD-Q4_K_XL.gguf", 1, "mmproj-Muse-Glimmer-30B-Q8_0.gguf"),
    ("unsloth/DeepSeek-V4-Flash-0731-GGUF", None,
     "UD-Q4_K_XL/DeepSeek-V4-Flash-0731-UD-Q4_K_XL-00001-of-00005.gguf", 5, None),
    ("unsloth/Llama-3.3-70B-Instruct-GGUF", "Q6_K", "Q6_K/Llama-3.3-70B-Instruct-Q6_K-00001-of-00002.gguf", 2, None),
    ("unsloth/Llama-4-Scout-17B-16E-Instruct-GGUF", None,
     "Q4_K_M/Llama-4-Scout-17B-16E-Instruct-Q4_K_M-00001-of-00002.gguf", 2, "mmproj-F16.gguf"),
    ("unsloth/Llama-4-Scout-17B-16E-Instruct-GGUF", "UD-Q4_K_XL",
     "UD-Q4_K_XL/Llama-4-Scout-17B-16E-Instruct-UD-Q4_K_XL-00001-of-00002.gguf", 2, "mmproj-F16.gguf"),
    ("bartowski/google_gemma-4-E2B-it-GGUF", None, "google_gemma-4-E2B-it-Q4_K_M.gguf", 1,
     "mmproj-google_gemma-4-E2B-it-f16.gguf"),
    ("bartowski/google_gemma-4-E2B-it-GGUF", "Q6_K_L", "google_gemma-4-E2B-it-Q6_K_L.gguf", 1,
     "mmproj-google_gemma-4-E2B-it-f16.gguf"),
    ("bartowski/MiniCPM-V-2_6-GGUF", None, "MiniCPM-V-2_6-Q4_K_M.gguf", 1, "mmproj-MiniCPM-V-2_6-f16.gguf"),
    ("bartowski/gemma-2-9b-it-GGUF", "Q4_K_M", "gemma-2-9b-it-Q4_K_M.gguf", 1, None),  # not Q4_K_M-fp16
    ("bartowski/gemma-2-9b-it-GGUF", "F32", "gemma-2-9b-it-f32.gguf", 1, None),  # not Q6_K-f32
    ("bartowski/Meta-Llama-3-8B-Instruct-GGUF", "F16", "Meta-Llama-3-8B-Instruct-fp16.gguf", 1, None),
    ("bartowski/DeepSeek-V4-Flash-0731-GGUF", None,
     "DeepSeek-V4-Flash-0731-MXFP4/DeepSeek-V4-Flash-0731-MXFP4-00001-of-00004.gguf", 4, None),
    ("ggml-org/gemma-3-4b-it-GGUF", None, "gemma-3-4b-it-Q4_K_M.gguf", 1, "mmproj-model-f16.gguf"),
    ("ggml-org/gemma-4-E2B-it-GGUF", None, "gemma-4-E2B-it-Q8_0.gguf", 1, "mmproj-gemma-4-E2B-it-Q8_0.gguf"),
    ("ggml-org/gemma-4-E2B-it-GGUF", "Q4_0", "gemma-4-E2B-it-Q4_0.gguf", 1, "mmproj-gemma-4-E2B-it-Q8_0.gguf"),
    ("ggml-org/SmolVLM2-2.2B-Instruct-GGUF", "f16", "SmolVLM2-2.2B-Instruct-f16.gguf", 1,
     "mmproj-SmolVLM2-2.2B-Instruct-f16.gguf"),
    ("ggml-org/moondream2-20250414-GGUF", None, "moondream2-text-model-f16_ct-vicuna.gguf", 1,
     "moondream2-mmproj-f16-20250414.gguf"),
    ("ggml-org/Qwen3.6-27B-GGUF", None, "Qwen3.6-27B-Q4_K_M.gguf", 1, "mmproj-Qwen3.6-27B-Q8_0.gguf"),
    ("ggml-org/Qwen3.6-27B-GGUF", "BF16", "Qwen3.6-27B-BF16.gguf", 1, "mmproj-Qwen3.6-27B-Q8_0.gguf"),  # no dflash
    ("ggml-org/Qwen3.6-27B-MTP-GGUF", None, "Qwen3.6-27B-MTP-Q8_0.gguf", 1, "mmproj-Qwen3.6-27B-Q8_0.gguf"),
    ("ggml-org/gpt-oss-20b-GGUF", None, "gpt-oss-20b-MXFP4.gguf", 1, None),  # the Q8_0 is an EAGLE head
    ("ggml-org/Qwen3-8B-GGUF", None, "Qwen3-8B-Q8_0.gguf", 1, None),
    ("ggml-org/DeepSeek-V4-Flash-0731-GGUF", None, "DeepSeek-V4-Flash-0731-MXFP4-00001-of-00002.gguf", 2, None),
    ("ggml-org/DeepSeek-V4-Flash-0731-GGUF", "Q2_K", "DeepSeek-V4-Flash-0731-Q2_K-00001-of-00002.gguf", 2, None),
    ("lmstudio-community/gemma-4-E4B-it-GGUF", None, "gemma-4-E4B-it-Q4_K_M.gguf", 1,
     "mmproj-gemma-4-E4B-it-BF16.gguf"),
    ("lmstudio-community/gpt-oss-120b-GGUF", None, "gpt-oss-120b-MXFP4-00001-of-00002.gguf", 2, None),
    ("mradermacher/Qwen3-VL-2B-Instruct-GGUF", None, "Qwen3-VL-2B-Instruct.Q4_K_M.gguf", 1,
     "Qwen3-VL-2B-Instruct.mmproj-f16.gguf"),
    ("mradermacher/Qwen3-VL-2B-Instruct-GGUF", "Q8_0", "Qwen3-VL-2B-Instruct.Q8_0.gguf", 1,
     "Qwen3-VL-2B-Instruct.mmproj-f16.gguf"),
    ("mradermacher/Kimi-VL-A3B-Instruct-GGUF", None, "Kimi-VL-A3B-Instruct.Q4_K_M.gguf", 1,
     "Kimi-VL-A3B-Instruct.mmproj-f16.gguf"),
    ("mradermacher/gemma-4-31B-Queen-it-qat-q4_0-unquantized-i1-GGUF", None,
     "gemma-4-31B-Queen-it-qat-q4_0-unquantized.i1-Q4_K_M.gguf", 1, None),
    ("mradermacher/gemma-4-31B-Queen-it-qat-q4_0-unquantized-i1-GGUF", "Q4_0",
     "gemma-4-31B-Queen-it-qat-q4_0-unquantized.i1-Q4_0.gguf", 1, None),  # not the importance matrix
    ("mradermacher/GLM-4.5-Air-Derestricted-i1-GGUF", None, "GLM-4.5-Air-Derestricted.i1-IQ3_XS.gguf", 1, None),
    ("TheBloke/Llama-2-70B-Orca-200k-GGUF", None, "llama-2-70b-orca-200k.Q4_K_M.gguf", 1, None),
    ("Qwen/Qwen2.5-7B-Instruct-GGUF", None, "qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf", 2, None),
    ("Qwen/Qwen2.5-7B-Instruct-GGUF", "Q8_0", "qwen2.5-7b-instruct-q8_0-00001-of-00003.gguf", 3, None),
    ("Qwen/Qwen2.5-7B-Instruct-GGUF", "fp16", "qwen2.5-7b-instruct-fp16-00001-of-00004.gguf", 4, None),
    ("Qwen/Qwen3-VL-4B-Instruct-GGUF", None, "Qwen3VL-4B-Instruct-Q4_K_M.gguf", 1,
     "mmproj-Qwen3VL-4B-Instruct-F16.gguf"),
    ("Qwen/Qwen3-Coder-Next-GGUF", None,
     "Qwen3-Coder-Next-Q4_K_M/Qwen3-Coder-Next-Q4_K_M-00001-of-00004.gguf", 4, None),
    ("Qwen/Qwen3-Coder-Next-GGUF", "F16", "Qwen3-Coder-Next-F16/Qwen3-Coder-Next-00001-of-00004.gguf", 4, None),
    ("Qwen/Qwen1.5-72B-Chat-GGUF", None, "qwen1_5-72b-chat-q3_k_m.gguf", 1, None),  # rather than Q2_K
    ("google/gemma-3-4b-it-qat-q4_0-gguf", None, "gemma-3-4b-it-q4_0.gguf", 1, "mmproj-model-f16-4B.gguf"),
    ("google/gemma-4-E2B-it-qat-q4_0-gguf", None, "gemma-4-E2B_q4_0-it.gguf", 1, "gemma-4-E2B-it-mmproj.gguf"),
    ("google/gemma-4-12B-it-qat-q4_0-gguf", "Q4_0", "gemma-4-12b-it-qat-q4_0.gguf", 1,
     "mmproj-gemma-4-12b-it-qat-q4_0.gguf"),
    ("google/gemma-2b-it", None, "gemma-2b-it.gguf", 1, None),
    ("MaziyarPanahi/Llama-3.1-Nemotron-70B-Instruct-HF-GGUF", None,
     "Llama-3.1-Nemotron-70B-Instruct-HF.Q4_K_M.gguf", 1, None),  # not the Mistral-Small that is there too
    ("MaziyarPanahi/xLAM-8x22b-r-GGUF", "IQ4_XS", "xLAM-8x22b-r.IQ4_XS.gguf-00001-of-00005.gguf", 5, None),
    ("MaziyarPanahi/Qwen2.5-Coder-0.5B-QwQ-draft-GGUF", None, "Qwen2.5-Coder-0.5B-QwQ-draft.Q8_0.gguf", 1, None),
    ("MaziyarPanahi/Qwen2.5-Coder-0.5B-QwQ-draft-GGUF", "F16", "Qwen2.5-Coder-0.5B-QwQ-draft.fp16.gguf", 1, None),
    ("MaziyarPanahi/GLM-4.6V-Flash-GGUF", None, "GLM-4.6V-Flash.Q4_K_M.gguf", 1, None),  # without any mmproj
    ("LiquidAI/LFM2.5-VL-1.6B-GGUF", None, "LFM2.5-VL-1.6B-Q4_K_M.gguf", 1, "mmproj-LFM2.5-VL-1.6b-F16.gguf"),
    ("LiquidAI/LFM2.5-VL-1.6B-GGUF", "F16", "LFM2.5-VL-1.6B-F16.gguf", 1, "mmproj-LFM2.5-VL-1.6b-F16.gguf"),
    ("LiquidAI/LFM2-1.2B-GGUF", None, "LFM2-1.2B-Q4_K_M.gguf", 1, None),  # not hip-optimized
    ("LiquidAI/LFM2.5-Audio-1.5B-GGUF", None, "LFM2.5-Audio-1.5B-Q8_0.gguf", 1, "mmproj-LFM2.5-Audio-1.5B-F16.gguf"),
    ("LiquidAI/LFM2.5-Audio-1.5B-GGUF", "Q4_0", "LFM2.5-Audio-1.5B-Q4_0.gguf", 1, "mmproj-LFM2.5-Audio-1.5B-F16.gguf"),
    ("openbmb/MiniCPM-V-4-gguf", None, "ggml-model-Q4_K_M.gguf", 1, "mmproj-model-f16.gguf"),  # not that for iOS
    ("openbmb/MiniCPM-V-4_5-gguf", None, "MiniCPM-V-4_5-Q4_K_M.gguf", 1, "mmproj-model-f16.gguf"),
    ("openbmb/MiniCPM-V-4_5-gguf", "Q4_1", "ggml-model-Q4_1.gguf", 1, "mmproj-model-f16.gguf"),
    ("openbmb/MiniCPM-o-4_5-gguf", None, "MiniCPM-o-4_5-Q4_K_M.gguf", 1, "vision/MiniCPM-o-4_5-vision-F16.gguf"),
    ("openbmb/MiniCPM-o-4_5-gguf", "F16", "MiniCPM-o-4_5-F16.gguf", 1, "vision/MiniCPM-o-4_5-vision-F16.gguf"),
    ("second-state/MiniCPM-V-4_5-GGUF", None, "MiniCPM-V-4_5-Q4_K_M.gguf", 1, "MiniCPM-V-4_5-mmproj-f16.gguf"),
    ("second-state/FinGPT-MT-Llama-3-8B-LoRA-GGUF", None, "FinGPT-MT-Llama-3-8B-LoRA-Q4_K_M.gguf", 1, None),
    ("second-state/FinGPT-MT-Llama-3-8B-LoRA-GGUF", "F16", "FinGPT-MT-Llama-3-8B-LoRA-f16.gguf", 1, None),
    ("second-state/dolphin-2.6-mistral-7B-GGUF", "Q5_K_M", "dolphin-2.6-mistral-7b-Q5_K_M.gguf", 1, None),
    ("mistralai/Ministral-3-3B-Instruct-2512-GGUF", None, "Ministral-3-3B-Instruct-2512-Q4_K_M.gguf", 1,
     "Ministral-3-3B-Instruct-2512-BF16-mmproj.gguf"),
    ("mistralai/Ministral-3-3B-Instruct-2512-GGUF", "BF16", "Ministral-3-3B-Instruct-2512-BF16.gguf", 1,
     "Ministral-3-3B-Instruct-2512-BF16-mmproj.gguf"),
    ("mistralai/Devstral-Small-2505_gguf", None, "devstralQ4_K_M.gguf", 1, None),
    ("mistralai/Devstral-Small-2505_gguf", "Q8_0", "devstralQ8_0.gguf", 1, None),
    ("mistralai/Magistral-Small-2506_gguf", None, "Magistral-Small-2506_Q8_0.gguf", 1, None),
    ("allenai/OLMo-2-0325-32B-Instruct-GGUF", "Q5_0", "OLMo-2-0325-32B-Instruct-Q5_0.gguf", 1, None),  # not the 1B
    ("microsoft/Phi-3-mini-4k-instruct-gguf", None, "Phi-3-mini-4k-instruct-q4.gguf", 1, None),
    ("microsoft/Phi-3-mini-4k-instruct-gguf", "fp16", "Phi-3-mini-4k-instruct-fp16.gguf", 1, None),
]  # fmt: skip

REFUSED: list[tuple[str, str | None, str]] = [
    ("unsloth/Qwen3.5-4B-GGUF", "Q4_K_XL", "has no Q4_K_XL file; it has: BF16, .*UD-Q4_K_XL"),
    ("ggml-org/DeepSeek-V4-Flash-0731-GGUF", "BF16", "has no BF16 file; it has: MXFP4, Q2_K, Q2_K_S$"),
    ("ggml-org/gpt-oss-20b-GGUF", "Q8_0", "has no Q8_0 file; it has: MXFP4$"),
    ("ggml-org/gemma-3-4b-it-GGUF", "Q5_K_M", "has no Q5_K_M file; it has: F16, Q4_K_M, Q8_0$"),
    ("ggml-org/vocabs", None, "contains no GGUF model"),
    ("ggml-org/LoRA-phi-4-abliterated-F16-GGUF", None, "contains no GGUF model"),
    ("bartowski/gemma-2-9b-it-GGUF", "F16", "has no F16 file"),
    ("MaziyarPanahi/Llama-3.1-Nemotron-70B-Instruct-HF-GGUF", "Q6_K", "has no Q6_K file"),
    ("MaziyarPanahi/xLAM-8x22b-r-GGUF", None, r"does not have a part of the model: .*Q4_K_M\.gguf-00003-of-00005"),
    ("TheBloke/Llama-2-70B-Orca-200k-GGUF", "Q6_K", r"its Q6_K file in pieces .*\.Q6_K\.gguf-split-a.*join them"),
    ("mradermacher/Tess-v2.5-Qwen2-72B-GGUF", None, r"its model in pieces .*\.Q8_0\.gguf\.part1of2.*join them"),
    ("mradermacher/Tess-v2.5-Qwen2-72B-GGUF", "Q8_0", "its model in pieces"),
]


@pytest.mark.parametrize(("repository", "quant", "first", "count", "vision"), CHOSEN)
def test_the_right_files_of_a_real_repository_are_chosen(
    repository: str, quant: str | None, first: str, count: int, vision: str | None
) -> None:
    expected = Chosen(parts(first, count), vision)
    assert set(expected.in_order) <= set(LISTINGS[repository])
    assert choose(LISTINGS[repository], repository, quant) == expected
    assert choose(reversed(LISTINGS[repository]), repository, quant) == expected


@pytest.mark.parametrize(("repository", "quant", "words"), REFUSED)
def test_what_a_real_repository_does_not_have_is_refused(repository: str, quant: str | None, words: str) -> None:
    with pytest.raises(UnavailableError, match=words):
        choose(LISTINGS[repository], repository, quant)


def test_every_publisher_and_every_listing_is_tested() -> None:
    tested = {row[0] for row in CHOSEN} | {row[0] for row in REFUSED}
    assert tested == set(LISTINGS)
    assert {repository.split("/")[0] for repository in tested} == PUBLISHERS


def test_every_listing_has_a_source_that_is_described() -> None:
    for entry in RECORD["listings"].values():
        source = RECORD["sources"][entry["source"]]
        assert {"repository", "path", "has"} <= set(source)
        assert "unit" in source or set(entry["files"].values()) == {None}


@pytest.mark.parametrize(
    ("repository", "first", "count"), [(r, first, n) for r, quant, first, n, _ in CHOSEN if not quant]
)
def test_what_is_expected_is_a_whole_model_by_its_size(repository: str, first: str, count: int) -> None:
    """The table above against the sizes, which the rules do not know: a drafter has a tenth of its model, or less."""
    whole = size(repository, parts(first, count))
    others = [found for name in LISTINGS[repository] if (found := size(repository, (name,))) is not None]
    assert whole is None or max(others) / 12 < whole
