"""What was shown against what was decoded."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from neuroai.plotting.style import SEQUENTIAL, colour_bar, describe, name_ticks, new_axes

#: Above this share the cell is light and its number dark.
_LIGHT = 0.6
#: On coloured cells; these are not swapped with the theme of a report, as the cells are not.
_DARK_TEXT, _LIGHT_TEXT = "#000000", "#ffffff"


def confusion_matrix(
    counts: ArrayLike, names: Sequence[str], *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw counts of decoded categories, coloured by their share of the category shown.

    Parameters
    ----------
    counts : int array of shape (n, n)
        Row shown, column decoded.
    names : sequence of str
        Names of the categories.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> axes = confusion_matrix([[3, 1], [0, 4]], ["face", "house"])
    >>> [text.get_text() for text in axes.texts]
    ['3', '1', '4']
    """
    table = np.asarray(counts)
    if table.shape != (len(names), len(names)):
        raise ValueError(
            f"counts have shape {table.shape}; expected one row and column for {len(names)} names"
        )
    ax = new_axes(ax, width=2.6 + 0.42 * len(names), height=2.0 + 0.38 * len(names))
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    image = ax.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(table), strict=True):
        colour = _DARK_TEXT if shares[row, column] > _LIGHT else _LIGHT_TEXT
        ax.text(column, row, str(table[row, column]), ha="center", va="center", fontsize=8, color=colour)
    name_ticks(ax, names, rotate=True)
    name_ticks(ax, names, axis="y")
    describe(ax, title=title, x="decoded", y="shown")
    colour_bar(ax, image, "share of the category")
    return ax
