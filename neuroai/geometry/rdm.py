r"""Representational dissimilarity matrices, as vectors of the m (m - 1) / 2 pairs of conditions.

References
----------
Kriegeskorte, Mur, Bandettini (2008); Walther et al. (2016): crossnobis; Schütt et al. (2023): Poisson
distances.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import scipy.spatial.distance
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError

__all__ = ["METHODS", "condensed", "crossnobis", "poisson_crossvalidated", "rdm", "square"]

Array = NDArray[np.float64]
Method = Literal["correlation", "euclidean", "cosine", "mahalanobis", "poisson"]


def rdm(x: ArrayLike, method: Method = "correlation", *, precision: ArrayLike | None = None) -> Array:
    r"""Dissimilarities between all pairs of conditions.

    ==============  ===========================================================================
    correlation     :math:`1 - r(x_a, x_b)` over channels
    euclidean       :math:`\|x_a - x_b\|^2 / n`
    cosine          :math:`1 - x_a \cdot x_b / (\|x_a\| \|x_b\|)`
    mahalanobis     :math:`(x_a - x_b)^T P (x_a - x_b) / n`
    poisson         :math:`(\lambda_a - \lambda_b) \cdot (\log \lambda_a - \log \lambda_b) / n`, two-sided KL
    ==============  ===========================================================================

    Parameters
    ----------
    x : array (m, n)
        Conditions in rows, channels (voxels, neurons) in columns. Rates or counts, at least 0, for
        "poisson", where a prior of weight 0.1 and rate 1, :math:`\lambda = (x + 0.1) / 1.1`, keeps the
        logarithm finite.
    method : str
    precision : array (n, n) or (n,)
        Inverse noise covariance for "mahalanobis", or its diagonal.

    Returns
    -------
    ndarray (m (m - 1) / 2,)
        In the order (0, 1), (0, 2), ..., (m - 2, m - 1). See `square`.

    Raises
    ------
    DataError
        For non-finite values, or a condition whose pattern has no variance (correlation) or length (cosine).

    Notes
    -----
    One product of matrices: time ``O(m^2 n)``, memory ``O(m^2 + m n)``.

    Examples
    --------
    >>> rdm([[0.0, 0.0], [1.0, 1.0], [0.0, 2.0]], "euclidean")
    array([1., 2., 1.])
    """
    data = _checked(x)
    if (precision is not None) != (method == "mahalanobis"):
        raise ConfigError("precision goes with method='mahalanobis', and is needed there")
    if precision is not None:
        return _mahalanobis(data, np.asarray(precision, dtype=np.float64))
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}, mahalanobis")
    return METHODS[method](data)


def crossnobis(x: ArrayLike, precision: ArrayLike | None = None) -> Array:
    r"""Cross-validated Mahalanobis distances: unbiased, zero on average where patterns are equal.

    .. math:: d_{ab} = \frac{1}{n R (R - 1)} \sum_{r \ne s} (x_a^r - x_b^r)^T P (x_a^s - x_b^s)

    Parameters
    ----------
    x : array (r, m, n)
        Patterns of ``r`` independent runs (at least 2), ``m`` conditions, ``n`` channels.
    precision : array (n, n) or (n,), optional
        Inverse noise covariance, or its diagonal; identity by default.

    Returns
    -------
    ndarray (m (m - 1) / 2,)
        May be negative.

    Notes
    -----
    All pairs of runs at once through ``sum_{r != s} = |sum_r|^2 - sum_r | |^2``: time ``O(r m^2 n)``, memory
    ``O(r m n + m^2)``.

    Examples
    --------
    >>> patterns = np.array([[0.0, 0.0], [1.0, 3.0]])
    >>> crossnobis(np.stack([patterns, patterns]))
    array([5.])
    """
    data = _checked_runs(x)
    runs, _, channels = data.shape
    # Centring over conditions changes no difference of patterns and keeps the Gram matrices well scaled.
    data = data - data.mean(axis=1, keepdims=True)
    weighted = data if precision is None else _weighted(data, np.asarray(precision, dtype=np.float64))
    total = data.sum(axis=0) @ weighted.sum(axis=0).T
    within = np.einsum("rmc,rkc->mk", data, weighted, optimize=True)
    return _from_gram((total - within) / (channels * runs * (runs - 1)))


def poisson_crossvalidated(x: ArrayLike) -> Array:
    r"""Cross-validated two-sided Kullback-Leibler dissimilarities of Poisson rates.

    .. math:: d_{ab} = \frac1{n R} \sum_r (\lambda_a^{-r} - \lambda_b^{-r}) \cdot
              (\log \lambda_a^{r} - \log \lambda_b^{r})

    with :math:`\lambda^{r}` from run ``r`` alone and :math:`\lambda^{-r}` from the mean of all others.

    Parameters
    ----------
    x : array (r, m, n)
        Rates or counts, at least 0, of ``r`` independent runs (at least 2); a prior as in `rdm`.

    Returns
    -------
    ndarray (m (m - 1) / 2,)
        May be negative. Zero on average where rates are equal.

    Notes
    -----
    ``rsatoolbox`` 0.3.2 returns the term of the *last* run only (its loop overwrites the others), which has
    ``R`` times the variance; here all are averaged. Time ``O(r m^2 n)``.

    Examples
    --------
    >>> counts = np.array([[0.0, 4.0], [4.0, 0.0]])
    >>> bool(np.allclose(poisson_crossvalidated(np.stack([counts, counts])), rdm(counts, "poisson")))
    True
    """
    data = _checked_runs(x)
    if (data < 0).any():
        raise DataError(f"Poisson dissimilarities need rates of at least 0; the smallest is {data.min():g}")
    runs, _, channels = data.shape
    total = data.sum(axis=0)
    train, test = _with_prior((total - data) / (runs - 1)), np.log(_with_prior(data))
    gram = np.einsum("rmc,rkc->mk", train, test, optimize=True)
    pairs: Array = _from_gram(gram) / (channels * runs)
    return pairs


def square(dissimilarities: ArrayLike) -> Array:
    """Symmetric matrix (m, m) with zero diagonal of a vector of m (m - 1) / 2 pairs."""
    matrix: Array = scipy.spatial.distance.squareform(
        np.asarray(dissimilarities, dtype=np.float64), force="tomatrix"
    )
    return matrix


def condensed(matrix: ArrayLike) -> Array:
    """Vector of pairs of a symmetric matrix (m, m); vectors pass unchanged.

    Raises
    ------
    ShapeError
        If the matrix is not square, or not symmetric.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim == 1:
        _conditions(values.size)
        return values
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ShapeError(f"an RDM has shape (m, m) or (m (m - 1) / 2,); found {values.shape}")
    if not np.allclose(values, values.T, rtol=1e-7, atol=1e-10, equal_nan=True):
        raise ShapeError("an RDM is symmetric; the matrix given is not")
    return _upper(values)


