"""When an answer counts as correct."""

from __future__ import annotations

from collections.abc import Sequence


def correct(prediction: str, labels: Sequence[str]) -> bool:
    """The paper's metric: stripped, both non-empty, and one starts with the other; any accepted label counts.

    One new token is judged, so "Kath" is right for Kathmandu.
    """
    predicted = prediction.strip()
    stripped = [label.strip() for label in labels]
    return any(
        bool(predicted and label) and (predicted.startswith(label) or label.startswith(predicted)) for label in stripped
    )
