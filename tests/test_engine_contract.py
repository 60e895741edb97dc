"""What every engine promises. Runs on the fake always, on real models where their weights are installed."""

from collections.abc import Iterator

import numpy as np
import pytest

from tvcli.engine.fake import FakeEngine
from tvcli.engine.protocol import Decoding, Engine, ImageTokens, Patch, tail
from tvcli.errors import UsageError
from tvcli.images import Image
from tvcli.models.opening import open_model
from tvcli.prompts.prompt import zero_shot

REAL = [pytest.param(name, marks=pytest.mark.model) for name in ("picto", "smollm2-135m")]


@pytest.fixture(scope="module", params=["fake", *REAL])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with open_model(request.param) as loaded:
        yield loaded.engine


QUERIES = [zero_shot("Greece"), zero_shot("a much longer question, about Peru"), zero_shot("Oslo")]


def middle(engine: Engine) -> int:
    return engine.model.n_layer // 2


def random_row(engine: Engine, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(engine.model.n_embd) * scale).astype(np.float32)


def test_residuals_have_the_models_shape(engine: Engine) -> None:
    residuals = engine.read(QUERIES)
    assert residuals.shape == (3, engine.model.n_layer, engine.model.n_embd)
    assert residuals.dtype == np.float32
    assert np.isfinite(residuals).all()


def test_patching_a_query_with_its_own_residual_changes_nothing(engine: Engine) -> None:
    [own] = engine.read(QUERIES[:1])
    plain = engine.logits(QUERIES[:1])
    for layer in (0, middle(engine), engine.model.n_layer - 1):
        assert np.array_equal(engine.logits(QUERIES[:1], [Patch(layer, own[layer])]), plain)


def test_layers_below_a_patch_stay_as_they_are_and_layers_above_do_not(engine: Engine) -> None:
    [own] = engine.read(QUERIES[:1])
    for layer in (0, middle(engine), engine.model.n_layer - 1):
        row = random_row(engine, float(np.abs(own[layer]).max()))
        [patched] = engine.read(QUERIES[:1], Patch(layer, row))
        assert np.array_equal(patched[:layer], own[:layer])
        assert np.array_equal(patched[layer], row)
        assert not any(np.array_equal(a, b) for a, b in zip(patched[layer + 1 :], own[layer + 1 :], strict=True))


def test_a_patch_changes_the_logits_at_every_layer(engine: Engine) -> None:
    [own] = engine.read(QUERIES[:1])
    layers = range(engine.model.n_layer)
    patches = [Patch(layer, random_row(engine, float(np.abs(own[layer]).max()))) for layer in layers]
    plain, *patched = engine.logits(QUERIES[:1], [None, *patches])[0]
    assert all(np.abs(logits - plain).max() > 0.01 for logits in patched)


def test_the_same_call_twice_gives_the_same_bits(engine: Engine) -> None:
    patches = [None, Patch(middle(engine), random_row(engine))]
    assert np.array_equal(engine.logits(QUERIES, patches), engine.logits(QUERIES, patches))


def test_what_ran_before_leaves_no_trace(engine: Engine) -> None:
    before = engine.logits(QUERIES[:1])
    engine.answer(QUERIES, [Patch(0, random_row(engine, 1e4))], Decoding(5))
    engine.read(QUERIES)
    assert np.array_equal(engine.logits(QUERIES[:1]), before)


def test_even_infinite_numbers_leave_no_trace(engine: Engine) -> None:
    before = engine.logits(QUERIES[:1])
    engine.answer(QUERIES, [Patch(0, np.full(engine.model.n_embd, np.inf, np.float32))], Decoding(3))
    assert np.array_equal(engine.logits(QUERIES[:1]), before)


def test_an_answer_begins_with_the_top_token(engine: Engine) -> None:
    [[answer]] = engine.answer(QUERIES[:1], decoding=Decoding(1))
    logits = engine.logits(QUERIES[:1])[0, 0]
    assert answer.first == int(logits.argmax())
    second, first = np.sort(logits)[-2:]
    assert answer.margin == pytest.approx(float(first - second), abs=1e-4)


def test_a_longer_answer_continues_a_shorter_one(engine: Engine) -> None:
    [[short]] = engine.answer(QUERIES[:1], decoding=Decoding(2, stop_at_newline=False))
    [[long]] = engine.answer(QUERIES[:1], decoding=Decoding(6, stop_at_newline=False))
    assert long.tokens[:2] == short.tokens


def test_an_answer_ends_at_the_first_newline(engine: Engine) -> None:
    for row in engine.answer(QUERIES, decoding=Decoding(40)):
        assert "\n" not in row[0].text


@pytest.mark.parametrize("layer", [-1, 10_000])
def test_a_layer_out_of_range_is_refused(engine: Engine, layer: int) -> None:
    patch = Patch(layer, random_row(engine))
    for verb in (engine.answer, engine.logits):
        with pytest.raises(UsageError, match=f"layer {layer} is outside 0 to"):
            verb(QUERIES[:1], [patch])
    with pytest.raises(UsageError, match=f"layer {layer} is outside 0 to"):
        engine.read(QUERIES[:1], patch)


def test_a_prompt_longer_than_the_context_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match="context of"):
        engine.answer([zero_shot("word " * 5000)])
    assert engine.answer(QUERIES[:1])  # and the engine still works


def test_the_delimiter_is_the_last_token(engine: Engine) -> None:
    tokens = tail(engine, QUERIES[0], 3)
    assert tokens[-1].text == ":"
    assert len({tail(engine, one, 1)[-1].id for one in QUERIES}) == 1


def test_the_layout_is_every_token_and_the_tail_its_end(engine: Engine) -> None:
    for prompt in QUERIES:
        layout = engine.layout(prompt)
        assert layout == tail(engine, prompt, 10_000)
        assert layout[-3:] == tail(engine, prompt, 3)
    if engine.has_vision:
        picture = zero_shot(Image(np.zeros((8, 8, 3), np.uint8), "black"))
        runs = [piece for piece in engine.layout(picture) if isinstance(piece, ImageTokens)]
        assert [run.count > 0 for run in runs] == [True]
        assert tail(engine, picture, 10_000) == engine.layout(picture)[-len(tail(engine, picture, 10_000)) :]


def test_every_layer_lies_in_some_memory(engine: Engine) -> None:
    assert len(engine.buffers) == engine.model.n_layer
    assert all(engine.buffers)


def test_adding_what_is_missing_gives_the_logits_of_a_patch(engine: Engine) -> None:
    [own] = engine.read(QUERIES[:1])
    [plain] = engine.logits(QUERIES[:1])[0]
    for layer in {1, middle(engine), engine.model.n_layer - 1}:
        patch = Patch(layer, random_row(engine, float(np.abs(own[layer]).max())))
        [patched] = engine.logits(QUERIES[:1], [patch])[0]
        apart = np.abs(engine.logits_by_adapter(QUERIES[0], patch) - patched).max()
        assert apart < 0.001 * np.abs(patched - plain).max()
    assert np.array_equal(engine.logits(QUERIES[:1])[0, 0], plain)  # nothing is added any more


def test_the_fake_has_the_protocols_names() -> None:
    typed: Engine = FakeEngine()  # also checked by mypy in tvcli/models/opening.py
    assert {name for name in vars(Engine) if not name.startswith("_")} <= set(dir(typed))
