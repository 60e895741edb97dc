"""Which prompts and patches share a decode.

The plan depends only on prompts and patches, never on timing or chance, so that the same command gives the same
answers: llama.cpp picks its kernels by the shape of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tvcli.errors import UsageError


def shared_start(starts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts start with; none for a single prompt, which shares its start with no other."""
    if len(starts) < 2:
        return 0
    count = 0
    while all(count < len(start) and start[count] == starts[0][count] for start in starts):
        count += 1
    return count


@dataclass(frozen=True)
class Limits:
    """The limits of one decode."""

    rows: int  # sequences, and outputs per batch
    cells: int  # of the KV cache, over all sequences
    tokens: int = 2048  # of a prompt's text, per decode


@dataclass(frozen=True)
class Block:
    """Prompts `prompts` under patches `patches`, one row each: row = prompt × len(patches) + patch."""

    prompts: range
    patches: range

    @property
    def rows(self) -> int:
        return len(self.prompts) * len(self.patches)


def plan(lengths: Sequence[int], n_patches: int, new_tokens: int, limits: Limits) -> Iterator[Block]:
    """Cut N prompts (of `lengths` tokens) × K patches into blocks that fit.

    A row costs a sequence and `new_tokens` cells, a prompt its other tokens once for all of its patches.

    Raises:
        UsageError: a prompt does not fit even alone.
    """
    start = 0
    while start < len(lengths):
        end, cells = start, 0
        while end < len(lengths):
            cost = lengths[end] - 1 + n_patches * new_tokens
            if end > start and ((end - start + 1) * n_patches > limits.rows or cells + cost > limits.cells):
                break
            end, cells = end + 1, cells + cost
        if end - start > 1:
            yield Block(range(start, end), range(n_patches))
        else:
            yield from _one_prompt(start, lengths[start], n_patches, new_tokens, limits)
        start = end


def _one_prompt(index: int, length: int, n_patches: int, new_tokens: int, limits: Limits) -> Iterator[Block]:
    room = (limits.cells - (length - 1)) // new_tokens
    if room < 1:
        raise UsageError(
            f"a prompt of {length} tokens and {new_tokens} new ones do not fit the context of {limits.cells}; "
            "use fewer `shots` or a larger `context`"
        )
    step = min(limits.rows, room)
    for first in range(0, n_patches, step):
        yield Block(range(index, index + 1), range(first, min(first + step, n_patches)))
