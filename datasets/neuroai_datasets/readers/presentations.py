"""From rows of single presentations to one row a stimulus, with the presentations kept as repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def average_presentations(
    responses: npt.NDArray[Any], stimulus: npt.ArrayLike
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Indices]:
    """Gather rows that show the same stimulus.

    Parameters
    ----------
    responses : ndarray (n, v)
        One row a presentation.
    stimulus : array-like of int (n,)
        Stimulus of each row.

    Returns
    -------
    mean : ndarray (m, v)
        Mean over presentations, stimuli in the order in which they first appear.
    repeats : ndarray (r, m, v)
        The presentations; NaN where a stimulus was shown fewer than r times.
    shown : ndarray of int64 (m,)
        The stimulus of each row of `mean`.

    Notes
    -----
    ``mean = nanmean(repeats, axis=0)``.  O(n v) time, O(r m v) memory.

    Examples
    --------
    >>> mean, repeats, shown = average_presentations(np.array([[1.0], [5.0], [3.0]]), [7, 9, 7])
    >>> mean.tolist(), shown.tolist(), repeats.shape
    ([[2.0], [5.0]], [7, 9], (2, 2, 1))
    """
    index = np.asarray(stimulus, dtype=np.int64)
    labels, first, member = np.unique(index, return_index=True, return_inverse=True)
    by_appearance = np.argsort(first, kind="stable")
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(labels))
    row = rank[member]
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(len(labels)))
    turn = np.empty(len(index), dtype=np.int64)
    turn[order] = np.arange(len(index)) - starts[row[order]]
    repeats = np.full(
        (int(turn.max(initial=0)) + 1, len(labels), responses.shape[1]), np.nan, responses.dtype
    )
    repeats[turn, row] = responses
    counts = np.bincount(row, minlength=len(labels))[:, None]
    mean = (np.nansum(repeats, axis=0, dtype=np.float64) / counts).astype(responses.dtype)
    return mean, repeats, labels[by_appearance]
