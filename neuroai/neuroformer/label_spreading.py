"""Labels of few windows spread to all others: what a map says of them, made smooth in time."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer.frozen import FrozenDecoder

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["spread_labels"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_CERTAINTY = 100.0  # weight of a measured value beside one that was read


def spread_labels(
    points: ArrayLike,
    moment: ArrayLike,
    labelled: ArrayLike,
    values: ArrayLike,
    *,
    stiffness: float = 30.0,
    rounds: int = 3,
) -> Array:
    r"""Values of all windows from those of a few, by turns read from the map and made smooth in time.

    .. math:: \hat y = \arg\min_y \sum_i w_i \lVert y_i - f(z_i) \rVert^2
              + \kappa \sum_i \lVert y_{i+1} - 2 y_i + y_{i-1} \rVert^2

    with :math:`f` kernel regression from the points :math:`z`: first of the labelled windows, each with
    the window before and after it, then of all windows with the :math:`\hat y` of the round before. A
    measured value has weight 100, any other 1. The second sum runs over windows that follow each other.

    Parameters
    ----------
    points : array-like (n_windows, n_dimensions)
        A map, as of :class:`~neuroai.neuroformer.time_contrast.TimeContrast`.
    moment : array-like of int (n_windows,)
        Numbers of the windows in time, ascending.
    labelled : array-like of int (n_labels,)
        Which windows have a value.
    values : array-like (n_labels, n_variables)
    stiffness : float
        :math:`\kappa`: large for behaviour that changes its speed slowly.
    rounds : int

    Returns
    -------
    ndarray of float64 (n_windows, n_variables)
        For training a readout on all windows.

    Raises
    ------
    DataError
        If moments do not increase, or a window has two values.

    Notes
    -----
    O(n_windows^3) time, O(n_windows^2) memory. Self-training in the sense of Scudder (1965) with a prior of
    constant velocity.

    Examples
    --------
    >>> t = np.arange(200)
    >>> z = np.stack([np.cos(t / 20), np.sin(t / 20)], axis=1)
    >>> found = spread_labels(z, t, [10, 50, 90, 120], z[[10, 50, 90, 120]])
    >>> bool(np.abs(found - z).mean() < 0.1)
    True
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import splu

    z, time = np.asarray(points, dtype=np.float64), np.asarray(moment, dtype=np.int64)
    known, y = np.asarray(labelled, dtype=np.int64), np.asarray(values, dtype=np.float64)
    _check(z, time, known, y)
    weight = np.ones(len(z))
    weight[known] = _CERTAINTY
    bend = _second_differences(time)
    smoother = splu((diags_array(weight) + stiffness * (bend.T @ bend)).tocsc())
    near, source = _beside(time, known)
    read = FrozenDecoder("series").fit(z[near], y[source]).predict(z)
    for turn in range(rounds):
        read[known] = y
        smooth: Array = smoother.solve(weight[:, None] * read)
        if turn < rounds - 1:
            read = FrozenDecoder("series").fit(z, smooth).predict(z)
    return smooth


def _check(z: Array, time: Integers, known: Integers, y: Array) -> None:
    if z.ndim != 2 or time.shape != (len(z),) or y.ndim != 2 or known.shape != (len(y),):
        raise ShapeError(
            f"points {z.shape}, moment {time.shape}, labelled {known.shape}, values {y.shape}: expected "
            "(n, m), (n,), (k,), (k, v)"
        )
    if (np.diff(time) <= 0).any():
        raise DataError("moments must increase: sort windows by time, each once")
    if len(known) < 2 or known.min() < 0 or known.max() >= len(z) or len(np.unique(known)) < len(known):
        raise DataError(f"labelled: expected two or more different windows among {len(z)}, each once")


def _beside(time: Integers, known: Integers) -> tuple[Integers, Integers]:
    """Windows labelled or right beside a labelled one, and the label (its number) that each takes."""
    near, source = [], []
    for number, window in enumerate(known):
        for other in range(max(window - 1, 0), min(window + 2, len(time))):
            close = abs(time[other] - time[window]) <= 1
            if close and (other == window or other not in known):
                near.append(other)
                source.append(number)
    return np.array(near, dtype=np.int64), np.array(source, dtype=np.int64)


def _second_differences(time: Integers) -> "csr_array":
    """Rows 1, -2, 1 for every three windows that follow each other."""
    from scipy.sparse import csr_array

    follows = np.diff(time) == 1
    first = np.flatnonzero(follows[:-1] & follows[1:])
    row, n = np.arange(len(first)), len(first)
    entries: Any = np.concatenate([np.ones(n), np.full(n, -2.0), np.ones(n)])
    columns = np.concatenate([first, first + 1, first + 2])
    return csr_array((entries, (np.tile(row, 3), columns)), shape=(n, len(time)))
