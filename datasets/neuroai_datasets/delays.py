"""Delayed copies of features (finite impulse response design), zero filled, never across runs."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from neuroai_datasets.errors import DataError

Array = TypeVar("Array", bound=Any)


def delay(x: Array, delays: Sequence[int], runs: npt.ArrayLike | None = None) -> Array:
    r"""Stack delayed copies of ``x``.

    ``out[t, d * p + j] = x[t - delays[d], j]`` where ``t - delays[d]`` lies in the same run, else 0.

    Parameters
    ----------
    x : ndarray or torch.Tensor (n, p) or (n,)
        Features, one row a sample.
    delays : sequence of int
        In samples; negative looks ahead.
    runs : array-like (n,), optional
        Run label of each sample; a run is a stretch of equal labels. Nothing crosses from one to another.

    Returns
    -------
    ndarray or torch.Tensor (n, p * len(delays))
        Same library, dtype and device as ``x``; blocks in the order of ``delays``.

    Raises
    ------
    DataError
        If ``delays`` is empty or not whole, or the lengths differ.

    Notes
    -----
    O(n p len(delays)) time and memory: the result is a copy.

    Examples
    --------
    >>> import numpy as np
    >>> delay(np.array([[1.0], [2.0], [3.0]]), [0, 1], runs=[0, 0, 1]).tolist()
    [[1.0, 0.0], [2.0, 1.0], [3.0, 0.0]]
    """
    steps = [int(d) for d in delays]
    if not steps or any(s != d for s, d in zip(steps, delays, strict=True)):
        raise DataError(f"delays = {list(delays)}: expected at least one whole number of samples")
    if x.ndim not in (1, 2):
        raise DataError(f"x has shape {tuple(x.shape)}: expected (n_samples, n_features)")
    table: Any = x[:, None] if x.ndim == 1 else x
    n, p = int(table.shape[0]), int(table.shape[1])
    shape = (n, p * len(steps))
    out: Any = np.zeros(shape, dtype=table.dtype) if isinstance(table, np.ndarray) else table.new_zeros(shape)
    for start, stop in run_borders(n, runs):
        for position, step in enumerate(steps):
            low, high = max(start, start + step), min(stop, stop + step)
            if low < high:
                out[low:high, position * p : (position + 1) * p] = table[low - step : high - step]
    result: Array = out
    return result


def run_borders(n: int, runs: npt.ArrayLike | None) -> list[tuple[int, int]]:
    """Half-open sample ranges of consecutive samples with equal labels.

    Parameters
    ----------
    n : int
        Number of samples.
    runs : array-like (n,), optional
        Labels; None is one run.

    Returns
    -------
    list of (start, stop)

    Raises
    ------
    DataError
        If the number of labels is not ``n``.

    Examples
    --------
    >>> run_borders(3, [7, 7, 8])
    [(0, 2), (2, 3)]
    """
    if runs is None:
        return [(0, n)] if n else []
    labels = np.asarray(runs)
    if labels.shape != (n,):
        raise DataError(f"runs has shape {labels.shape}: expected one label for each of {n} samples")
    edges = [0, *(np.flatnonzero(labels[1:] != labels[:-1]) + 1).tolist(), n] if n else [0]
    return list(pairwise(edges))
