"""Spikes: rasters with the population's rate, rates against a reference, intervals, correlations."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from neuroai.plotting.style import INK, MUTED, PALETTE, describe, grid, legend, new_axes

__all__ = ["correlation_histogram", "distribution_lines", "raster", "rate_bars"]

Array = NDArray[np.float64]
_DOT = 1.6  # points squared


def raster(
    trains: Mapping[str, Sequence[ArrayLike]],
    *,
    window: tuple[float, float],
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """One dot a spike, one row a unit, one colour a group.

    Parameters
    ----------
    trains : mapping of group to sequence of arrays
        Spike times in seconds, one array a unit; the first group is drawn on top.
    window : (start, stop)
        Seconds.
    title : str
    ax : Axes, optional

    Notes
    -----
    Dots are pixels inside the figure, so that pages stay small. Show 20 to 200 units a group.

    Examples
    --------
    >>> len(raster({"E": [[0.1, 0.2], [0.15]], "I": [[0.3]]}, window=(0.0, 0.5)).collections)
    2
    """
    ax = new_axes(ax, width=7.2, height=4.4)
    top, ticks = 0, []
    for number, (name, units) in enumerate(trains.items()):
        times = [_within(unit, window) for unit in units]
        rows = np.repeat(-top - np.arange(len(units)), [len(t) for t in times])
        ax.scatter(
            np.concatenate([np.empty(0), *times]),
            rows,
            s=_DOT,
            color=PALETTE[number % len(PALETTE)],
            linewidths=0,
            rasterized=True,
        )
        ticks.append((-top - (len(units) - 1) / 2, name))
        top += len(units)
    ax.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    ax.set_xlim(*window)
    ax.set_ylim(-top + 0.5, 0.5)
    return describe(ax, title=title, x="time (s)", y="")


def _within(unit: ArrayLike, window: tuple[float, float]) -> Array:
    times = np.asarray(unit, dtype=np.float64)
    return times[(times >= window[0]) & (times < window[1])]


def rate_bars(
    rates: Mapping[str, float],
    *,
    reference: Mapping[str, float] | None = None,
    reference_label: str = "reference",
    tolerance: Mapping[str, float] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Mean rate of each group as a bar, the reference as a mark with the range that is accepted.

    Parameters
    ----------
    rates : mapping of group to float
        Spikes/s.
    reference : mapping of group to float, optional
        Spikes/s.
    reference_label : str
        What the marks are.
    tolerance : mapping of group to float, optional
        Accepted deviation as a fraction of the reference.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> ax = rate_bars({"E": 4.0, "I": 8.0}, reference={"E": 4.1}, tolerance={"E": 0.1})
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['E', 'I']
    """
    ax = new_axes(ax)
    names = list(rates)
    ax.bar(range(len(names)), list(rates.values()), color=PALETTE[0], width=0.62, label="this run")
    there = [i for i, name in enumerate(names) if name in (reference or {})]
    if reference and there:
        values = np.array([reference[names[i]] for i in there])
        reach = values * [(tolerance or {}).get(names[i], 0.0) for i in there]
        ax.errorbar(
            there, values, yerr=reach, fmt="_", color=INK, markersize=13, capsize=4, label=reference_label
        )
        legend(ax)
    ax.set_xticks(range(len(names)), names)
    grid(ax)
    return describe(ax, title=title, x="", y="mean rate (spikes/s)")


def distribution_lines(
    values: Mapping[str, ArrayLike],
    *,
    x: str,
    bins: int = 40,
    limits: tuple[float, float] | None = None,
    logarithmic: bool = False,
    cumulative: bool = False,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Distribution of a quantity within each group: single-unit rates, interval variability, intervals.

    Parameters
    ----------
    values : mapping of group to array
        NaN is left out; groups without values are named in no legend.
    x : str
        Label with its unit.
    bins : int
    limits : (low, high), optional
        Of the axis; default the pooled 0 to 99.5 percentiles.
    logarithmic : bool
        Bins of equal width in the logarithm, for intervals.
    cumulative : bool
        Share of values up to x instead of a density: free of bins, for counts and rates of short recordings.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> len(distribution_lines({"E": [1.0, 2.0, 3.0], "I": []}, x="rate (spikes/s)").lines)
    1
    """
    ax = new_axes(ax)
    kept = {name: np.asarray(found, dtype=np.float64).ravel() for name, found in values.items()}
    kept = {name: found[np.isfinite(found)] for name, found in kept.items()}
    kept = {name: found for name, found in kept.items() if len(found)}
    pooled = np.concatenate([np.empty(0), *kept.values()])
    if len(pooled):
        low, high = limits or (float(pooled.min()), float(np.percentile(pooled, 99.5)))
        if high - low < 1e-6 * abs(low) or high == low:  # all alike: room on both sides
            room = 0.05 * abs(low) or 0.5
            low, high = low - room, high + room
        edges = np.geomspace(low, high, bins + 1) if logarithmic else np.linspace(low, high, bins + 1)
        for number, (name, found) in enumerate(kept.items()):
            style = "-" if number < len(PALETTE) else "--"
            colour = PALETTE[number % len(PALETTE)]
            line = _shares(found) if cumulative else _density(found, edges)
            ax.plot(*line, color=colour, linestyle=style, linewidth=1.3, label=name)
        ax.set_xlim(low, high)
        if logarithmic:
            ax.set_xscale("log")
        if len(values) > 1:
            legend(ax)
    grid(ax)
    return describe(ax, title=title, x=x, y="share up to x" if cumulative else "density")


def _density(found: Array, edges: Array) -> tuple[Array, Array]:
    """Histogram as the line of its outline."""
    density = np.histogram(found, edges)[0] / (len(found) * np.diff(edges))
    return np.repeat(edges, 2)[1:-1], np.repeat(density, 2)


def _shares(found: Array) -> tuple[Array, Array]:
    """Empirical distribution function as a line; at most 500 points."""
    ranks = np.unique(np.linspace(0, len(found) - 1, 500).astype(np.int64))
    return np.sort(found)[ranks], (ranks + 1) / len(found)


def correlation_histogram(
    correlations: Mapping[str, ArrayLike], *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Distribution of pairwise count correlations of each group, and a line at 0.

    Parameters
    ----------
    correlations : mapping of group to array (n_pairs,)
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> len(correlation_histogram({"E": [0.0, 0.1, -0.1]}).lines)
    2
    """
    pooled = np.concatenate([np.empty(0), *(np.ravel(np.asarray(c)) for c in correlations.values())])
    reach = float(np.percentile(np.abs(pooled), 99)) if len(pooled) else 0.1
    ax = distribution_lines(
        correlations,
        x="correlation of counts in 2 ms",
        limits=(-reach, reach or 0.1),
        cumulative=True,
        title=title,
        ax=ax,
    )
    ax.axvline(0.0, color=MUTED, linewidth=0.8, zorder=0)
    return ax
