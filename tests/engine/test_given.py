"""Image tokens that are given: on small random models in llama.cpp, against mtmd's own of the same images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import contract
import numpy as np
import pytest
from conftest import DATA
from contract import EVERY, Check, Subject
from random_models import FAMILIES, Family

from tvcli.encoded import EncodedImage, to_bytes
from tvcli.engine.fake import FakeEngine
from tvcli.engine.given import check_given
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.native import pinned
from tvcli.engine.protocol import ImageTokens, Patch, Settings, Token
from tvcli.errors import UsageError
from tvcli.images import Image, load_any, load_image
from tvcli.models.opening import open_model
from tvcli.prompts.prompt import Input, Prompt, prompt_of, zero_shot

pytestmark = pytest.mark.model
SEEING = ["llava", "gemma3-vision", "internvl"]  # nothing around the tokens; both directions; text around, causal
AROUND = {"gemma3-vision": ("<start_of_image>", "<end_of_image>"), "internvl": ("<img>", "</img>")}


def given(engine: LlamaEngine, image: Image, name: str) -> EncodedImage:
    """What mtmd makes of an image, as a file of image tokens."""
    before, after = AROUND.get(name, ("", ""))
    return EncodedImage(engine.image_tokens(image), image.name, before, after, causal=name != "gemma3-vision")


@pytest.fixture(scope="module", params=SEEING)
def seeing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Family, LlamaEngine]]:
    family = FAMILIES[request.param]()
    with contract.engine_of(family, tmp_path_factory.mktemp(request.param)) as engine:
        yield request.param, family, engine


def test_given_back_to_the_model_they_are_the_image(seeing: tuple[str, Family, LlamaEngine]) -> None:
    """Every bit, at every layer: alone, as one of two in either place, with text between."""
    name, family, engine = seeing
    assert family.image is not None
    one, two = (contract.random_picture(family.image, seed) for seed in (1, 2))
    first, second = (given(engine, image, name) for image in (one, two))

    def prompt(*images: Input) -> Prompt:
        return prompt_of("Q:", images[0], "\nA: Paris\n\nQ:", images[1], "\nA:")

    own = engine.read([zero_shot(one)])
    patches = [None, *(Patch(layer, row) for layer, row in enumerate(own[0] * np.float32(1.5)))]
    assert np.array_equal(engine.read([zero_shot(first)]), own)
    assert np.array_equal(engine.logits([zero_shot(first)], patches), engine.logits([zero_shot(one)], patches))
    pixels = engine.read([prompt(one, two)])
    for images in ([first, second], [one, second], [first, two]):
        assert np.array_equal(engine.read([prompt(*images)]), pixels), images
    assert engine.layout(prompt(first, two)) == engine.layout(prompt(one, two))


def test_they_need_no_image_encoder(seeing: tuple[str, Family, LlamaEngine], tmp_path: Path) -> None:
    name, family, engine = seeing
    assert family.image is not None
    image = given(engine, contract.random_picture(family.image, 3), name)
    files = family.write(tmp_path)
    with LlamaEngine(files.text, settings=Settings(threads=1)) as blind:
        assert not blind.has_vision
        assert np.array_equal(blind.read([zero_shot(image)]), engine.read([zero_shot(image)]))


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    with contract.engine_of(FAMILIES["llama"](), tmp_path_factory.mktemp("llama")) as engine:
        yield engine


def noise(count: int, width: int = 64, seed: int = 0, **more: object) -> EncodedImage:
    tokens = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    return replace(EncodedImage(tokens, f"noise {seed}"), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["llama", "mamba", "lfm2", "gemma3", "jamba", "fake"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """Models that have never seen, with prompts of given tokens among the others."""
    engine = (
        FakeEngine(vision=False)
        if request.param == "fake"
        else contract.engine_of(FAMILIES[request.param](), tmp_path_factory.mktemp(request.param))
    )
    causal, width = request.param != "gemma3", engine.model.n_embd
    one, two = (noise(5, width, seed, causal=causal) for seed in (1, 2))
    prompts = {
        "text": zero_shot("Greece"),
        "one": zero_shot(one),
        "two": prompt_of("Q:", one, "\nA: Paris\n\nQ:", two, "\nA:"),
        "beside each other": prompt_of("Q:", one, two, "\nA:"),
        "at the start": prompt_of(replace(one, before="Q:"), "\nA:"),
    }
    yield Subject(engine, prompts, rounding=0.01)
    engine.close()


@pytest.mark.parametrize(
    "check", [check for check in EVERY if "doctor" not in check.__name__], ids=lambda c: c.__name__
)
def test_every_promise_of_an_engine_holds(subject: Subject, check: Check) -> None:
    check(subject)


def test_every_token_counts_and_its_place(blind: LlamaEngine) -> None:
    image = noise(6)
    own = blind.read([zero_shot(image)])
    for place in range(6):
        other = image.tokens.copy()
        other[place] *= -1
        assert not np.array_equal(blind.read([zero_shot(replace(image, tokens=other))]), own), place
    assert not np.array_equal(blind.read([zero_shot(replace(image, tokens=image.tokens[::-1].copy()))]), own)


def test_the_embeddings_of_text_are_that_text(blind: LlamaEngine, tmp_path: Path) -> None:
    """Given as vectors, the embeddings of tokens do what the tokens do; the file's own table is the source."""
    from gguf import GGUFReader

    path = FAMILIES["llama"]().write(tmp_path).text
    [table] = [t.data for t in GGUFReader(path).tensors if t.name == "token_embd.weight"]
    words = blind.tokens(" the capital")
    image = EncodedImage(np.array(table, np.float32)[[token.id for token in words]], "the capital")
    as_text = blind.read([prompt_of("Q:", " the capital", "\nA:")])
    as_tokens = blind.read([prompt_of("Q:", image, "\nA:")])
    layout = blind.layout(prompt_of("Q:", " the capital", "\nA:"))
    start = layout.index(words[0])
    assert layout[start : start + 2] == words  # tokenized alone as within
    assert np.abs(as_tokens - as_text).max() < 1e-4 * np.abs(as_text).max()


