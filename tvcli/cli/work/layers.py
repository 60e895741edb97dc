"""The text of --layer."""

from __future__ import annotations

import re

from tvcli.errors import UsageError
from tvcli.method.layers import check_layer


def parse_layer(text: str, n_layer: int) -> list[int]:
    """``all`` or one layer number.

    Raises:
        UsageError: not a number, or out of range.
    """
    if text == "all":
        return list(range(n_layer))
    if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()):  # int() would also take 0_2
        raise UsageError(f"--layer must be a number or 'all', not {text!r}")
    return [check_layer(int(text), n_layer)]
