"""The text of --layer."""

from __future__ import annotations

from tvcli.errors import UsageError
from tvcli.method.layers import check_layer


def parse_layer(text: str, n_layer: int) -> list[int]:
    """``all`` or one layer number.

    Raises:
        UsageError: not a number, or out of range.
    """
    if text == "all":
        return list(range(n_layer))
    try:
        layer = int(text)
    except ValueError as error:
        raise UsageError(f"--layer must be a number or 'all', not {text!r}") from error
    return [check_layer(layer, n_layer)]