def test_what_is_around_them_is_tokenized_as_control_tokens(blind: LlamaEngine) -> None:
    image = noise(3, before="<|begin_of_text|>", after="x")
    layout = blind.layout(prompt_of("Q:", image, "\nA:"))
    place = layout.index(ImageTokens(3))
    assert [piece.text for piece in layout[:place] if isinstance(piece, Token)][-1] == "<|begin_of_text|>"
    assert layout[place + 1] == blind.tokens("x")[0]


def test_more_tokens_than_a_batch_are_decoded_in_several(tmp_path: Path) -> None:
    image = noise(300)
    found = []
    for context in (400, 4096):  # n_batch is at most the context
        files = FAMILIES["llama"]().write(tmp_path)
        with LlamaEngine(files.text, settings=Settings(context=context, threads=1)) as engine:
            engine._decoder.n_batch = min(engine._decoder.n_batch, context - 300)
            found.append(engine.read([zero_shot(image)]))
    assert np.abs(found[0] - found[1]).max() < 1e-3 * np.abs(found[1]).max()


# -- what is refused ------------------------------------------------------------------------------------------


def test_more_tokens_than_the_context_are_refused(blind: LlamaEngine) -> None:
    with pytest.raises(UsageError, match="do not fit the context of 4096"):
        blind.answer([zero_shot(noise(5000))])
    assert blind.answer([zero_shot(noise(5))])


@pytest.mark.parametrize("engine", ["llama", "fake"])
def test_another_width_is_refused(engine: str, blind: LlamaEngine) -> None:
    asked = blind if engine == "llama" else FakeEngine()
    with pytest.raises(UsageError, match=r"^image tokens noise 0: they have a width of 48, the model .* takes"):
        asked.read([zero_shot(noise(4, 48))])


def test_positions_in_rows_and_columns_are_refused(tmp_path: Path) -> None:
    for name, width in (("qwen2vl", 64), ("qwen3vl", 192)):
        engine = contract.engine_of(FAMILIES[name](), tmp_path)
        with engine, pytest.raises(UsageError, match="positions in rows and columns"):
            engine.read([zero_shot(noise(4, width))])


def test_where_tokens_may_attend_in_both_directions_the_file_must_say(tmp_path: Path) -> None:
    with contract.engine_of(FAMILIES["gemma3"](), tmp_path) as engine:
        with pytest.raises(UsageError, match=r"save them as \.npz, with causal true or false$"):
            engine.read([zero_shot(noise(4))])
        own, other = (engine.read([zero_shot(noise(4, causal=causal))]) for causal in (True, False))
        assert not np.array_equal(own, other)
        engine._decoder.n_batch = 3
        with pytest.raises(UsageError, match="do not fit the batch of 3"):
            engine.read([zero_shot(noise(4, causal=False))])


def test_a_model_that_aborts_on_embeddings_is_refused(blind: LlamaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "ONLY_TOKENS", frozenset({"llama"}))
    with pytest.raises(UsageError, match="llama takes none"):
        check_given(noise(4), blind._decoder)


# -- the demo model -------------------------------------------------------------------------------------------


def test_the_demo_models_own_tokens_in_a_file_are_its_picture(tmp_path: Path) -> None:
    """picto's image encoder is in llama.cpp: its tokens, written to a file and read again, are every bit the same."""
    with open_model("picto", settings=Settings(threads=1)) as opened:
        engine = opened.engine
        assert isinstance(engine, LlamaEngine)
        flag = load_image(DATA / "flags" / "fr.png")
        path = tmp_path / "flag.npz"
        path.write_bytes(to_bytes(given(engine, flag, "picto")))  # its projector is not Gemma 3's: causal
        tokens = load_any(path)
        own = engine.read([zero_shot(flag)])
        assert np.array_equal(engine.read([zero_shot(tokens)]), own)
        patches = [Patch(layer, row) for layer, row in enumerate(own[0] * np.float32(1.5))]
        assert np.array_equal(engine.logits([zero_shot(tokens)], patches), engine.logits([zero_shot(flag)], patches))
        assert engine.layout(zero_shot(tokens)) == engine.layout(zero_shot(flag))
