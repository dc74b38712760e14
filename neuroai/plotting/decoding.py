"""Figures of decoded behaviour: scores by number of labels, and positions in the plane."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from neuroai.plotting.style import (
    MUTED,
    PALETTE,
    SEQUENTIAL,
    colour_bar,
    describe,
    grid,
    legend_beside,
    new_axes,
)

__all__ = ["decoded_positions", "label_curves"]

_MARKERS = "os^vDP"
_MOST_POINTS = 1500


def label_curves(
    shares: ArrayLike,
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    y: str,
    chance: float | None = None,
    draws: Mapping[str, ArrayLike] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Score of each method by the share of labels on a logarithmic axis, with intervals.

    Parameters
    ----------
    shares : array (n_shares,)
        0 to 1.
    curves : mapping of method to (middle, low, high), arrays (n_shares,)
        Up to six.
    y : str
        What the score measures.
    chance : float, optional
        Of a constant guess.
    draws : mapping of method to array (n_shares, n_draws), optional
        Scores of each choice of labels, as dots.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> curves = {"frozen": ([3.0, 2.0], [2.5, 1.8], [3.5, 2.2]), "ridge": ([9.0, 4.0], [8, 3], [9.9, 5])}
    >>> len(label_curves([0.1, 1.0], curves, y="error").collections)
    2
    """
    ax = new_axes(ax, width=6.2, height=3.5)
    across = 100 * np.asarray(shares, dtype=np.float64)
    for number, (name, (middle, low, high)) in enumerate(curves.items()):
        colour = PALETTE[number % len(PALETTE)]
        # Beside each other, so that intervals at one share can be told apart.
        place = across * 1.045 ** (number - (len(curves) - 1) / 2)
        ax.plot(
            place,
            np.asarray(middle),
            color=colour,
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4.5,
            linewidth=1.8 if number == 0 else 1.0,
            label=name,
            zorder=3 if number == 0 else 2,
        )
        ax.vlines(place, np.asarray(low), np.asarray(high), color=colour, linewidth=1.1, alpha=0.8)
        for dots in np.asarray((draws or {}).get(name, np.empty((len(across), 0)))).T:
            ax.plot(place, dots, ".", color=colour, markersize=2.5, alpha=0.7)
    if chance is not None:
        ax.axhline(chance, color=MUTED, linewidth=1.0, linestyle="--", label="constant guess")
    ax.set_xscale("log")
    ax.set_xticks(across, [f"{share:g}" for share in across])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    grid(ax)
    legend_beside(ax)
    return describe(ax, title=title, x="labelled windows (%)", y=y)


def decoded_positions(
    true: ArrayLike, decoded: ArrayLike, *, unit: str = "", title: str = "", ax: Axes | None = None
) -> Axes:
    """Decoded places of an animal over the places where it was, coloured by how far they are off.

    Parameters
    ----------
    true, decoded : arrays (n_windows, 2)
        Up to 1,500 windows are drawn, evenly spaced; thin lines lead from true to decoded places.
    unit : str
        Of positions.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> decoded_positions([[0.0, 0.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]]).get_title()
    ''
    """
    ax = new_axes(ax, width=5.4, height=4.2)
    chosen = slice(None, None, -(-len(np.asarray(true)) // _MOST_POINTS) or 1)
    x, y = (np.asarray(value, dtype=np.float64)[chosen] for value in (true, decoded))
    error = np.linalg.norm(x - y, axis=1)
    joints = np.stack([x, y, np.full_like(x, np.nan)], axis=1).reshape(-1, 2)
    ax.plot(joints[:, 0], joints[:, 1], color=MUTED, linewidth=0.4, alpha=0.35, rasterized=True)
    ax.scatter(x[:, 0], x[:, 1], s=9, color=MUTED, linewidths=0, label="measured", rasterized=len(x) > 500)
    high = float(np.nanpercentile(error, 95)) if len(error) else 1.0
    image = ax.scatter(
        y[:, 0],
        y[:, 1],
        c=error,
        s=9,
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=high or 1.0,
        linewidths=0,
        label="decoded",
        rasterized=len(x) > 500,
    )
    ax.set_aspect("equal", adjustable="datalim")
    colour_bar(ax, image, f"error ({unit})" if unit else "error")
    grid(ax, "both")
    return describe(ax, title=title, x=f"x ({unit})" if unit else "x", y=f"y ({unit})" if unit else "y")
