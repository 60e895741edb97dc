"""Plots: PNG, SVG or PDF by the file's suffix, with matplotlib (the extra `plots`).

Readable for the color-blind, on white and on black: Okabe and Ito's colors, with gray for their yellow, which is hard
to see on white; and each series also has its own line style and marker.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvcli.errors import UnavailableError, UsageError
from tvcli.files import check_target, replacing

log = logging.getLogger(__name__)
FORMATS = (".png", ".svg", ".pdf")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888")
STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INSTALL = "pip install 'tvcli[plots]'"


def available() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def projection() -> str:
    """t-SNE if scikit-learn is installed, else PCA."""
    return "tsne" if importlib.util.find_spec("sklearn") else "pca"


def check_projection(method: str) -> None:
    """Check before the work. Raises UnavailableError for t-SNE without scikit-learn."""
    if method == "tsne" and projection() != method:
        raise UnavailableError(f"`method` tsne needs scikit-learn; run: {INSTALL}; or use `method` pca")


def check_plot_file(path: Path) -> None:
    """Check before the work: a supported format, a writable path, and matplotlib.

    Raises:
        UsageError: an unknown format; see also `files.check_target`.
        UnavailableError: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path} is not a supported plot format; use one of {', '.join(FORMATS)}")
    check_target(path)
    if not available():
        raise UnavailableError(f"plots need matplotlib; run: {INSTALL}")


def drawn(draw: Callable[[Path], None], suffix: str) -> bytes:
    """The plot that `draw` writes, in the format of the suffix (``.png``), where it is shown and not saved."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"plot{suffix}"
        draw(path)
        return path.read_bytes()


def curves(path: Path, series: Mapping[str, Sequence[float] | np.ndarray], *, x: str, y: str, title: str = "") -> None:
    """A line for each series over its index (layers)."""
    figure, axes = _figure(8.5 if len(series) > 1 else 6, 4)
    for i, (name, values) in enumerate(series.items()):
        axes.plot(range(len(values)), values, label=_legend_label(name), markersize=4, **_look(i))
    axes.xaxis.get_major_locator().set_params(integer=True)
    _finish(path, figure, axes, x=x, y=y, title=title, legend=len(series) > 1)


Spread = tuple[float, float, float]  # a mean, and the ends of its interval


def intervals(path: Path, series: Mapping[str, Sequence[Spread]], names: Sequence[str], *, y: str) -> None:
    """A point with its interval for each series and each of `names`, side by side."""
    figure, axes = _figure(3.5 + 0.9 * len(names), 4)
    apart = 0.6 / max(1, len(series) - 1)
    for i, (name, spreads) in enumerate(series.items()):
        mean, low, high = np.array(spreads, np.float64).reshape(-1, 3).T
        places = np.arange(len(mean)) + (i - (len(series) - 1) / 2) * apart
        look = {**_look(i), "linestyle": "none"}
        axes.errorbar(
            places, mean, [mean - low, high - mean], label=_legend_label(name), markersize=5, capsize=2, **look
        )
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_ylim(0, 1)
    _finish(path, figure, axes, x="", y=y, title="", legend=len(series) > 1)


def matrices(path: Path, panels: Mapping[str, np.ndarray], names: Sequence[str], *, title: str = "") -> None:
    """One heat map per panel, float (N, N), with its numbers."""
    figure, all_axes = _figure(2.2 + 0.75 * len(names) * len(panels), 2 + 0.6 * len(names), columns=len(panels))
    for axes, (name, values) in zip(np.atleast_1d(all_axes), panels.items(), strict=True):
        axes.imshow(values, vmin=-1, vmax=1, cmap="PuOr")
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_title(name)
        for (i, j), value in np.ndenumerate(values):
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if abs(value) > 0.6 else "black")
    figure.suptitle(title)
    _save(path, figure)


def maps(
    path: Path,
    panels: Mapping[str, np.ndarray],
    colors: Sequence[str],
    markers: Sequence[str],
    *,
    title: str = "",
) -> None:
    """One scatter plot per panel, float (N, 2), colored by one label and marked by another."""
    figure, all_axes = _figure(5.4 * len(panels), 5, columns=len(panels))
    hues, shapes = list(dict.fromkeys(colors)), list(dict.fromkeys(markers))
    for axes, (name, points) in zip(np.atleast_1d(all_axes), panels.items(), strict=True):
        for hue in hues:
            for shape in shapes:
                chosen = [c == hue and m == shape for c, m in zip(colors, markers, strict=True)]
                look = {"color": COLORS[hues.index(hue) % 8], "marker": MARKERS[shapes.index(shape) % 8]}
                filled = {"facecolors": "none"} if shapes.index(shape) % 2 else {}
                axes.scatter(
                    *points[chosen].T,
                    s=28,
                    label=_legend_label(f"{hue}, {shape}"),
                    alpha=0.85,
                    **_outline(look, filled),
                )
        axes.set_title(name)
        axes.set_xticks([])
        axes.set_yticks([])
    np.atleast_1d(all_axes)[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    figure.suptitle(title)
    _save(path, figure)


def _legend_label(name: str) -> str:
    """matplotlib leaves names out of the legend that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def _outline(look: dict[str, str], filled: dict[str, str]) -> dict[str, str]:
    """Open markers for every other shape, so that small shapes can be told apart."""
    return {
        "marker": look["marker"],
        "edgecolors": look["color"],
        "facecolors": filled.get("facecolors", look["color"]),
    }


def _look(i: int) -> dict[str, str]:
    return {"color": COLORS[i % 8], "linestyle": STYLES[i % 4], "marker": MARKERS[i % 8]}


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["text.parse_math"] = False  # a $ in a name is a $
    mpl.rcParams["svg.hashsalt"] = "tv"  # the same plot gives the same file
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained")
    return figure, axes


def _finish(path: Path, figure: Any, axes: Any, *, x: str, y: str, title: str, legend: bool) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:  # outside the axes, so that it hides nothing
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(path, figure)


def _save(path: Path, figure: Any) -> None:
    import matplotlib.pyplot as plt

    with replacing(path) as temporary, warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=".*missing from font")
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=160, metadata=_undated(path))
    plt.close(figure)
    if any("missing from font" in str(warning.message) for warning in caught):
        log.warning("%s: the font lacks characters of the names, which are drawn as boxes", path)


def _undated(path: Path) -> dict[str, None]:
    """No time of creation in the file: the same data give the same bytes."""
    return {"Date": None} if path.suffix.lower() == ".svg" else {}
