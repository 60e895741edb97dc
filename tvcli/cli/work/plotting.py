"""Plots that commands draw in addition to their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvcli import plots
from tvcli.cli.output import out
from tvcli.files import check_not_input


def check(plot: Path | None, inputs: Iterable[Path | None] = ()) -> None:
    """Check before the work starts. Raises what `plots.check_plot_file` and `files.check_not_input` do."""
    if plot is not None:
        plots.check_plot_file(plot)
        check_not_input(plot, inputs)


def curves(plot: Path | None, series: Mapping[str, Any], **labels: str) -> None:
    _draw(plots.curves, plot, series, **labels)


def matrices(plot: Path | None, panels: Mapping[str, np.ndarray], names: Sequence[str], **labels: str) -> None:
    _draw(plots.matrices, plot, panels, names, **labels)


def maps(
    plot: Path | None, panels: Mapping[str, np.ndarray], tasks: Sequence[str], modalities: Sequence[str], **labels: str
) -> None:
    _draw(plots.maps, plot, panels, tasks, modalities, **labels)


def _draw(drawing: Callable[..., None], plot: Path | None, *data: Any, **labels: str) -> None:
    if plot is not None:
        drawing(plot, *data, **labels)
        out.note(f"drew {plot}")
    elif not plots.available():
        out.detail(f"--plot needs: {plots.INSTALL}")
