"""Dendrites: errors of segments, accuracy over a stream or a sequence of tasks, methods side by side."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from neuroai.plotting.style import (
    INK,
    MUTED,
    ORANGE,
    PALETTE,
    describe,
    grid,
    label,
    legend,
    legend_beside,
    new_axes,
)

__all__ = ["accuracy_lines", "error_lines", "method_bars"]

#: Active synapses at which NMDA spikes start, as measured (Ahmad and Hawkins 2016).
MEASURED_THRESHOLDS = (8, 20)


def error_lines(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    x: str = "threshold",
    title: str = "",
    chosen: tuple[float, float] | None = None,
    measured: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw probabilities of error on a logarithmic scale; zeros are left out.

    Parameters
    ----------
    curves : mapping of name to (x, probability)
    x, title : str
    chosen : (x, probability), optional
        A point to mark.
    measured : bool
        Shade the thresholds at which NMDA spikes were measured to start.
    ax : Axes, optional

    Examples
    --------
    >>> axes = error_lines({"chance match": ([8, 9, 10], [1e-3, 1e-5, 0.0])}, measured=True)
    >>> axes.get_yscale(), len(axes.lines)
    ('log', 1)
    """
    ax = new_axes(ax)
    if measured:
        ax.axvspan(*MEASURED_THRESHOLDS, color=ORANGE, alpha=0.18, linewidth=0, label="measured NMDA spikes")
    for number, (name, (places, values)) in enumerate(curves.items()):
        shown = np.where(np.asarray(values) > 0, np.asarray(values, dtype=float), np.nan)
        ax.plot(places, shown, color=PALETTE[number % len(PALETTE)], label=label(name), linewidth=1.6)
    if chosen is not None:
        ax.plot(*chosen, "s", color=INK, markersize=6, label="chosen")
    ax.set_yscale("log")
    grid(ax)
    legend(ax, loc="best")
    return describe(ax, title=title, x=x, y="probability")


def accuracy_lines(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    x: str,
    y: str = "accuracy",
    ceiling: float | None = None,
    event: tuple[float, str] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracies along a stream or a sequence of tasks, the range over seeds shaded.

    Parameters
    ----------
    curves : mapping of name to (x, accuracy (seeds, len(x)) or (len(x),))
    x, y, title : str
    ceiling : float, optional
        The best that is possible.
    event : (x, name), optional
        Something that happens on the way.
    ax : Axes, optional

    Examples
    --------
    >>> axes = accuracy_lines({"MLP": ([1, 2], [[0.9, 0.7], [0.8, 0.6]])}, x="tasks", ceiling=1.0)
    >>> axes.lines[0].get_ydata().round(2).tolist()
    [0.85, 0.65]
    """
    ax = new_axes(ax)
    for number, (name, (places, values)) in enumerate(curves.items()):
        colour, rows = PALETTE[number % len(PALETTE)], np.atleast_2d(np.asarray(values, dtype=float))
        dashed = "-" if number < len(PALETTE) else "--"
        ax.plot(places, rows.mean(0), dashed, color=colour, label=label(name), linewidth=1.6)
        if len(rows) > 1:
            ax.fill_between(places, rows.min(0), rows.max(0), color=colour, alpha=0.15, linewidth=0)
    if ceiling is not None:
        ax.axhline(ceiling, color=MUTED, linewidth=0.9, linestyle="--", label="ceiling")
    if event is not None:
        ax.axvline(event[0], color=MUTED, linewidth=0.9)
        ax.text(event[0], ax.get_ylim()[0], f" {event[1]}", color=MUTED, fontsize=8, va="bottom")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(ax)
    legend_beside(ax)
    return describe(ax, title=title, x=x, y=y)


def method_bars(
    final: Mapping[str, ArrayLike],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    published: Mapping[str, float] | None = None,
    x: str = "accuracy over all tasks",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw each method's accuracy: a bar for the mean, a dot a seed, a line for the interval.

    Parameters
    ----------
    final : mapping of method to array (seeds,)
        The first method is drawn on top.
    intervals : mapping of method to (low, high), optional
    published : mapping of method to float, optional
        Known results under other conditions, drawn as diamonds.
    x, title : str
    ax : Axes, optional

    Examples
    --------
    >>> axes = method_bars({"dendrites": [0.8, 0.82], "MLP": [0.6, 0.61]}, published={"MLP": 0.82})
    >>> [text.get_text() for text in axes.get_yticklabels()]
    ['dendrites', 'MLP']
    """
    ax = new_axes(ax, width=5.6, height=0.9 + 0.36 * len(final))
    for place, (name, values) in enumerate(final.items()):
        seeds = np.asarray(values, dtype=float)
        ax.barh(place, seeds.mean(), height=0.7, color=PALETTE[place % len(PALETTE)], alpha=0.55, linewidth=0)
        ax.plot(
            seeds, np.full(len(seeds), place), "o", color=INK, markersize=2.5, alpha=0.7, linestyle="none"
        )
        low, high = (intervals or {}).get(name, (np.nan, np.nan))
        ax.plot([low, high], [place, place], color=INK, linewidth=1.6)
        if published and name in published:
            text = None if "published" in ax.get_legend_handles_labels()[1] else "published"
            ax.plot(published[name], place, "D", color=INK, mfc="none", label=text, linestyle="none")
    ax.set_yticks(range(len(final)), [label(name) for name in final], fontsize=9, color=INK, parse_math=False)
    ax.invert_yaxis()
    grid(ax, "x")
    if published:
        legend_beside(ax)
    return describe(ax, title=title, x=x)
