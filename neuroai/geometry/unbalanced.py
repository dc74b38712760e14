r"""Cross-validated distances of unbalanced designs: conditions shown unequally often, or not in every run.

References
----------
Walther et al. (2016): crossnobis.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError
from neuroai.geometry.rdm import _upper, _weighted

__all__ = ["crossnobis_of_samples"]

Array = NDArray[np.float64]


def crossnobis_of_samples(
    samples: ArrayLike, conditions: ArrayLike, runs: ArrayLike, precision: ArrayLike | None = None
) -> Array:
    r"""Crossnobis distances from single samples.

    .. math:: d_{ab} = \frac1{n |S_{ab}|} \sum_{(r, s) \in S_{ab}} (x_a^r - x_b^r)^T P_{rs} (x_a^s - x_b^s)

    over the pairs of different runs that both hold both conditions, with the mean pattern of a condition in
    each run. Products of different runs have independent noise, so the distance is zero on average where
    patterns are equal, however many samples a mean is of.

    Parameters
    ----------
    samples : array (s, n)
        Responses to single presentations, channels in columns.
    conditions : array (s,)
        Label of each sample; pairs come in the order of the sorted labels.
    runs : array (s,)
        Run of each sample.
    precision : array (n, n), (n,) or (r, n, n), optional
        Inverse noise covariance, or its diagonal, or one a run (in the order of the sorted runs), of which
        :math:`P_{rs} = (P_r + P_s) / 2`; identity by default.

    Returns
    -------
    ndarray (m (m - 1) / 2,)
        May be negative. NaN for two conditions that no two runs share.

    Raises
    ------
    ShapeError, DataError
        If labels do not fit, or with non-finite samples, fewer than two runs or two conditions.

    Notes
    -----
    Time ``O(r^2 m^2 n)`` (and ``O(r m n^2)`` with a full precision), memory ``O(r m n + m^2)``. Equals
    `crossnobis` of the runs' patterns where every condition is in every run.

    Examples
    --------
    >>> x = [[0.0, 0.0], [1.0, 3.0], [0.0, 0.0], [1.0, 3.0], [1.0, 3.0]]
    >>> crossnobis_of_samples(x, [0, 1, 0, 1, 1], [0, 0, 1, 1, 1])
    array([5.])
    """
    data = np.asarray(samples, dtype=np.float64)
    patterns, present = _patterns(data, np.asarray(conditions), np.asarray(runs))
    n_runs, m, n = patterns.shape
    weighted = _under(patterns, precision)
    total, shared = np.zeros((m, m)), np.zeros((m, m))
    for r in range(n_runs):
        for s in range(n_runs):
            if r != s:
                both = present[r] & present[s]
                there = np.outer(both, both)
                gram = (patterns[r] @ weighted[s].T + weighted[r] @ patterns[s].T) / 2
                own = np.diag(gram)
                total += there * (own[:, None] + own - gram - gram.T)
                shared += there
    with np.errstate(invalid="ignore"):
        distances: Array = _upper(total) / (n * _upper(shared))
    return distances


def _patterns(
    data: Array, conditions: NDArray[np.generic], runs: NDArray[np.generic]
) -> tuple[Array, NDArray[np.bool_]]:
    """Mean patterns (r, m, n), zero where missing, and which there are (r, m)."""
    if data.ndim != 2 or conditions.shape != (len(data),) or runs.shape != (len(data),):
        raise ShapeError(
            f"samples {data.shape}, conditions {conditions.shape} and runs {runs.shape} do not fit: "
            "(s, n), (s,) and (s,) are needed"
        )
    if not np.isfinite(data).all():
        raise DataError(f"sample {int(np.argwhere(~np.isfinite(data))[0, 0])} holds NaN or infinite values")
    _, condition = np.unique(conditions, return_inverse=True)
    _, run = np.unique(runs, return_inverse=True)
    shape = (int(run.max(initial=-1)) + 1, int(condition.max(initial=-1)) + 1)
    if min(shape) < 2:
        raise DataError(f"found {shape[0]} runs and {shape[1]} conditions: at least 2 of each are needed")
    sums, counts = np.zeros((*shape, data.shape[1])), np.zeros(shape)
    np.add.at(sums, (run, condition), data)
    np.add.at(counts, (run, condition), 1.0)
    patterns = sums / np.maximum(counts, 1)[:, :, None]
    present = counts > 0
    # Taking the mean of what is there away keeps the products small and changes no difference of patterns.
    patterns -= patterns.sum(axis=(0, 1)) / present.sum()
    return np.where(present[:, :, None], patterns, 0.0), present


def _under(patterns: Array, precision: ArrayLike | None) -> Array:
    if precision is None:
        return patterns
    weights = np.asarray(precision, dtype=np.float64)
    if weights.ndim == 3:
        if len(weights) != len(patterns):
            raise ShapeError(f"precision is of {len(weights)} runs, samples are of {len(patterns)}")
        return np.stack([_weighted(one, weight) for one, weight in zip(patterns, weights, strict=True)])
    return _weighted(patterns, weights)
