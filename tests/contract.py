"""What every engine promises, as one list of checks: `EVERY` for all, `EXACT` where kernels of all batch shapes agree.

They run on the fake, on small random models, on real ones; and `tvcli.doctor` is itself one of them.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from random_models import Family
from random_models.family import Size

from tvcli.doctor.checks import examine, queries
from tvcli.engine.llama import LlamaEngine
from tvcli.engine.protocol import Decoding, Engine, ImageTokens, Operation, Patch, Settings, tail
from tvcli.errors import UsageError
from tvcli.images import Image
from tvcli.prompts.prompt import Prompt, prompt_of, zero_shot

TEXTS = {
    "short": zero_shot("Greece"),
    "long": zero_shot("a much longer question, about the capital of France, which is Paris, and of Peru"),
    "other": zero_shot("Oslo"),
}
DEEP = 8  # layers; of a deeper model three are patched one by one, not all


@dataclass(frozen=True)
class Subject:
    """An engine, prompts of every kind that it takes, and the share of a patch's effect that kernels may differ by."""

    engine: Engine
    prompts: Mapping[str, Prompt] = field(default_factory=TEXTS.copy)
    rounding: float = 0.001

    @property
    def n_layer(self) -> int:
        return self.engine.model.n_layer

    @property
    def first(self) -> Prompt:
        return next(iter(self.prompts.values()))

    def layers(self) -> list[int]:
        """Those that are patched one by one."""
        deep = sorted({0, self.n_layer // 2, self.n_layer - 1})
        return deep if self.n_layer > DEEP else list(range(self.n_layer))

    def row(self, scale: float = 1.0, seed: int = 0) -> np.ndarray:
        """Random, float32 (D,)."""
        return (np.random.default_rng(seed).standard_normal(self.engine.model.n_embd) * scale).astype(np.float32)

    def own(self, prompt: Prompt) -> np.ndarray:
        """The prompt's residuals, float32 (L, D)."""
        return np.asarray(self.engine.read([prompt])[0])

    def noise(self, prompt: Prompt) -> list[Patch]:
        """For every layer a random row, as large as the prompt's own there."""
        return [Patch(layer, self.row(float(row.std()), layer)) for layer, row in enumerate(self.own(prompt))]

    def logits(self, prompt: Prompt, *patches: Patch | None) -> np.ndarray:
        """Under all patches in one batch, float32 (K, V)."""
        return np.asarray(self.engine.logits([prompt], patches)[0])


Check = Callable[[Subject], None]


# -- residuals and patches ------------------------------------------------------------------------------------


def residuals_have_the_models_shape(of: Subject) -> None:
    prompts = list(of.prompts.values())
    residuals = of.engine.read(prompts)
    assert residuals.shape == (len(prompts), of.n_layer, of.engine.model.n_embd)
    assert residuals.dtype == np.float32
    assert np.isfinite(residuals).all()
    assert residuals.any(axis=2).all()


def a_patch_with_the_prompts_own_residual_keeps_every_bit(of: Subject) -> None:
    for prompt in of.prompts.values():
        own, plain = of.own(prompt), of.logits(prompt, None)
        for layer in of.layers():
            assert np.array_equal(of.logits(prompt, Patch(layer, own[layer])), plain)


def layers_below_a_patch_keep_every_bit_and_those_above_do_not(of: Subject) -> None:
    for prompt in of.prompts.values():
        own = of.own(prompt)
        for layer in of.layers():
            for scale in (own[layer].std(), np.abs(own[layer]).max()):
                row = of.row(float(scale))
                [patched] = of.engine.read([prompt], Patch(layer, row))
                same = [np.array_equal(a, b) for a, b in zip(patched, own, strict=True)]
                assert same == [below < layer for below in range(of.n_layer)]
                assert np.array_equal(patched[layer], row)


def a_patch_changes_the_logits_at_every_layer(of: Subject) -> None:
    own = of.own(of.first)
    patches = [Patch(layer, of.row(float(np.abs(own[layer]).max()))) for layer in range(of.n_layer)]
    plain, *patched = of.logits(of.first, None, *patches)
    assert all(np.abs(logits - plain).max() > 0.01 for logits in patched)


def an_operation_is_given_the_residual_and_gives_what_takes_its_place(of: Subject) -> None:
    """Here another than overwriting; an engine knows none of them."""
    for prompt in of.prompts.values():
        own = of.own(prompt)
        for layer in of.layers():
            seen: list[np.ndarray] = []
            row = of.row(float(own[layer].std()))

            def add(residual: np.ndarray, row: np.ndarray, seen: list[np.ndarray] = seen) -> np.ndarray:
                seen.append(residual.copy())
                return np.asarray(residual + row)

            adding = Operation("adding to", add)
            [patched] = of.engine.read([prompt], Patch(layer, row, adding))
            assert np.array_equal(seen, [own[layer]])
            assert np.array_equal(patched[layer], own[layer] + row)
            overwriting = of.logits(prompt, Patch(layer, own[layer] + row))
            assert np.array_equal(of.logits(prompt, Patch(layer, row, adding)), overwriting)


def adding_what_is_missing_gives_the_logits_of_a_patch(of: Subject) -> None:
    for prompt in of.prompts.values():
        [plain] = of.logits(prompt, None)
        own, noise = of.own(prompt), of.noise(prompt)
        for layer in sorted({1, *of.layers()[1:]}):
            for patch in (noise[layer], Patch(layer, of.row(float(np.abs(own[layer]).max())))):
                [patched] = of.logits(prompt, patch)
                apart = np.abs(of.engine.logits_by_adapter(prompt, patch) - patched).max()
                assert apart < of.rounding * np.abs(patched - plain).max(), layer
        assert np.array_equal(of.logits(prompt, None)[0], plain)  # nothing is added any more


def a_layer_out_of_range_is_refused(of: Subject) -> None:
    for layer in (-1, of.n_layer, 10_000):
        patch = Patch(layer, of.row())
        for verb in (of.engine.answer, of.engine.logits):
            with pytest.raises(UsageError, match=f"layer {layer} is outside 0 to"):
                verb([of.first], [patch])
        with pytest.raises(UsageError, match=f"layer {layer} is outside 0 to"):
            of.engine.read([of.first], patch)


# -- no memory ------------------------------------------------------------------------------------------------


def the_same_call_twice_gives_the_same_bits(of: Subject) -> None:
    prompts, patches = list(of.prompts.values()), [None, Patch(of.n_layer // 2, of.row())]
    assert np.array_equal(of.engine.logits(prompts, patches), of.engine.logits(prompts, patches))


def what_ran_before_leaves_no_trace(of: Subject) -> None:
    """Nor does an image that was decoded without causality, or a recurrent state that went on."""
    before = {name: of.logits(prompt, None) for name, prompt in of.prompts.items()}
    everything = list(of.prompts.values())
    of.engine.answer(everything, [Patch(0, of.row(1e4))], Decoding(5))
    of.engine.answer(everything, of.noise(everything[0]), Decoding(5, stop_at_newline=False))
    of.engine.read(everything)
    for name, prompt in reversed(list(of.prompts.items())):
        assert np.array_equal(of.logits(prompt, None), before[name]), name


def even_infinite_numbers_leave_no_trace(of: Subject) -> None:
    before, prompts = of.logits(of.first, None), list(of.prompts.values())
    infinite = Patch(0, np.full(of.engine.model.n_embd, np.inf, np.float32))
    runs: list[Callable[[], object]] = [
        lambda: of.engine.answer(prompts, [infinite], Decoding(3)),
        lambda: of.engine.logits(prompts, [infinite]),
        lambda: of.engine.read(prompts, infinite),
        lambda: of.engine.logits_by_adapter(of.first, replace(infinite, layer=1)),
    ]
    for number, run in enumerate(runs):
        run()
        assert np.array_equal(of.logits(of.first, None), before), number


# -- answers --------------------------------------------------------------------------------------------------


def an_answer_begins_with_the_top_token(of: Subject) -> None:
    for prompt in of.prompts.values():
        [[answer]] = of.engine.answer([prompt], decoding=Decoding(1))
        [logits] = of.logits(prompt, None)
        assert answer.first == int(logits.argmax())
        second, first = np.sort(logits)[-2:]
        assert answer.margin == pytest.approx(float(first - second), abs=1e-4)


def a_longer_answer_continues_a_shorter_one(of: Subject) -> None:
    [[short]] = of.engine.answer([of.first], decoding=Decoding(2, stop_at_newline=False))
    [[long]] = of.engine.answer([of.first], decoding=Decoding(6, stop_at_newline=False))
    assert long.tokens[:2] == short.tokens


def an_answer_ends_at_the_first_newline(of: Subject) -> None:
    for row in of.engine.answer(list(of.prompts.values()), decoding=Decoding(40)):
        assert "\n" not in row[0].text


def a_prompt_longer_than_the_context_is_refused(of: Subject) -> None:
    with pytest.raises(UsageError, match="context of"):
        of.engine.answer([zero_shot("word " * 5000)])
    assert of.engine.answer([of.first])  # and the engine still works


# -- tokens ---------------------------------------------------------------------------------------------------


def the_delimiter_is_the_same_token_after_text_images_and_tiles(of: Subject) -> None:
    ends = [tail(of.engine, prompt, 3) for prompt in of.prompts.values()]
    assert {end[-1].text for end in ends} == {":"}
    assert len({end[-1].id for end in ends}) == 1
    assert {end[-2].text.strip() for end in ends} == {"A"}


def the_layout_is_every_token_and_the_tail_its_end(of: Subject) -> None:
    for prompt in of.prompts.values():
        layout, end = of.engine.layout(prompt), tail(of.engine, prompt, 10_000)
        assert end == layout[-len(end) :]
        assert tail(of.engine, prompt, 2) == layout[-2:]
        runs = [piece.count for piece in layout if isinstance(piece, ImageTokens)]
        assert all(count > 0 for count in runs)
        assert len(runs) >= len(prompt.images)
        assert bool(runs) == bool(prompt.images)
        assert prompt.images or end == layout


def every_layer_lies_in_some_memory(of: Subject) -> None:
    assert len(of.engine.buffers) == of.n_layer
    assert all(of.engine.buffers)


def doctor_finds_it_healthy(of: Subject) -> None:
    checks = list(examine(of.engine, queries(of.engine), lambda passes: None))
    assert not [check for check in checks if not check.healthy]


# -- where kernels agree --------------------------------------------------------------------------------------


def a_sweep_is_its_single_runs(of: Subject) -> None:
    for name, prompt in of.prompts.items():
        patches = of.noise(prompt)
        plain, *sweep = of.logits(prompt, None, *patches)
        single = [of.logits(prompt, patch)[0] for patch in patches]
        for layer, (one, other) in enumerate(zip(sweep, single, strict=True)):
            assert np.abs(one - other).max() < of.rounding * np.abs(other - plain).max(), (name, layer)
            assert one.argmax() == other.argmax(), (name, layer)


def prompts_of_every_kind_share_a_batch_in_any_order(of: Subject) -> None:
    prompts = list(of.prompts.values())
    alone = np.stack([of.own(prompt) for prompt in prompts])
    for order in (list(range(len(prompts))), list(range(len(prompts)))[::-1]):
        together = of.engine.read([prompts[i] for i in order])
        assert np.abs(together - alone[order]).max() < of.rounding * np.abs(alone).max()


def every_picture_of_a_prompt_and_every_part_of_it_is_seen(of: Subject) -> None:
    for prompt in of.prompts.values():
        own = of.own(prompt)
        for number, image in enumerate(prompt.images):
            for corner in (0, -1):  # the first tile and the last, the first patch and the last
                assert isinstance(image, Image)
                pixels = image.pixels.copy()
                pixels[corner, corner] = 255 - pixels[corner, corner]
                other = Image(pixels, f"{image.name}, {corner}")
                parts = [other if part is image else part for part in prompt.parts]
                changed = of.own(Prompt(tuple(parts)))
                assert not np.array_equal(changed[-1], own[-1]), (number, corner)


EVERY: list[Check] = [
    residuals_have_the_models_shape,
    a_patch_with_the_prompts_own_residual_keeps_every_bit,
    layers_below_a_patch_keep_every_bit_and_those_above_do_not,
    a_patch_changes_the_logits_at_every_layer,
    an_operation_is_given_the_residual_and_gives_what_takes_its_place,
    adding_what_is_missing_gives_the_logits_of_a_patch,
    a_layer_out_of_range_is_refused,
    the_same_call_twice_gives_the_same_bits,
    what_ran_before_leaves_no_trace,
    even_infinite_numbers_leave_no_trace,
    an_answer_begins_with_the_top_token,
    a_longer_answer_continues_a_shorter_one,
    an_answer_ends_at_the_first_newline,
    a_prompt_longer_than_the_context_is_refused,
    the_delimiter_is_the_same_token_after_text_images_and_tiles,
    the_layout_is_every_token_and_the_tail_its_end,
    every_layer_lies_in_some_memory,
    doctor_finds_it_healthy,
]
EXACT: list[Check] = [
    a_sweep_is_its_single_runs,
    prompts_of_every_kind_share_a_batch_in_any_order,
    every_picture_of_a_prompt_and_every_part_of_it_is_seen,
]


def a_closed_engine_says_so(engine: Engine, prompt: Prompt) -> None:
    """Closes it, and asks it everything."""
    patch = Patch(1, np.zeros(engine.model.n_embd, np.float32))
    image = Image(np.zeros((8, 8, 3), np.uint8), "black")
    for _ in range(2):
        engine.close()
    verbs: list[Callable[[], object]] = [
        lambda: engine.layout(prompt),
        lambda: tail(engine, prompt, 1),
        lambda: engine.tokens("x"),
        lambda: engine.token_text(1),
        lambda: engine.read([prompt]),
        lambda: engine.logits([prompt], [patch]),
        lambda: engine.logits_by_adapter(prompt, patch),
        lambda: engine.answer([prompt], [None, patch], Decoding(2)),
        lambda: engine.answer([zero_shot(image)]),
        lambda: engine.forget(image),
    ]
    for verb in verbs:
        with pytest.raises(UsageError) as caught:
            verb()
        assert str(caught.value) == f"the model {engine.model.name} is closed; open it again"


# -- random models --------------------------------------------------------------------------------------------


def random_picture(size: Size, seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8), f"noise {seed}")


def prompts_of(family: Family) -> dict[str, Prompt]:
    """A short text, a longer one, and where the family sees: one picture, two, and one that is cut into tiles."""
    prompts = {
        "short": zero_shot("Greece"),
        "long": zero_shot("the capital of the country France is Paris, and of Peru Lima"),
    }
    if family.image is not None:
        first, second = random_picture(family.image, 1), random_picture(family.image, 2)
        prompts["one"] = zero_shot(first)
        prompts["two"] = prompt_of("Q:", first, "\nA: Paris\n\nQ:", second, "\nA:")
    if family.tiled is not None:
        prompts["tiled"] = zero_shot(random_picture(family.tiled, 3))
    return prompts


def engine_of(family: Family, folder: Path) -> LlamaEngine:
    """A family's files in llama.cpp.

    Its Pixtral graph multiplies memory that nobody wrote by zero, so NaN left in it stays. Buffers of real models
    come fresh from the system, as zeros; these small ones come from the heap, unless glibc is told otherwise
    (M_MMAP_THRESHOLD).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).mallopt(-3, 1 << 16)
    files = family.write(folder)
    return LlamaEngine(files.text, files.vision, Settings(threads=1))
