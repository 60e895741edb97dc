"""Batches are planned from the work alone, and everything is in exactly one of them."""

import itertools

import pytest

from tvcli.engine.batches import Limits, plan
from tvcli.errors import UsageError


@pytest.mark.parametrize(
    ("lengths", "patches", "new_tokens", "rows", "cells"),
    list(itertools.product([[5], [5, 9, 3, 30, 7], [4] * 40], [1, 3, 18], [1, 4], [7, 64], [60, 400])),
)
def test_every_prompt_meets_every_patch_once_and_fits(
    lengths: list[int], patches: int, new_tokens: int, rows: int, cells: int
) -> None:
    seen: list[tuple[int, int]] = []
    for block in plan(lengths, patches, new_tokens, Limits(rows, cells)):
        assert block.rows <= rows
        used = sum(lengths[i] - 1 for i in block.prompts) + block.rows * new_tokens
        assert used <= cells
        seen += itertools.product(block.prompts, block.patches)
    assert seen == sorted(set(seen))
    assert set(seen) == set(itertools.product(range(len(lengths)), range(patches)))


def test_what_fits_together_stays_together() -> None:
    assert len(list(plan([5] * 10, 3, 1, Limits(256, 4096)))) == 1


def cut(lengths: list[int], patches: int, new_tokens: int, limits: Limits) -> list[tuple[range, range]]:
    return [(block.prompts, block.patches) for block in plan(lengths, patches, new_tokens, limits)]


def test_prompts_fill_a_block_to_its_last_row() -> None:
    blocks = [(range(3), range(2)), (range(3, 6), range(2))]
    assert cut([5] * 6, 2, 1, Limits(6, 4096)) == blocks
    assert cut([5] * 6, 2, 1, Limits(7, 4096)) == blocks


def test_prompts_fill_a_block_to_its_last_cell() -> None:
    halves = [(range(2), range(2)), (range(2, 4), range(2))]
    assert cut([5] * 4, 2, 3, Limits(256, 20)) == halves  # 4 + 2 × 3 cells each
    assert cut([5] * 4, 2, 3, Limits(256, 29)) == halves
    assert cut([5] * 4, 2, 3, Limits(256, 30)) == [(range(3), range(2)), (range(3, 4), range(2))]


def test_the_patches_of_one_prompt_fill_the_cells_to_the_last() -> None:
    alone = range(1)
    assert cut([10], 3, 3, Limits(256, 12)) == [(alone, range(k, k + 1)) for k in range(3)]
    assert cut([10], 3, 3, Limits(256, 15)) == [(alone, range(2)), (alone, range(2, 3))]
    assert cut([10], 3, 3, Limits(2, 4096)) == [(alone, range(2)), (alone, range(2, 3))]


def test_a_prompt_that_just_fits_is_answered_and_one_that_is_a_token_longer_is_refused() -> None:
    assert cut([98], 1, 3, Limits(256, 100)) == [(range(1), range(1))]
    with pytest.raises(UsageError, match="a prompt of 99 tokens and 3 new ones"):
        cut([99], 1, 3, Limits(256, 100))


def test_a_prompt_that_is_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(UsageError) as caught:
        list(plan([5, 101], 1, 8, Limits(256, 100)))
    assert str(caught.value) == (
        "a prompt of 101 tokens and 8 new ones do not fit the context of 100; use fewer `shots` or a larger `context`"
    )
