"""Batches are planned from the work alone, and everything is in exactly one of them."""

import itertools

import pytest

from tvcli.engine.plan import Limits, plan
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


def test_a_prompt_that_is_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(UsageError, match=r"a prompt of 101 tokens and 8 new ones do not fit the context of 100"):
        list(plan([5, 101], 1, 8, Limits(256, 100)))
