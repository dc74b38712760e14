r"""Stochastic shape metrics: distances between noisy representations that ignore rotations.

Every condition has a distribution of responses. For a distance ``D`` between distributions,

.. math:: d(F, G) = \min_{Q \in O(n)} \Big( \tfrac1m \sum_k D^2(F_k, G_k Q) \Big)^{1/2}.

For Gaussians the interpolated Wasserstein distance weighs means and covariances,

.. math:: D_\alpha^2 = \alpha \|\mu_F - \mu_G\|^2 + (2 - \alpha)\, B^2(\Sigma_F, \Sigma_G), \qquad
          B^2(S, T) = \mathrm{tr} S + \mathrm{tr} T - 2 \|S^{1/2} T^{1/2}\|_* .

References
----------
Duong, Zhou, Nassar, Berman, Olieslagers, Williams (2023), ICLR: equations 3 to 7.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.geometry.orthogonal import Evaluation, minimise, polar, random_starts

__all__ = ["Alignment", "align_gaussians", "bures_squared", "stochastic_shape_distance"]

Array = NDArray[np.float64]


class Alignment(NamedTuple):
    """Distance, and the rotation (n, n) that attains it: ``mean_b @ rotation`` lies over ``mean_a``."""

    distance: float
    rotation: Array


def stochastic_shape_distance(
    mean_a: ArrayLike,
    cov_a: ArrayLike,
    mean_b: ArrayLike,
    cov_b: ArrayLike,
    alpha: float = 1.0,
    *,
    n_starts: int = 20,
    seed: int = 0,
) -> float:
    r"""Stochastic shape distance between two Gaussian representations.

    Parameters
    ----------
    mean_a, mean_b : array (m, n)
        Mean response of each condition; centre over conditions first to ignore shifts.
    cov_a, cov_b : array (m, n, n)
        Covariance of the responses to each condition, positive semidefinite.
    alpha : float in [0, 2]
        2: means alone; 1: the 2-Wasserstein distance; 0: covariances alone.
    n_starts : int
        Random rotations the search starts from, besides the best one for the means: half of them proper,
        half with a reflection. The problem has several local minima.
    seed : int

    Returns
    -------
    float
        In the units of the responses.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DataError
        For non-finite values or a covariance with a clearly negative eigenvalue.

    Notes
    -----
    Each step starts from a Procrustes problem with weights ``sqrt(alpha)`` and ``sqrt(2 - alpha)`` (weights
    of ``alpha`` and ``2 - alpha``, as in the public code ``netrep``, minimise another function than the one
    reported) and goes on by Newton's method, see `neuroai.geometry.orthogonal`. Time ``O(n_starts t m n^3)``
    for ``t`` steps, 10 to 30, of one batch of singular value decompositions each; memory ``O(m n^2)``.

    Examples
    --------
    >>> means, covs = np.array([[1.0, 0.0], [0.0, 1.0]]), np.stack([np.eye(2), np.diag([2.0, 1.0])])
    >>> turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> bool(stochastic_shape_distance(means, covs, means @ turn, turn.T @ covs @ turn) < 1e-6)
    True
    """
    return align_gaussians(mean_a, cov_a, mean_b, cov_b, alpha, n_starts=n_starts, seed=seed).distance


def align_gaussians(
    mean_a: ArrayLike,
    cov_a: ArrayLike,
    mean_b: ArrayLike,
    cov_b: ArrayLike,
    alpha: float = 1.0,
    *,
    n_starts: int = 20,
    seed: int = 0,
    tolerance: float = 1e-13,
) -> Alignment:
    """As `stochastic_shape_distance`, with the rotation that attains it.

    Parameters
    ----------
    tolerance : float
        A start ends when its next step promises less than this, relative to the size of the responses.
    """
    if not 0 <= alpha <= 2:
        raise ConfigError(f"alpha={alpha} lies outside [0, 2]: 2 compares means alone, 0 covariances alone")
    means_a, roots_a = _checked(mean_a, cov_a, "first")
    means_b, roots_b = _checked(mean_b, cov_b, "second")
    if means_a.shape != means_b.shape:
        raise ShapeError(
            f"representations have shapes {means_a.shape} and {means_b.shape}: pad the narrower with zeros"
        )
    evaluate, scale = _cost(means_a, roots_a, means_b, roots_b, alpha)
    starts = [polar(means_b.T @ means_a), *random_starts(means_a.shape[1], n_starts, seed)]
    if alpha == 2:
        starts = starts[:1]  # Means alone: a Procrustes problem, solved by its start.
    found = [minimise(evaluate, start, scale=scale, tolerance=tolerance) for start in starts]
    cost, rotation = min(found, key=lambda one: one[0])
    return Alignment(float(np.sqrt(max(0.0, cost))), rotation)


def bures_squared(s: ArrayLike, t: ArrayLike) -> float:
    r"""Squared Bures distance of two covariances, ``tr S + tr T - 2 |S^{1/2} T^{1/2}|_*``.

    Examples
    --------
    >>> round(bures_squared([[2, 0.5], [0.5, 1]], [[1, -0.3], [-0.3, 3]]), 10)
    0.929311855
    """
    roots = _roots(np.stack([np.asarray(s, dtype=np.float64), np.asarray(t, dtype=np.float64)]), "pair")
    nuclear = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    return float(np.trace(np.asarray(s)) + np.trace(np.asarray(t)) - 2 * nuclear)


def _cost(
    means_a: Array, roots_a: Array, means_b: Array, roots_b: Array, alpha: float
) -> tuple[Callable[[Array], Evaluation], float]:
    """Mean squared distance as a function of the rotation, with its slope; and the size of its terms."""
    m = len(means_a)
    sizes = [float((part**2).sum()) / m for part in (means_a, means_b, roots_a, roots_b)]
    constant = alpha * (sizes[0] + sizes[1]) + (2 - alpha) * (sizes[2] + sizes[3])
    cross = means_b.T @ means_a

    def evaluate(rotation: Array) -> Evaluation:
        shared, slope = alpha * float((cross * rotation).sum()), alpha * cross
        if alpha == 2:
            return Evaluation(constant - 2 * shared / m, slope * (2 / m), np.zeros_like)
        # Polar factors U_k of S_a^{1/2} (S_b^{1/2} Q)^T make |S_a^{1/2} - U_k S_b^{1/2} Q| the Bures
        # distance; the singular values of the same decomposition are the fidelity.
        u, s, vt = np.linalg.svd(roots_a @ (roots_b @ rotation).mT)
        left, right = u.mT @ roots_a, roots_b @ vt.mT
        gaps = s[:, :, None] + s[:, None, :]
        gaps = (2 - alpha) / np.maximum(gaps, 1e-12 * max(float(s.max()), 1e-300)) * (2 / m)

        def differential(change: Array) -> Array:
            moved = left @ change.T @ right
            inner = (moved - moved.mT) * gaps
            return _summed(right @ inner.mT, left)

        shared += (2 - alpha) * float(s.sum())
        slope = slope + (2 - alpha) * _summed(right, left)
        return Evaluation(constant - 2 * shared / m, slope * (2 / m), differential)

    return evaluate, constant


def _summed(first: Array, second: Array) -> Array:
    """Sum over conditions of products of matrices (m, n, n), as one product."""
    n = first.shape[-1]
    total: Array = first.transpose(1, 0, 2).reshape(n, -1) @ second.reshape(-1, n)
    return total


def _checked(mean: ArrayLike, cov: ArrayLike, which: str) -> tuple[Array, Array]:
    means, covariances = np.asarray(mean, dtype=np.float64), np.asarray(cov, dtype=np.float64)
    if means.ndim != 2 or covariances.shape != (*means.shape, means.shape[1]):
        raise ShapeError(
            f"the {which} representation has means {means.shape} and covariances {covariances.shape}: "
            "(m, n) and (m, n, n) are needed"
        )
    if not (np.isfinite(means).all() and np.isfinite(covariances).all()):
        raise DataError(f"the {which} representation holds NaN or infinite values")
    return means, _roots(covariances, which)


def _roots(covariances: Array, which: str) -> Array:
    values, vectors = np.linalg.eigh(covariances)
    lowest = values[:, 0] + 1e-8 * values[:, -1]
    if (lowest < -1e-300).any():
        bad = int(np.argmin(lowest))
        raise DataError(
            f"covariance {bad} of the {which} representation has eigenvalue {values[bad, 0]:.3g} < 0"
        )
    roots: Array = (vectors * np.sqrt(np.maximum(values, 0))[:, None]) @ vectors.mT
    return roots
