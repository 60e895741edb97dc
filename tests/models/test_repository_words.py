"""Only whole words of a file's name say that it is no language model."""

import pytest

from tvcli.errors import UnavailableError
from tvcli.models.repository import choose


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["Llama-3.1-70B-Instruct-lorablated-Q4_K_M.gguf"], 0),
        (["Flora-7B.Q4_K_M.gguf"], 0),
        (["M-IQ4_XS-imatrix.gguf"], 0),
        (["M-IQ4_XS-imatrix.gguf", "imatrix.gguf", "M.imatrix.gguf", "M-f16-imatrix.gguf"], 0),
        (["Qwen2-VL-2B-Instruct-Q6_K_L.gguf", "qwen2vl-vision.gguf"], 0),
        (["llava-q5_1.gguf", "clip-vit-large-patch14-f16.gguf"], 0),
        (["X-Q3_K_M.gguf", "X-vision-encoder-f16.gguf", "X_projector.gguf"], 0),
        (["granite-vision-3.2-2b-Q4_K_M.gguf", "mmproj-model-f16.gguf"], 0),
        (["Llama-3.2-11B-Vision-Instruct.Q8_0.gguf"], 0),
        (["eclipse-7b-Q2_K.gguf", "supervision-Q4_K_M.gguf"], 1),
        (["m-Q2_K.gguf", "m-lora-Q8_0.gguf", "lora.gguf", "m_LoRA-f16.gguf"], 0),
    ],
)
def test_the_model_is_found_among_what_is_none(names: list[str], chosen: int) -> None:
    for given in (names, names[::-1]):
        assert choose(given, "o/r").parts == (names[chosen],)


@pytest.mark.parametrize(
    "name", ["imatrix.gguf", "m.imatrix.gguf", "m-F16-imatrix.gguf", "m-lora-f16.gguf", "mmproj.gguf"]
)
def test_what_is_no_model_is_not_taken_for_want_of_one(name: str) -> None:
    with pytest.raises(UnavailableError, match="contains no GGUF model"):
        choose([name], "o/r")


@pytest.mark.parametrize(
    "drafter", ["MTP/g-it-Q8_0.gguf", "g-it-drafter-Q8_0.gguf", "assistant/g-Q8_0.gguf", "g-eagle3-Q8_0.gguf"]
)
def test_a_model_that_drafts_tokens_is_not_the_model(drafter: str) -> None:
    """ggml-org/llama.cpp#24495."""
    assert choose(["g-it-UD-Q2_K_XL.gguf", "g-it-UD-Q4_K_XL.gguf", drafter], "r").parts == ("g-it-UD-Q4_K_XL.gguf",)
    assert choose([drafter], "r").parts == (drafter,)
