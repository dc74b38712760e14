"""Figures of a spiking transformer: learning curves, PSTHs, decoded behaviour, connectivity, latents."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from neuroai.plotting.style import (
    BLUE,
    DIVERGING,
    INK,
    MUTED,
    ORANGE,
    PALETTE,
    SEQUENTIAL,
    colour_bar,
    describe,
    dress,
    grid,
    legend,
    legend_above,
    name_ticks,
    new_axes,
    new_figure,
)

__all__ = [
    "connectivity_matrix",
    "cumulative_lines",
    "decoding_traces",
    "latent_plane",
    "learning_curves",
    "psth_lines",
    "score_bars",
    "unit_scatter",
]

Array = NDArray[np.float64]

_MOST_TRACE = 800


def learning_curves(
    train: ArrayLike, validation: ArrayLike | None = None, *, best: int | None = None, ax: Axes | None = None
) -> Axes:
    """Loss of each epoch on training and on validation windows; the kept epoch is marked.

    Parameters
    ----------
    train, validation : arrays (n_epochs,)
    best : int, optional
        Epoch, from 0, whose weights were kept.
    ax : Axes, optional

    Examples
    --------
    >>> len(learning_curves([3.0, 2.0], [3.1, 2.5], best=1).lines)
    3
    """
    ax = new_axes(ax)
    losses = np.asarray(train, dtype=np.float64)
    ax.plot(np.arange(1, len(losses) + 1), losses, color=MUTED, linewidth=1.4, label="training")
    if validation is not None and np.size(np.asarray(validation)):
        held = np.asarray(validation, dtype=np.float64)
        ax.plot(np.arange(1, len(held) + 1), held, color=ORANGE, linewidth=1.6, label="validation")
    if best is not None:
        ax.axvline(best + 1, color=INK, linewidth=0.8, linestyle=":", label="kept")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(ax)
    legend(ax)
    return describe(ax, title="Learning", x="epoch", y="loss")


def psth_lines(
    true: ArrayLike,
    predicted: Mapping[str, ArrayLike],
    *,
    period: float,
    names: Sequence[str] = (),
    columns: int = 4,
) -> Axes:
    """PSTHs of several units, recorded beside predicted.

    Parameters
    ----------
    true : array (n_bins, n_units)
        Counts a bin, trial averages.
    predicted : mapping of label to array (n_bins, n_units)
    period : float
        Seconds a bin.
    names : sequence of str
        Titles.
    columns : int

    Returns
    -------
    Axes
        The last panel.

    Examples
    --------
    >>> axes = psth_lines(np.ones((5, 3)), {"generated": np.ones((5, 3))}, period=0.01)
    >>> len(axes.figure.axes)
    3
    """
    y = np.asarray(true, dtype=np.float64) / period
    n_units = y.shape[1]
    columns = max(1, min(columns, n_units))
    rows = -(-n_units // columns)
    figure = new_figure(2.3 * columns, 1.75 * rows + 0.2)
    times = (np.arange(len(y)) + 0.5) * period
    for place in range(n_units):
        ax = dress(figure.add_subplot(rows, columns, place + 1))
        ax.fill_between(
            times, y[:, place], step="mid", color=MUTED, alpha=0.35, linewidth=0, label="recorded"
        )
        for number, (label, rates) in enumerate(predicted.items()):
            line = np.asarray(rates, dtype=np.float64)[:, place] / period
            ax.plot(times, line, color=PALETTE[number + 1], linewidth=1.4, label=label)
        title = names[place] if place < len(names) else f"unit {place}"
        low = place >= (rows - 1) * columns
        describe(ax, title=title, x="time (s)" if low else "", y="spikes/s" if place % columns == 0 else "")
        ax.margins(x=0)
        ax.set_ylim(bottom=0)
        if place == 0:
            legend(ax)
    return ax


def decoding_traces(
    true: ArrayLike,
    decoded: ArrayLike,
    *,
    times: ArrayLike | None = None,
    names: Sequence[str] = (),
    unit: str = "",
) -> Axes:
    """Behaviour over time, measured beside decoded, one panel a variable.

    Parameters
    ----------
    true, decoded : arrays (n_windows, n_variables)
        NaN leaves a gap; the first 800 windows are shown.
    times : array (n_windows,), optional
        Seconds; lines break where windows are missing.
    names : sequence of str
        Titles.
    unit : str
        Of the values.

    Examples
    --------
    >>> axes = decoding_traces(np.ones((9, 2)), np.ones((9, 2)), names=["x", "y"])
    >>> [panel.get_title() for panel in axes.figure.axes]
    ['x', 'y']
    """
    x, y = (
        np.asarray(true, dtype=np.float64)[:_MOST_TRACE],
        np.asarray(decoded, dtype=np.float64)[:_MOST_TRACE],
    )
    across = np.asarray(np.arange(len(x)) if times is None else times, dtype=np.float64)[:_MOST_TRACE]
    x, y, across = _broken(x, y, across)
    figure = new_figure(8.4, 1.7 * x.shape[1] + 0.3)
    for place in range(x.shape[1]):
        ax = dress(figure.add_subplot(x.shape[1], 1, place + 1))
        ax.plot(across, x[:, place], color=MUTED, linewidth=1.6, label="measured")
        ax.plot(across, y[:, place], color=ORANGE, linewidth=1.0, label="decoded")
        last = place == x.shape[1] - 1
        title = names[place] if place < len(names) else ""
        describe(ax, title=title, x=("window" if times is None else "time (s)") if last else "", y=unit)
        ax.margins(x=0)
        grid(ax)
        if place == 0:
            legend_above(ax)
    return ax


def _broken(x: Array, y: Array, across: Array) -> tuple[Array, Array, Array]:
    """Put NaN where time jumps by more than one and a half of its usual steps."""
    steps = np.diff(across)
    if not len(steps):
        return x, y, across
    jumps = np.flatnonzero(np.abs(steps) > 1.5 * np.median(np.abs(steps))) + 1
    x, y = (np.insert(values, jumps, np.nan, axis=0) for values in (x, y))
    return x, y, np.insert(across, jumps, np.nan)


def connectivity_matrix(
    strength: ArrayLike, *, title: str = "", edges: ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Strength from each source (column) to each target (row), the diagonal left out.

    Parameters
    ----------
    strength : array (n_units, n_units)
        Drawn on a diverging map around 0 if any entry is negative.
    title : str
    edges : bool array (n_units, n_units), optional
        Known edges, marked by dots.
    ax : Axes, optional

    Examples
    --------
    >>> connectivity_matrix([[0.0, 1.0], [0.5, 0.0]], title="planted").get_ylabel()
    'target'
    """
    ax = new_axes(ax, width=3.6, height=3.3)
    shown = np.array(strength, dtype=np.float64)
    np.fill_diagonal(shown, np.nan)
    finite = shown[np.isfinite(shown)]
    high = float(np.percentile(np.abs(finite), 99.8)) if finite.size else 1.0
    signed = bool((finite < 0).any())
    image = ax.imshow(
        shown,
        cmap=DIVERGING if signed else SEQUENTIAL,
        vmin=-high if signed else 0.0,
        vmax=high or 1.0,
        interpolation="nearest",
        rasterized=True,
    )
    if edges is not None:
        target, source = np.nonzero(np.asarray(edges))
        ax.scatter(source, target, s=2.0, color=ORANGE, linewidths=0, rasterized=len(target) > 500)
    colour_bar(ax, image, "strength")
    return describe(ax, title=title, x="source", y="target")


