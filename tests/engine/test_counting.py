"""What is counted is what the real engine does, and nothing is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import contract
import numpy as np
import pytest
from random_models import FAMILIES

from tvcli.engine.counting import VOCABULARY, CountingEngine, Work
from tvcli.engine.decoder import Decoder
from tvcli.engine.fake import CONTEXT, FakeEngine
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Decoding, Engine, Patch
from tvcli.engine.vision import Vision
from tvcli.errors import UsageError
from tvcli.images import Image
from tvcli.prompts.chat import CHATML, Chat
from tvcli.prompts.prompt import Example as One
from tvcli.prompts.prompt import Prompt, few_shot, prompt_of, zero_shot

EXAMPLES = [One(f"word number {i}", f"answer {i}") for i in range(9)]


def picture(seed: int, height: int = 6, width: int = 8) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8), f"picture {seed}")


def patches(engine: Engine, count: int) -> list[Patch | None]:
    row = np.ones(engine.model.n_embd, np.float32)
    return [None, *(Patch(layer % engine.model.n_layer, row) for layer in range(count - 1))]


# -- against llama.cpp ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["llama", "llava", "smolvlm", "qwen2vl", "gemma3-vision", "internvl"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    with contract.engine_of(FAMILIES[request.param](), tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Work:
    """What llama.cpp is really asked."""
    work, decode, see = Work(), Decoder.decode, Vision.decode

    def decoded(of: Decoder, tokens: np.ndarray, *rest: Any, logits: bool) -> None:
        work.decodes += 1
        work.rows += logits * len(tokens)
        work.tokens += (not logits) * len(tokens)
        decode(of, tokens, *rest, logits=logits)

    def seen(of: Vision, chunk: Any, *rest: Any) -> int:
        work.decodes += 1
        work.tokens += chunk.n_tokens
        return see(of, chunk, *rest)

    monkeypatch.setattr(Decoder, "decode", decoded)
    monkeypatch.setattr(Vision, "decode", seen)
    return work


def batches(engine: Engine) -> list[list[Prompt]]:
    texts = [zero_shot(f"a question {i} of words {'and words ' * i}") for i in range(5)]
    shots = [few_shot("the query", EXAMPLES, shots=5, seed=seed) for seed in range(4)]
    chats = [Chat(CHATML).render([("one", "two"), (f"question {i}", None)], "a system text") for i in range(3)]
    found = [texts[:1], texts, shots, chats, [*texts[:2], *shots[:1]]]
    if engine.has_vision:
        images = [picture(i) for i in range(4)]
        many = [few_shot(image, EXAMPLES, shots=3, seed=2) for image in images]
        several = [prompt_of("Q:", images[0], "\nA: x\n\nQ:", images[1], "\nA:"), zero_shot(images[2])]
        wide = [zero_shot(picture(9, 30, 120))]
        found += [[zero_shot(images[0])], [zero_shot(image) for image in images], many, several, wide]
    return found


@pytest.mark.model
def test_decodes_tokens_and_rows_are_those_of_the_real_engine(engine: LlamaEngine, done: Work) -> None:
    counting = CountingEngine(engine)
    for prompts in batches(engine):
        for count in (1, 3):
            for _ in range(2):  # what was counted once is remembered
                before, counted = Work() + done, counting.work + Work()
                engine.answer(prompts, patches(engine, count))
                asked = done - before
                counting.answer(prompts, patches(engine, count))
                said = counting.work - counted
                assert (said.decodes, said.tokens, said.rows) == (asked.decodes, asked.tokens, asked.rows), prompts


@pytest.mark.model
def test_images_are_encoded_as_often_as_the_real_engine_does(engine: LlamaEngine) -> None:
    if not engine.has_vision:
        return
    counting, first = CountingEngine(engine), engine.encodings
    prompts = [zero_shot(picture(seed, height)) for height in (6, 40) for seed in (100, 101, 100)]
    for one in (engine, counting):
        for _ in range(2):
            one.answer(prompts)
    assert counting.work.encodings == engine.encodings - first
    for one in (engine, counting):
        one.forget(prompts[0].images[0])
        one.answer(prompts)
    assert counting.work.encodings == engine.encodings - first


@pytest.mark.model
def test_long_work_is_cut_as_the_real_engine_cuts_it(engine: LlamaEngine, done: Work) -> None:
    prompts = [zero_shot(f"{i} " + "word " * 400) for i in range(6)]
    counting = CountingEngine(engine)
    engine.read(prompts)
    asked = Work() + done
    assert asked.rows == 6
    assert asked.decodes > 3
    counting.read(prompts)
    assert (counting.work.decodes, counting.work.tokens) == (asked.decodes, asked.tokens)


# -- on the fake ------------------------------------------------------------------------------------------------------


class Real(FakeEngine):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, int]] = []

    def answer(self, prompts: Sequence[Prompt], patches: Sequence[Patch | None] = (None,), *rest: Any) -> Any:
        self.calls.append((len(prompts), len(patches)))
        return super().answer(prompts, patches, *rest)


def test_results_have_the_shapes_of_the_real_ones() -> None:
    engine = CountingEngine(FakeEngine())
    prompts = [zero_shot("a"), zero_shot("b")]
    assert engine.read(prompts).shape == (2, 6, 16)
    assert np.isfinite(engine.read(prompts)).all()
    assert engine.logits(prompts, patches(engine, 3)).shape == (2, 3, VOCABULARY)
    assert [len(row) for row in engine.answer(prompts, patches(engine, 3))] == [3, 3]
    assert all(0 <= token.id < VOCABULARY for token in engine.tokens("some words of a text"))
    assert engine.work.probabilities == 6
    assert engine.inside.wall > 0


def test_one_token_is_never_asked_for_and_longer_answers_are_measured_once() -> None:
    real = Real()
    engine, prompts = CountingEngine(real), [zero_shot(x) for x in "abcde"]
    engine.answer(prompts, patches(engine, 6))
    assert (real.calls, engine.work.rows) == ([], 30)
    for _ in range(3):
        engine.answer(prompts, patches(engine, 6), Decoding(7))
    assert real.calls == [(2, 4)]
    measured = FakeEngine().answer(prompts[:2], patches(engine, 6)[:4], Decoding(7))
    lengths = [len(answer.tokens) for row in measured for answer in row]
    assert engine.work.rows == 30 + 3 * (30 + round(30 * (np.mean(lengths) - 1)))
    assert engine.work.decodes == 4 * 3 + 3 * (max(lengths) - 1)  # shared start, rest, first tokens; then one per token


def test_a_prompt_that_does_not_fit_is_refused_as_by_the_real_engine() -> None:
    with pytest.raises(UsageError, match="do not fit the context"):
        CountingEngine(FakeEngine()).read([zero_shot("word " * CONTEXT)])


def test_work_adds_up() -> None:
    engine = CountingEngine(FakeEngine())
    before = engine.work + Work()
    engine.answer([zero_shot(picture(1)), zero_shot(picture(2)), zero_shot(picture(1))])
    added = engine.work - before
    assert (added.rows, added.encodings, added.encoded) == (3, 2, 2)
    assert added + before == engine.work
