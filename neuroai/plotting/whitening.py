"""Whitening: ellipses of covariance, gains and errors over time, correlation by distance, frames."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from neuroai.plotting.style import (
    DIVERGING,
    INK,
    MUTED,
    PALETTE,
    bare,
    colour_bar,
    describe,
    grid,
    legend,
    legend_beside,
    new_axes,
    new_figure,
)

__all__ = [
    "basis_images",
    "correlation_by_distance",
    "correlation_maps",
    "covariance_ellipses",
    "error_curves",
    "gain_traces",
    "image_pairs",
]


def covariance_ellipses(
    covariances: Mapping[str, ArrayLike],
    *,
    frame: ArrayLike | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one-standard-deviation ellipses of two-dimensional covariances, and the unit circle.

    Parameters
    ----------
    covariances : mapping of name to array (2, 2)
        Squared units of the responses.
    frame : array (2, k), optional
        Directions of the interneurons, drawn as lines through the origin.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> len(covariance_ellipses({"input": [[4, 0], [0, 1]]}).lines)
    2
    """
    ax = new_axes(ax, width=3.6, height=3.4)
    turn = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    ax.plot(*circle, color=MUTED, linewidth=1.0, linestyle="--", label="white")
    reach = 1.0
    for (name, covariance), colour in zip(covariances.items(), PALETTE, strict=False):
        values, vectors = np.linalg.eigh(np.asarray(covariance, dtype=float))
        points = (vectors * np.sqrt(np.maximum(values, 0))) @ circle
        ax.plot(*points, color=colour, linewidth=1.6, label=name)
        reach = max(reach, float(np.abs(points).max()))
    if frame is not None:
        for direction in np.asarray(frame, dtype=float).T:
            ax.plot(*np.outer(direction, [-reach, reach]), color=INK, linewidth=0.7, alpha=0.5)
    ax.set_aspect("equal")
    ax.set_xlim(-1.1 * reach, 1.1 * reach)
    ax.set_ylim(-1.1 * reach, 1.1 * reach)
    legend_beside(ax)
    return describe(ax, title=title, x="neuron 1", y="neuron 2")


