"""Connectivity from second-order statistics of counts, and how well any such matrix recovers known edges.

Matrices are (target, source): entry ``[i, j]`` says how strongly ``j`` is followed by ``i``.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError

__all__ = [
    "EdgeScores",
    "edge_scores",
    "lagged_covariance",
    "partial_correlation",
    "pearson_correlation",
    "ridge_var",
]

Array = NDArray[np.float64]

_BLOCK = 2**26  # bytes of float64 counts at a time


class EdgeScores(NamedTuple):
    """How well strengths rank known edges.

    Attributes
    ----------
    auroc : float
        Area under the ROC curve; 0.5 by chance.
    average_precision : float
    chance : float
        Average precision of a random order: the share of pairs that are edges.
    """

    auroc: float
    average_precision: float
    chance: float


def pearson_correlation(counts: ArrayLike) -> Array:
    """Correlation of simultaneous counts (n_bins, n_units): symmetric, 0 for units that never change.

    Examples
    --------
    >>> pearson_correlation([[0, 1], [1, 0], [0, 1]]).round(6).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    (covariance,) = _covariances(_counts(counts), [0])
    sd = np.sqrt(np.diag(covariance))
    scale = np.where(sd > 0, sd, np.inf)
    correlation: Array = covariance / np.outer(scale, scale)
    return correlation


def partial_correlation(counts: ArrayLike, *, ridge: float = 0.01) -> Array:
    r"""Correlation of simultaneous counts given all other units: :math:`-P_{ij} / \sqrt{P_{ii} P_{jj}}`.

    Parameters
    ----------
    counts : array-like (n_bins, n_units)
    ridge : float
        Added to the diagonal of the correlation matrix before it is inverted to ``P``.

    Returns
    -------
    ndarray (n_units, n_units)
        Symmetric, diagonal 1.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((5000, 1))
    >>> noise = np.random.default_rng(1).standard_normal((5000, 2))
    >>> chain = np.concatenate([x, x + noise[:, :1], x + noise[:, :1] + noise[:, 1:]], axis=1)
    >>> abs(partial_correlation(chain, ridge=1e-6)[2, 0]) < 0.05
    np.True_
    """
    correlation = pearson_correlation(counts)
    precision = np.linalg.inv(correlation + ridge * np.eye(len(correlation)))
    scale = np.sqrt(np.diag(precision))
    partial: Array = -precision / np.outer(scale, scale)
    np.fill_diagonal(partial, 1.0)
    return partial


def lagged_covariance(counts: ArrayLike, *, n_lags: int = 3) -> Array:
    r"""Covariance of each target with the past of each source, summed over lags.

    .. math:: C_{ij} = \sum_{k=1}^{K} \mathrm{cov}\big(y_i(t), y_j(t - k)\big)

    Parameters
    ----------
    counts : array-like (n_bins, n_units)
    n_lags : int
        ``K``.

    Returns
    -------
    ndarray (n_units, n_units)

    Notes
    -----
    O(n_lags * n_bins * n_units^2) time; one block of bins in memory.

    Examples
    --------
    >>> y = np.random.default_rng(0).integers(0, 2, 400)
    >>> covariance = lagged_covariance(np.stack([y, np.roll(y, 1)], axis=1))
    >>> covariance[1, 0] > 5 * abs(covariance[0, 1])
    np.True_
    """
    total: Array = np.sum(_covariances(_counts(counts), range(1, n_lags + 1)), axis=0)
    return total


