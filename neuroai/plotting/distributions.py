"""How scores and penalties are distributed over targets."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from neuroai.plotting.style import (
    BLUE,
    INK,
    MOST_SHAPES,
    MUTED,
    ORANGE,
    describe,
    grid,
    legend,
    new_axes,
    note,
)


def score_histogram(
    r: ArrayLike, *, significant: ArrayLike | None = None, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw the histogram of a score over targets, its median, and which targets pass a test.

    Parameters
    ----------
    r : array of shape (n_targets,)
        Score, NaN where undefined.
    significant : bool array of shape (n_targets,), optional
        Targets drawn darker.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> axes = score_histogram([0.1, 0.3, float("nan")])
    >>> axes.get_xlabel()
    'Pearson r'
    """
    ax = new_axes(ax)
    values = np.asarray(r, dtype=np.float64)
    defined = np.isfinite(values)
    describe(ax, title=title, x="Pearson r", y="targets")
    if not defined.any():
        return note(ax, "no defined score")
    low, high = min(0.0, values[defined].min()), max(values[defined].max(), 0.05)
    edges = np.linspace(low, high, int(np.clip(np.sqrt(defined.sum()) * 2, 12, 60)) + 1).tolist()
    ax.hist(values[defined], edges, color=MUTED, label=f"all ({defined.sum()})")
    if significant is not None:
        chosen = values[defined & np.asarray(significant, dtype=bool)]
        ax.hist(chosen, edges, color=BLUE, label=f"q ≤ 0.05 ({chosen.size})")
    median = float(np.median(values[defined]))
    ax.axvline(median, color=ORANGE, linewidth=2, label=f"median {median:.3f}")
    ax.axvline(0, color=INK, linewidth=0.8)
    grid(ax)
    ax.margins(y=0.12)
    legend(ax)
    return ax


def alpha_histogram(
    alpha: ArrayLike, *, grid_values: ArrayLike | None = None, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw how often each penalty was chosen; bars at the edge of the grid stand out.

    Parameters
    ----------
    alpha : array of shape (n_targets,)
        Chosen penalty of each target.
    grid_values : array, optional
        Penalties that were tried; those that occur when left out.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> len(alpha_histogram([1.0, 10.0, 10.0], grid_values=[0.1, 1.0, 10.0]).patches)
    3
    """
    ax = new_axes(ax)
    values = np.asarray(alpha, dtype=np.float64).ravel()
    values = values[np.isfinite(values) & (values > 0)]
    describe(ax, title=title, x="penalty (log scale)", y="targets")
    if values.size == 0:
        return note(ax, "no penalty was chosen")
    tried = np.unique(values if grid_values is None else np.asarray(grid_values, dtype=np.float64))
    nearest = np.abs(np.log(values)[:, None] - np.log(tried)[None, :]).argmin(1)
    counts = np.bincount(nearest, minlength=tried.size)
    edge = np.isin(np.arange(tried.size), (0, tried.size - 1)) & (tried.size > 2)
    ax.bar(np.arange(tried.size), counts, color=np.where(edge, ORANGE, BLUE).tolist(), width=0.8)
    shown = np.arange(0, tried.size, max(1, -(-tried.size // 6)))
    ax.set_xticks(shown, labels=[_round(tried[index]) for index in shown])
    grid(ax)
    at_edge = int(counts[edge].sum())
    if at_edge:
        ax.plot([], [], "s", color=ORANGE, label=f"edge of the grid ({at_edge} of {values.size})")
        ax.margins(y=0.18)
        legend(ax, loc="upper right")
    return ax


def _round(value: float) -> str:
    """Write two digits, and as a power of ten only what is long otherwise."""
    return f"{float(f'{value:.2g}'):g}"


def ceiling_scatter(r2: ArrayLike, ceiling: ArrayLike, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw each target's squared correlation against its noise ceiling.

    Parameters
    ----------
    r2, ceiling : arrays of shape (n_targets,)
        Squared correlation, and the ceiling on it; NaN where undefined.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> ceiling_scatter([0.2], [0.5]).get_xlabel()
    'noise ceiling on r²'
    """
    ax = new_axes(ax, width=4.4, height=3.8)
    x, y = np.asarray(ceiling, dtype=np.float64), np.asarray(r2, dtype=np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    describe(ax, title=title, x="noise ceiling on r²", y="r²")
    if not both.any():
        return note(ax, "no target has a ceiling")
    high = float(max(x[both].max(), y[both].max(), 0.05)) * 1.05
    ax.plot([0, high], [0, high], color=INK, linewidth=0.8, linestyle="--", label="ceiling")
    ax.plot([0, high], [0, high / 2], color=MUTED, linewidth=0.8, linestyle=":", label="half of it")
    many = int(both.sum()) > MOST_SHAPES
    ax.scatter(x[both], y[both], s=8 if many else 18, color=BLUE, alpha=0.6, linewidths=0, rasterized=many)
    ax.set_xlim(0, high)
    ax.set_ylim(min(0.0, float(y[both].min())), high)
    grid(ax, "both")
    legend(ax, loc="upper left")
    return ax