def gain_traces(
    gains: ArrayLike,
    *,
    steps: ArrayLike | None = None,
    optimal: ArrayLike | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw gains over time, and the gains they should reach.

    Parameters
    ----------
    gains : array (t, k)
        Dimensionless.
    steps : array (t,), optional
        Samples or steps; 0, 1, 2, ... when left out.
    optimal : array (k,) or (t, k), optional
        Dashed.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> len(gain_traces([[0, 0], [1, 2]], optimal=[1, 2]).lines)
    4
    """
    ax = new_axes(ax)
    traces = np.asarray(gains, dtype=float)
    across = np.arange(len(traces)) if steps is None else np.asarray(steps)
    goal = None if optimal is None else np.broadcast_to(np.asarray(optimal, dtype=float), traces.shape)
    for number in range(traces.shape[1]):
        colour = PALETTE[number % len(PALETTE)]
        ax.plot(across, traces[:, number], color=colour, linewidth=1.2)
        if goal is not None:
            ax.plot(across, goal[:, number], color=colour, linewidth=1.0, linestyle="--")
    ax.margins(x=0)
    grid(ax)
    return describe(ax, title=title, x="step", y="gain")


def error_curves(
    curves: Mapping[str, ArrayLike],
    *,
    steps: ArrayLike | None = None,
    title: str = "",
    x: str = "step",
    y: str = "distance from white",
    ax: Axes | None = None,
) -> Axes:
    """Draw errors of several methods over time on a logarithmic axis.

    A curve within 2 % of an earlier one is drawn as dashes over a wide line, so that both are seen.

    Parameters
    ----------
    curves : mapping of name to array (t,)
        Positive; zeros are lifted to 1e-16.
    steps : array (t,), optional
        Common to all curves.
    title, x, y : str
    ax : Axes, optional

    Examples
    --------
    >>> error_curves({"a": [1.0, 0.1], "b": [1.0, 0.5]}).get_yscale()
    'log'
    """
    ax = new_axes(ax)
    drawn: list[Line2D] = []
    for number, (name, curve) in enumerate(curves.items()):
        values = np.maximum(np.asarray(curve, dtype=float), 1e-16)
        across = np.arange(len(values)) if steps is None else np.asarray(steps)
        style = ("-", "--", ":")[number // len(PALETTE) % 3]
        for below in (line for line in drawn if _coincide(np.asarray(line.get_ydata()), values)):
            below.set_linewidth(3.6)
            style = "--"
        colour = PALETTE[number % len(PALETTE)]
        drawn += ax.plot(across, values, style, color=colour, linewidth=1.4, label=name)
    ax.set_yscale("log")
    ax.margins(x=0)
    grid(ax)
    if len(curves) > 1:
        legend_beside(ax)
    return describe(ax, title=title, x=x, y=y)


def _coincide(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=0.02, atol=0))


def correlation_by_distance(
    curves: Mapping[str, ArrayLike],
    *,
    window: int | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw correlation over the distance between neurons, with the window that is whitened shaded.

    Parameters
    ----------
    curves : mapping of name to array (d,)
        Correlations at distances 0, 1, 2, ... pixels.
    window : int, optional
        Distances below it are inside.
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> len(correlation_by_distance({"input": [1, 0.5]}, window=1).lines)
    2
    """
    ax = new_axes(ax)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    for (name, curve), colour in zip(curves.items(), PALETTE, strict=False):
        ax.plot(np.asarray(curve, dtype=float), "o-", color=colour, markersize=3, linewidth=1.3, label=name)
    if window is not None:
        ax.axvspan(0, window - 0.5, color=MUTED, alpha=0.12, linewidth=0)
    grid(ax)
    legend(ax)
    return describe(ax, title=title, x="distance (pixels)", y="correlation")


def correlation_maps(matrices: Mapping[str, ArrayLike]) -> Figure:
    """Draw correlation matrices side by side on one colour scale, without their diagonals.

    Parameters
    ----------
    matrices : mapping of name to array (n, n)

    Examples
    --------
    >>> len(correlation_maps({"before": [[1, 0.5], [0.5, 1]], "after": [[1, 0], [0, 1]]}).axes)
    3
    """
    figure = new_figure(3.6 * len(matrices) + 0.8, 3.4)
    drawn = [np.array(matrix, dtype=float) for matrix in matrices.values()]
    for matrix in drawn:
        np.fill_diagonal(matrix, np.nan)
    reach = max([1e-3, *(float(np.nanmax(np.abs(one))) for one in drawn if len(one) > 1)])
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, name, matrix in zip(panels, matrices, drawn, strict=True):
        image = axes.imshow(matrix, cmap=DIVERGING, vmin=-reach, vmax=reach, interpolation="nearest")
        describe(bare(axes), title=name)
    colour_bar(panels[-1], image, "correlation")
    return figure


def image_pairs(rows: Mapping[str, ArrayLike]) -> Figure:
    """Draw rows of small grey images, each image on its own scale.

    Parameters
    ----------
    rows : mapping of name to array (k, height, width)
        One row each.

    Examples
    --------
    >>> len(image_pairs({"input": np.eye(4)[None], "response": np.eye(4)[None]}).axes)
    2
    """
    stacks = {name: np.asarray(images, dtype=float) for name, images in rows.items()}
    count = max(len(images) for images in stacks.values())
    figure = new_figure(1.3 * count + 0.6, 1.4 * len(stacks) + 0.2)
    panels = figure.subplots(len(stacks), count, squeeze=False)
    for line, (name, images) in zip(panels, stacks.items(), strict=True):
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image, cmap="gray", interpolation="nearest")
            bare(axes)
        describe(line[0], y=name)
    return figure


def basis_images(
    frame: ArrayLike, shape: tuple[int, int], *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw the columns of a frame as pictures in a square mosaic, each on its own symmetric scale.

    Parameters
    ----------
    frame : array (rows * columns, k)
    shape : (rows, columns)
    title : str
    ax : Axes, optional

    Examples
    --------
    >>> len(basis_images([[1, 0], [0, 1]], (1, 2)).images)
    1
    """
    ax = new_axes(ax, width=3.6, height=3.6)
    columns = np.asarray(frame, dtype=float).T
    columns = columns / np.maximum(np.abs(columns).max(axis=1, keepdims=True), 1e-30)
    across = int(np.ceil(np.sqrt(len(columns))))
    down = -(-len(columns) // across)
    mosaic = np.full((down * (shape[0] + 1) - 1, across * (shape[1] + 1) - 1), np.nan)
    for number, column in enumerate(columns):
        row, place = divmod(number, across)
        top, left = row * (shape[0] + 1), place * (shape[1] + 1)
        mosaic[top : top + shape[0], left : left + shape[1]] = column.reshape(shape)
    ax.imshow(mosaic, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
    bare(ax)
    return describe(ax, title=title)
