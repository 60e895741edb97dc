"""Pictures that commands draw beside their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvcli.output import out

if TYPE_CHECKING:
    import numpy as np


def check(plot: Path | None) -> None:
    """Before the work starts. Raises what `plots.check_picture` does."""
    if plot is not None:
        from tvcli.plots import check_picture

        check_picture(plot)


def curves(plot: Path | None, series: Mapping[str, Any], **labels: str) -> None:
    _draw("curves", plot, series, **labels)


def matrices(plot: Path | None, panels: Mapping[str, np.ndarray], *rest: Any, **labels: str) -> None:
    _draw("matrices", plot, panels, *rest, **labels)


def maps(plot: Path | None, panels: Mapping[str, np.ndarray], *rest: Any, **labels: str) -> None:
    _draw("maps", plot, panels, *rest, **labels)


def _draw(kind: str, plot: Path | None, *data: Any, **labels: str) -> None:
    from tvcli import plots

    if plot is None:
        if not plots.available():
            out.detail(f"pictures with --plot need: {plots.INSTALL}")
        return
    getattr(plots, kind)(plot, *data, **labels)
    out.note(f"drew {plot}")
