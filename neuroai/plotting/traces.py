"""What was predicted beside what was measured, for single targets."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from neuroai.plotting.style import BLUE, MUTED, ORANGE, describe, grid, legend_above, new_axes


def predicted_trace(
    measured: ArrayLike,
    predicted: ArrayLike,
    *,
    times: ArrayLike | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a measured and a predicted series over time.

    Parameters
    ----------
    measured, predicted : arrays of shape (n_samples,)
        In one unit; NaN leaves a gap.
    times : array of shape (n_samples,), optional
        Seconds; sample numbers when left out.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> len(predicted_trace([1, 2], [1, 1]).lines)
    2
    """
    ax = new_axes(ax, width=7.2, height=2.2)
    across = np.arange(np.size(np.asarray(measured))) if times is None else np.asarray(times)
    ax.plot(across, np.asarray(measured), color=MUTED, linewidth=0.8, label="measured")
    ax.plot(across, np.asarray(predicted), color=ORANGE, linewidth=1.4, label="predicted")
    describe(ax, title=title, x="sample" if times is None else "time (s)", y="response")
    ax.margins(x=0, y=0.25)
    grid(ax)
    legend_above(ax)
    return ax


def predicted_scatter(
    measured: ArrayLike, predicted: ArrayLike, *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw measured against predicted responses, one point a sample.

    Parameters
    ----------
    measured, predicted : arrays of shape (n_samples,)
        In one unit.
    title : str
        Heading.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> predicted_scatter([1, 2], [1, 1]).get_ylabel()
    'measured'
    """
    ax = new_axes(ax, width=3.0, height=2.8)
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    ax.scatter(x, y, s=7, color=BLUE, alpha=0.55, linewidths=0, rasterized=x.size > 1500)
    describe(ax, title=title, x="predicted", y="measured")
    grid(ax, "both")
    return ax
