"""The contents of a vector as text and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from tvcli.kinds import Picture
from tvcli.vector import Provenance, TaskVector

BARS = "▁▂▃▄▅▆▇█"


def norms(vector: TaskVector) -> np.ndarray:
    """Euclidean length of the residual of each layer, float64 (L,)."""
    return np.asarray(np.linalg.norm(vector.rows.astype(np.float64), axis=1))


def describe_record(vector: TaskVector) -> dict[str, Any]:
    """Everything but the array, for JSON."""
    shape = {"layers": vector.n_layer, "width": vector.n_embd, "norms": [round(float(n), 4) for n in norms(vector)]}
    return {**shape, **vector.provenance.to_json()}


def describe_lines(vector: TaskVector) -> list[tuple[str, str]]:
    """Names and values to print; unknown values are left out."""
    origin = vector.provenance
    lines = [
        ("shape", f"{vector.n_layer} layers × {vector.n_embd}, float32"),
        ("model", f"{origin.model} {origin.model.quantization}".rstrip() if origin.model else "not recorded"),
        ("source", origin.source),
        ("images", Picture(origin.picture).words if origin.picture in set(Picture) else origin.picture),
        ("instruction", origin.instruction),
        ("prompts", _prompts(origin)),
        ("template", origin.template),
        ("images", f"repaired: {origin.vision}" if origin.vision else ""),
        ("delimiter", f"{origin.delimiter} (token {origin.delimiter_id})" if origin.delimiter else ""),
        ("layer", _layer(origin)),
        *(("part", f"{part['weight']:g} × {part['vector'].get('source', 'unknown')}") for part in origin.parts),
        ("norms", _range(norms(vector))),
        ("written by", f"tv {origin.tv_version}" if origin.tv_version else ""),
    ]
    return [(name, value) for name, value in lines if value]


def reading(vector: TaskVector) -> str:
    """Which prompts the vector was read from, at which token: a sentence for a vector that was just read."""
    origin = vector.provenance
    shots = f" of {origin.shots} examples" if origin.shots else ""
    return (
        f"read {origin.prompts} prompt{'s' if origin.prompts != 1 else ''}{shots} ({origin.source}) "
        f"with {origin.model}, layers 0 to {vector.n_layer - 1}, "
        f"at the delimiter {origin.delimiter!r} (token {origin.delimiter_id})"
    )


def _prompts(origin: Provenance) -> str:
    if origin.prompts is None:
        return ""
    return f"{origin.prompts}" + (f" of {origin.shots} examples, seed {origin.seed}" if origin.shots else "")


def _layer(origin: Provenance) -> str:
    if origin.layer is None:
        return "none selected"
    accuracy = f", {origin.accuracy:.0%}" if origin.accuracy is not None else ""
    return f"{origin.layer} ({origin.layer_selection}{accuracy})"


def sparkline(values: np.ndarray) -> str:
    """One bar per value, scaled from the lowest to the highest."""
    low, high = float(values.min()), float(values.max())
    steps = (values - low) / (high - low or 1.0) * (len(BARS) - 1)
    return "".join(BARS[round(float(step))] for step in steps)


def _range(values: np.ndarray) -> str:
    return f"{sparkline(values)} {values.min():.0f} to {values.max():.0f}, layer 0 to {len(values) - 1}"