def ridge_var(counts: ArrayLike, *, n_lags: int = 3, ridge: float = 0.01) -> Array:
    r"""Sum over lags of the weights of a vector autoregression with a ridge penalty.

    .. math:: \min_A \frac{1}{T} \sum_t \Big\|z(t) - \sum_k A_k z(t - k)\Big\|^2 + \rho \sum_k \|A_k\|^2

    on counts ``z`` scaled to mean 0 and variance 1.

    Parameters
    ----------
    counts : array-like (n_bins, n_units)
    n_lags : int
    ridge : float
        ``rho``.

    Returns
    -------
    ndarray (n_units, n_units)

    Notes
    -----
    O((n_lags * n_units)^3 + n_lags * n_bins * n_units^2) time.

    Examples
    --------
    >>> y = np.random.default_rng(0).integers(0, 2, 400)
    >>> weights = ridge_var(np.stack([y, np.roll(y, 1)], axis=1), n_lags=1)
    >>> float(weights[1, 0].round(1)), abs(weights[0, 1]) < 0.1
    (1.0, np.True_)
    """
    y = _counts(counts)
    covariances = _covariances(y, range(n_lags + 1))
    sd = np.sqrt(np.diag(covariances[0]))
    scale = np.where(sd > 0, sd, np.inf)
    lagged = [c / np.outer(scale, scale) for c in covariances]
    n_units = y.shape[1]
    # Stationary block Toeplitz matrix of the past: block (a, b) is cov(z(t - a), z(t - b)).
    past = np.block(
        [[lagged[b - a] if b >= a else lagged[a - b].T for b in range(n_lags)] for a in range(n_lags)]
    )
    past[np.diag_indices_from(past)] += ridge
    across = np.concatenate(lagged[1:], axis=1)
    weights = np.linalg.solve(past, across.T).T.reshape(n_units, n_lags, n_units)
    total: Array = weights.sum(axis=1)
    return total


def edge_scores(strength: ArrayLike, edges: ArrayLike) -> EdgeScores:
    """Judge a matrix by how it ranks true edges among all ordered pairs of different units.

    Parameters
    ----------
    strength : array-like (n_units, n_units)
        (target, source); the diagonal is left out. Large means connected: take absolute values first where
        inhibition counts too.
    edges : array-like of bool (n_units, n_units)

    Returns
    -------
    EdgeScores

    Raises
    ------
    ShapeError
        If strengths and edges do not fit.
    DataError
        If a strength is not finite, or all pairs are edges, or none.

    Examples
    --------
    >>> edge_scores([[0, 1], [3, 0]], [[0, 0], [1, 0]])
    EdgeScores(auroc=1.0, average_precision=1.0, chance=0.5)
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    value, truth = np.asarray(strength, dtype=np.float64), np.asarray(edges, dtype=np.bool_)
    if value.ndim != 2 or value.shape != truth.shape or len(value) != value.shape[1]:
        raise ShapeError(
            f"strength {value.shape} and edges {truth.shape}: expected the same (n_units, n_units)"
        )
    pairs = ~np.eye(len(value), dtype=np.bool_)
    value, truth = value[pairs], truth[pairs]
    if not np.isfinite(value).all():
        raise DataError(f"{int((~np.isfinite(value)).sum())} strengths are not finite")
    if truth.all() or not truth.any():
        raise DataError("all pairs are edges, or none: there is nothing to tell apart")
    return EdgeScores(
        float(roc_auc_score(truth, value)), float(average_precision_score(truth, value)), float(truth.mean())
    )


def _counts(counts: ArrayLike) -> NDArray[np.generic]:
    y = np.asarray(counts)
    if y.ndim != 2 or len(y) < 2:
        raise ShapeError(f"counts have shape {y.shape}: expected (n_bins, n_units) with at least 2 bins")
    return y


def _covariances(y: NDArray[np.generic], lags: "range | list[int]") -> list[Array]:
    """``cov(y_i(t), y_j(t - k))`` of each lag, divided by the number of bins; counts in blocks."""
    n_bins, n_units = y.shape
    if max(lags) >= n_bins:
        raise DataError(f"{n_bins} bins are too few for a lag of {max(lags)}")
    mean = y.mean(axis=0, dtype=np.float64)
    height = max(max(lags) + 1, _BLOCK // (8 * n_units))
    found = [np.zeros((n_units, n_units)) for _ in lags]
    for start in range(0, n_bins, height):
        reach = max(start - max(lags), 0)
        block = np.asarray(y[reach : start + height], dtype=np.float64) - mean
        for place, lag in enumerate(lags):
            first = max(start, lag)
            now, past = block[first - reach :], block[first - reach - lag : len(block) - lag]
            found[place] += now.T @ past
    return [total / n_bins for total in found]
