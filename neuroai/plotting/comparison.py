"""Two models on the same targets, and several side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike

from neuroai.plotting.style import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    SEQUENTIAL,
    colour_bar,
    describe,
    grid,
    legend_above,
    name_ticks,
    new_axes,
    note,
)


def comparison_histogram(
    first: ArrayLike,
    second: ArrayLike,
    *,
    names: tuple[str, str] = ("first", "second"),
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the two-dimensional histogram of two models' scores on the same targets.

    Up to 400 targets are drawn as points instead, since most cells would hold one.

    Parameters
    ----------
    first, second : arrays of shape (n_targets,)
        Scores; a target counts where both are defined.
    names : tuple of str
        Names of the models.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> comparison_histogram([0.1, 0.2], [0.2, 0.3], names=("ridge", "attention")).get_ylabel()
    'attention (r)'
    """
    ax = new_axes(ax, width=5.0, height=4.2)
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    describe(ax, title=title, x=f"{names[0]} (r)", y=f"{names[1]} (r)")
    if x.size == 0:
        return note(ax, "no target is defined in both")
    low, high = float(min(x.min(), y.min(), 0.0)), float(max(x.max(), y.max(), 0.05))
    pad = 0.04 * (high - low)
    edges = np.linspace(low - pad, high + pad, 51)
    if x.size <= 400:
        ax.scatter(x, y, s=20, color=BLUE, alpha=0.65, linewidths=0)
    else:
        *_, image = ax.hist2d(x, y, bins=[edges, edges], cmap=SEQUENTIAL, norm=LogNorm(), rasterized=True)
        colour_bar(ax, image, "targets")
    ax.plot(edges[[0, -1]], edges[[0, -1]], color=INK, linewidth=0.8, linestyle="--")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(edges[0], edges[-1])
    ax.locator_params(nbins=6)
    ax.set_aspect("equal")
    grid(ax, "both")
    better = float(np.mean(y > x))
    ax.text(
        0.03, 0.97, f"above the line: {better:.0%}", transform=ax.transAxes, va="top", color=INK, fontsize=9
    )
    return ax


def model_bars(
    names: Sequence[str],
    medians: ArrayLike,
    intervals: ArrayLike,
    *,
    ceiling: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw each model's median score with its interval.

    Parameters
    ----------
    names : sequence of str
        One a model.
    medians : array of shape (n_models,)
        Median r over targets.
    intervals : array of shape (n_models, 2)
        Lower and upper bound.
    ceiling : float, optional
        Median ceiling on r, drawn as a line.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> len(model_bars(["a", "b"], [0.1, 0.2], [[0.0, 0.2], [0.1, 0.3]]).patches)
    2
    """
    ax = new_axes(ax, width=5.4, height=1.3 + 0.42 * len(names))
    middle, bounds = np.asarray(medians, dtype=np.float64), np.asarray(intervals, dtype=np.float64)
    places = np.arange(len(names))
    ax.barh(places, middle, color=BLUE, height=0.62)
    for place, (low, high) in zip(places, bounds, strict=True):
        ax.plot([low, high], [place, place], color=INK, linewidth=1.6)
    if ceiling is not None and np.isfinite(ceiling):
        ax.axvline(ceiling, color=ORANGE, linewidth=2, label="median noise ceiling")
        legend_above(ax)
    name_ticks(ax, list(names), axis="y")
    ax.invert_yaxis()
    ax.axvline(0, color=MUTED, linewidth=0.8)
    describe(ax, title=title, x="median Pearson r")
    grid(ax, "x")
    return ax