def _conditions(n_pairs: int) -> int:
    m = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
    if m * (m - 1) // 2 != n_pairs:
        raise ShapeError(f"{n_pairs} entries are not the m (m - 1) / 2 pairs of any number of conditions m")
    return m


def _checked(x: ArrayLike) -> Array:
    data = np.asarray(x, dtype=np.float64)
    if data.ndim != 2 or len(data) < 2:
        raise ShapeError(
            f"patterns have shape {data.shape}; (conditions, channels) with at least 2 conditions is needed"
        )
    if not np.isfinite(data).all():
        a, b = np.argwhere(~np.isfinite(data))[0]
        raise DataError(
            f"patterns are NaN or infinite at condition {a}, channel {b}: mask those channels first"
        )
    return data


def _checked_runs(x: ArrayLike) -> Array:
    data = np.asarray(x, dtype=np.float64)
    if data.ndim != 3 or data.shape[0] < 2:
        raise ShapeError(
            f"patterns have shape {data.shape}; (runs, conditions, channels) with at least 2 runs is needed"
        )
    if not np.isfinite(data).all():
        raise DataError(
            f"patterns hold NaN or infinite values, first at {np.argwhere(~np.isfinite(data))[0].tolist()}"
        )
    return data


def _upper(matrix: Array) -> Array:
    """Entries above the diagonal, row by row: copied in runs, a third of the time of index arrays."""
    m = len(matrix)
    pairs = np.empty(m * (m - 1) // 2)
    first = 0
    for row in range(m - 1):
        last = first + m - 1 - row
        pairs[first:last] = matrix[row, row + 1 :]
        first = last
    return pairs


def _from_gram(gram: Array) -> Array:
    lengths = np.diag(gram).copy()
    distances = gram + gram.T
    np.subtract(lengths, distances, out=distances)
    distances += lengths[:, None]
    return _upper(distances)


def _euclidean(x: Array) -> Array:
    centred = x - x.mean(axis=0)
    gram = centred @ centred.T
    lengths = np.diag(gram).copy()
    gram *= -2
    gram += lengths
    gram += lengths[:, None]
    pairs = _upper(gram)
    np.maximum(pairs, 0, out=pairs)
    pairs /= x.shape[1]
    return pairs


def _correlation(x: Array) -> Array:
    flat = x.max(axis=1) == x.min(axis=1)
    if flat.any():
        raise DataError(
            f"condition {int(np.argmax(flat))} is equal in all channels: its correlation is undefined"
        )
    return _cosine(x - x.mean(axis=1, keepdims=True))


def _cosine(x: Array) -> Array:
    lengths = np.linalg.norm(x, axis=1)
    if (lengths == 0).any():
        raise DataError(
            f"condition {int(np.argmin(lengths))} is zero in every channel: its angle is undefined"
        )
    unit = x / lengths[:, None]
    pairs = _upper(unit @ unit.T)
    np.subtract(1, pairs, out=pairs)
    return pairs


def _mahalanobis(x: Array, precision: Array) -> Array:
    centred = x - x.mean(axis=0)
    pairs: Array = np.maximum(_from_gram(centred @ _weighted(centred, precision).T), 0) / x.shape[1]
    return pairs


def _weighted(x: Array, precision: Array) -> Array:
    n = x.shape[-1]
    if precision.shape not in {(n,), (n, n)}:
        raise ShapeError(
            f"precision has shape {precision.shape}; ({n}, {n}) or its diagonal ({n},) is needed"
        )
    return x * precision if precision.ndim == 1 else x @ precision


def _poisson(x: Array) -> Array:
    if (x < 0).any():
        raise DataError(f"Poisson dissimilarities need rates of at least 0; the smallest is {x.min():g}")
    rates = _with_prior(x)
    gram = rates @ np.log(rates).T
    pairs: Array = _from_gram(gram) / x.shape[1]
    return pairs


def _with_prior(counts: Array) -> Array:
    """Posterior mean of a rate under a gamma prior of weight 0.1 and rate 1."""
    rates: Array = (counts + 0.1) / 1.1
    return rates


METHODS: dict[str, Callable[[Array], Array]] = {
    "correlation": _correlation,
    "euclidean": _euclidean,
    "cosine": _cosine,
    "poisson": _poisson,
}
