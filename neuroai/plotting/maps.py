"""Scores where they were measured: volumes as slices, electrodes by position, targets as bars."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from neuroai.plotting.style import (
    BLUE,
    GRID,
    MOST_SHAPES,
    MUTED,
    ORANGE,
    SEQUENTIAL,
    bare,
    colour_bar,
    describe,
    grid,
    legend_above,
    name_ticks,
    new_axes,
    note,
)


def volume_map(
    values: ArrayLike,
    mask: ArrayLike,
    *,
    label: str = "Pearson r",
    title: str = "",
    slices: int = 24,
    ax: Axes | None = None,
) -> Axes:
    """Draw one value a voxel on the slices of a volume, side by side.

    Parameters
    ----------
    values : array of shape (n_targets,)
        One value a voxel of the mask in C order; NaN (undefined) is drawn grey.
    mask : bool array of shape (x, y, z)
        Voxels that were analysed.
    label, title : str
        Labels.
    slices : int
        At most so many slices along the last axis, evenly spread over those with voxels.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((4, 4, 2), bool); mask[1:3, 1:3] = True
    >>> volume_map(np.linspace(0, 1, 8), mask).images[0].get_array().shape
    (4, 9)
    """
    inside = np.asarray(mask, dtype=bool)
    data = np.asarray(values, dtype=np.float64)
    if inside.ndim != 3 or int(inside.sum()) != data.size:
        raise ValueError(
            f"the mask has shape {inside.shape} and {inside.sum()} voxels; found {data.size} values"
        )
    volume = np.full(inside.shape, np.nan)
    volume[inside] = data
    used = np.flatnonzero(inside.any((0, 1)))
    used = used[np.unique(np.linspace(0, used.size - 1, min(slices, used.size)).astype(int))]
    sheet, outline = _mosaic(volume[:, :, used]), _mosaic(inside[:, :, used].astype(np.float64))
    height, width = sheet.shape
    ax = new_axes(ax, width=6.8, height=float(np.clip(5.6 * height / width, 2.2, 7.5)))
    bare(describe(ax, title=title))
    finite = data[np.isfinite(data)]
    top = float(np.percentile(finite, 99.5)) if finite.size else 1.0
    image = ax.imshow(sheet, cmap=SEQUENTIAL, vmin=0.0, vmax=max(top, 1e-3), interpolation="nearest")
    if not np.isfinite(data).all():
        undefined = np.where((outline > 0) & np.isnan(sheet), 0.55, np.nan)
        ax.imshow(undefined, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    colour_bar(ax, image, label)
    return ax


def _mosaic(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay slices out in a near-square sheet, each turned so that the second axis points up."""
    turned = [np.rot90(volume[:, :, index]) for index in range(volume.shape[2])]
    rows = round(np.sqrt(len(turned) * turned[0].shape[1] / (1.6 * turned[0].shape[0])))
    rows = min(max(rows, 1), len(turned))
    columns = -(-len(turned) // rows)
    height, width = turned[0].shape
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for index, piece in enumerate(turned):
        top, left = (index // columns) * (height + 1), (index % columns) * (width + 1)
        sheet[top : top + height, left : left + width] = piece
    return sheet


def position_map(
    values: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    *,
    label: str = "Pearson r",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one value a target at its position in the plane.

    Parameters
    ----------
    values, x, y : arrays of shape (n_targets,)
        Value (NaN drawn as a hollow ring) and coordinates, in one unit.
    label, title : str
        Labels.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> position_map([0.1, 0.2], [0, 1], [0, 1]).get_aspect()
    1.0
    """
    ax = new_axes(ax, width=5.6, height=4.6)
    data = np.asarray(values, dtype=np.float64)
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    defined = np.isfinite(data)
    size = float(np.clip(6000 / max(data.size, 1), 4, 60))
    many = data.size > MOST_SHAPES
    hollow = ax.scatter(across[~defined], up[~defined], s=size, facecolors="none", edgecolors=MUTED)
    hollow.set(linewidth=0.7, rasterized=many)
    top = max(float(data[defined].max()), 1e-3) if defined.any() else 1.0
    points = ax.scatter(
        across[defined],
        up[defined],
        c=data[defined],
        s=size,
        cmap=SEQUENTIAL,
        vmin=0,
        vmax=top,
        linewidths=0,
        rasterized=many,
    )
    ax.set_aspect("equal")
    describe(ax, title=title, x="x", y="y")
    colour_bar(ax, points, label)
    return ax


def target_bars(
    values: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    ceiling: ArrayLike | None = None,
    label: str = "Pearson r",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw one bar a target, sorted, with its ceiling as a dot.

    Parameters
    ----------
    values : array of shape (n_targets,)
        NaN where undefined; those targets come last.
    names : sequence of str, optional
        Names; shown for up to 40 targets.
    ceiling : array of shape (n_targets,), optional
        On the scale of ``values``.
    label, title : str
        Labels.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> axes = target_bars([0.1, 0.3], names=["a", "b"])
    >>> [text.get_text() for text in axes.get_xticklabels()]
    ['b', 'a']
    """
    data = np.asarray(values, dtype=np.float64)
    ax = new_axes(ax)
    describe(ax, title=title, x="targets, best first", y=label)
    if not np.isfinite(data).any():
        return note(ax, "no defined score")
    order = np.argsort(-np.where(np.isfinite(data), data, -np.inf), kind="stable")
    places = np.arange(data.size)
    heights = np.nan_to_num(data[order])
    many = data.size > MOST_SHAPES
    if data.size > 400:
        ax.fill_between(places, heights, step="mid", color=BLUE, linewidth=0, rasterized=many)
    else:
        ax.bar(places, heights, width=0.85, color=BLUE)
    if ceiling is not None:
        dots = np.asarray(ceiling, dtype=np.float64)[order]
        ax.plot(places, dots, ".", color=ORANGE, markersize=4, label="noise ceiling", rasterized=many)
        legend_above(ax)
    if names is not None and data.size <= 40:
        name_ticks(ax, [names[index] for index in order], rotate=True)
        ax.set_xlabel("")
    ax.axhline(0, color=GRID, linewidth=0.8)
    ax.set_xlim(-1, data.size)
    grid(ax)
    return ax