def score_bars(
    scores: Mapping[str, float],
    *,
    y: str,
    chance: float | None = None,
    spreads: Mapping[str, Sequence[float]] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """One bar a method, the chance level as a line, single folds or seeds as dots.

    Parameters
    ----------
    scores : mapping of name to float
    y : str
        What the bars measure.
    chance : float, optional
    spreads : mapping of name to sequence of float, optional
        Scores of folds or seeds.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> len(score_bars({"a": 0.5, "b": 0.9}, y="AUROC", chance=0.5).patches)
    2
    """
    ax = new_axes(ax, width=0.62 * len(scores) + 1.8, height=3.4)
    names = list(scores)
    ax.bar(range(len(names)), list(scores.values()), color=BLUE, width=0.64, alpha=0.85)
    for place, name in enumerate(names):
        dots = list((spreads or {}).get(name, ()))
        ax.scatter([place] * len(dots), dots, s=11, color=INK, zorder=3, linewidths=0)
    if chance is not None:
        ax.axhline(chance, color=ORANGE, linewidth=1.0, linestyle="--", label="chance")
        legend(ax)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    name_ticks(ax, names, rotate=True)
    grid(ax)
    return describe(ax, title=title, x="", y=y)


def unit_scatter(
    real: ArrayLike, generated: ArrayLike, *, what: str, title: str = "", ax: Axes | None = None
) -> Axes:
    """A quantity of each unit (or pair) in generated against recorded spikes, with the line of equality.

    Parameters
    ----------
    real, generated : arrays (n,)
    what : str
        The quantity with its unit.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> unit_scatter([1.0, 2.0], [1.5, 2.5], what="rate (spikes/s)").get_xlabel()
    'recorded rate (spikes/s)'
    """
    ax = new_axes(ax, width=3.2, height=3.0)
    x, y = np.asarray(real, dtype=np.float64), np.asarray(generated, dtype=np.float64)
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    ax.scatter(x, y, s=7, color=BLUE, alpha=0.6, linewidths=0, rasterized=len(x) > 1500)
    if len(x):
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        ax.plot(ends, ends, color=ORANGE, linewidth=1.0)
    grid(ax, "both")
    return describe(ax, title=title, x=f"recorded {what}", y=f"generated {what}")


def cumulative_lines(
    values: Mapping[str, ArrayLike], *, x: str, logarithmic: bool = False, ax: Axes | None = None
) -> Axes:
    """Cumulative distributions: the largest gap between two lines is their Kolmogorov-Smirnov distance.

    Parameters
    ----------
    values : mapping of group to array
        NaN is left out; with a logarithmic axis also what is not above 0.
    x : str
        The quantity with its unit.
    logarithmic : bool
    ax : Axes, optional

    Examples
    --------
    >>> line = cumulative_lines({"recorded": [1.0, 2.0]}, x="interval (s)").lines[0]
    >>> line.get_ydata().tolist()
    [0.5, 1.0]
    """
    ax = new_axes(ax)
    for number, (name, found) in enumerate(values.items()):
        kept = np.asarray(found, dtype=np.float64)
        kept = kept[np.isfinite(kept) & ((kept > 0) | (not logarithmic))]
        places, counts = np.unique(kept, return_counts=True)
        if len(places):
            share = np.cumsum(counts) / len(kept)
            ax.step(places, share, where="post", color=PALETTE[number], linewidth=1.4, label=name)
    if logarithmic:
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
    if ax.lines:
        legend(ax, loc="lower right")
    grid(ax)
    return describe(ax, x=x, y="share at or below")


def latent_plane(
    points: ArrayLike, *, colour: ArrayLike | None = None, label: str = "time", ax: Axes | None = None
) -> Axes:
    """First two latent components of each window, coloured by time or by a behaviour.

    Parameters
    ----------
    points : array (n_windows, 2 or more)
    colour : array (n_windows,), optional
        Default the window's number.
    label : str
        What the colour is.
    ax : Axes, optional

    Examples
    --------
    >>> len(latent_plane([[0.0, 1.0], [1.0, 0.0]]).collections)
    1
    """
    ax = new_axes(ax, width=4.2, height=3.4)
    xy = np.asarray(points, dtype=np.float64)
    value = np.arange(len(xy)) if colour is None else np.asarray(colour, dtype=np.float64)
    image = ax.scatter(
        xy[:, 0], xy[:, 1], c=value, s=6, cmap=SEQUENTIAL, linewidths=0, rasterized=len(xy) > 1500
    )
    colour_bar(ax, image, label)
    grid(ax, "both")
    return describe(ax, title="Latent trajectory", x="component 1", y="component 2")
