"""Scores by region, beside the ceilings that noise sets."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from neuroai.plotting.style import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    describe,
    grid,
    legend,
    name_ticks,
    new_axes,
    note,
)


def roi_bars(
    score: ArrayLike,
    rois: Mapping[str, ArrayLike],
    *,
    ceiling: ArrayLike | None = None,
    y_label: str = "Pearson r",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the median score of each region with its quartiles, and the median ceiling as a line.

    Parameters
    ----------
    score : array of shape (n_targets,)
        NaN where undefined.
    rois : mapping of str to bool array (n_targets,)
        Members of each region; memberships may overlap, a region may be empty (drawn as n = 0).
    ceiling : array of shape (n_targets,), optional
        Ceiling on the same scale as ``score``.
    y_label, title : str
        Labels.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> import numpy as np
    >>> axes = roi_bars([0.2, 0.4], {"V1": [True, True], "empty": [False, False]})
    >>> [text.get_text() for text in axes.get_xticklabels()]
    ['V1 (2)', 'empty (0)']
    """
    values = np.asarray(score, dtype=np.float64)
    ax = new_axes(ax, width=max(4.5, 1.2 + 0.45 * len(rois)), height=4.0)
    describe(ax, title=title, y=y_label)
    if not rois:
        return note(ax, "no regions")
    names = []
    for position, (name, members) in enumerate(rois.items()):
        inside = np.asarray(members, dtype=bool) & np.isfinite(values)
        names.append(f"{name} ({int(inside.sum())})")
        if not inside.any():
            continue
        low, middle, high = np.percentile(values[inside], [25, 50, 75])
        ax.bar(position, middle, width=0.7, color=BLUE)
        ax.plot([position, position], [low, high], color=INK, linewidth=1.4)
        if ceiling is not None:
            _ceiling_line(ax, np.asarray(ceiling, dtype=np.float64)[inside], position)
    name_ticks(ax, names, rotate=len(names) > 4)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    ax.set_xlim(-0.6, len(names) - 0.4)
    grid(ax)
    ax.plot([], [], color=INK, linewidth=1.4, label="quartiles")
    if ceiling is not None:
        ax.plot([], [], color=ORANGE, linewidth=2.4, label="median noise ceiling")
    ax.margins(y=0.15)
    legend(ax, loc="upper right", ncols=2)
    return ax


def _ceiling_line(
    ax: Axes, ceiling: np.ndarray[tuple[int, ...], np.dtype[np.float64]], position: int
) -> None:
    defined = ceiling[np.isfinite(ceiling)]
    if defined.size:
        height = float(np.median(defined))
        ax.plot([position - 0.42, position + 0.42], [height, height], color=ORANGE, linewidth=2.4)
