r"""Deterministic shape metrics: distances between representations that ignore rotations or permutations.

With column-centred ``X`` (m, n) and ``Y`` (m, n) of the same m conditions (the narrower is padded by zeros)
and a group ``G`` of orthogonal matrices,

.. math:: d^2(X, Y) = \min_{Q \in G} \|X - Y Q\|_F^2, \qquad
          \theta(X, Y) = \min_{Q \in G} \arccos \frac{\langle X, Y Q \rangle}{\|X\|_F \|Y\|_F} .

Both are metrics: symmetric, zero only for equal shapes, and obeying the triangle inequality.

References
----------
Williams, Kunz, Kornblith, Linderman (2021), NeurIPS: equations 4 to 8.
"""

import warnings
from typing import Literal

import numpy as np
import scipy.optimize
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError

__all__ = ["canonical_correlations", "matched_conditions", "partially_whitened", "shape_distance"]

Array = NDArray[np.float64]
Group = Literal["orthogonal", "permutation"]
Metric = Literal["angular", "euclidean"]


def shape_distance(
    x: ArrayLike,
    y: ArrayLike,
    *,
    alpha: float = 1.0,
    group: Group = "orthogonal",
    metric: Metric = "angular",
    center: bool = True,
) -> float:
    r"""Shape distance between two representations of the same conditions.

    Parameters
    ----------
    x : array (m, n_x)
        Conditions in rows, neurons in columns.
    y : array (m, n_y)
    alpha : float in [0, 1]
        1 leaves the data as they are (Procrustes), 0 whitens them (canonical correlations), values between
        whiten partially: see `partially_whitened`.
    group : {"orthogonal", "permutation"}
        What the distance ignores.
    metric : {"angular", "euclidean"}
        Angle in radians, in [0, pi / 2] for the orthogonal group, or distance in the data's units.
    center : bool
        Remove each neuron's mean over conditions.

    Returns
    -------
    float

    Raises
    ------
    ShapeError
        If the numbers of conditions differ.
    DataError
        For NaN or infinite values, or a representation that does not vary (the angle is undefined).

    Notes
    -----
    Time ``O(m n^2 + n^3)``, memory ``O(m n + n^2)``, n the larger width.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((20, 5))
    >>> rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    >>> bool(shape_distance(x, 3 * x @ rotation + 1) < 1e-7)
    True
    """
    a, b = matched_conditions(x, y)
    if center:
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    if alpha != 1.0:
        a, b = partially_whitened(a, alpha), partially_whitened(b, alpha)
    similarity = _similarity(a.T @ b, group)
    size_a, size_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if metric == "euclidean":
        squared, scale = size_a**2 + size_b**2 - 2 * similarity, size_a**2 + size_b**2
        # Near zero the difference of large numbers loses half the digits: measure the residual itself.
        return float(np.sqrt(squared)) if squared > 1e-3 * scale else _residual(a, b, group)
    if metric != "angular":
        raise ConfigError(f"unknown metric {metric!r}: choose 'angular' or 'euclidean'")
    if size_a == 0 or size_b == 0:
        raise DataError(
            "a representation that is the same for all conditions has no shape: its angle is undefined"
        )
    return _angle(a / size_a, b / size_b, similarity / (size_a * size_b), group)


def _similarity(cross: Array, group: Group) -> float:
    if group == "orthogonal":
        return float(np.linalg.svd(cross, compute_uv=False).sum())
    if group != "permutation":
        raise ConfigError(f"unknown group {group!r}: choose 'orthogonal' or 'permutation'")
    square = _padded(cross)
    rows, columns = scipy.optimize.linear_sum_assignment(square, maximize=True)
    return float(square[rows, columns].sum())


def _angle(a: Array, b: Array, cosine: float, group: Group) -> float:
    """The arc cosine; near zero, where it loses half its digits, twice the arc sine of half the chord."""
    if cosine < 0.999:
        return float(np.arccos(max(cosine, -1.0)))
    return float(2 * np.arcsin(min(1.0, _residual(a, b, group) / 2)))


def _residual(a: Array, b: Array, group: Group) -> float:
    """``min |a - b Q|`` from the best ``Q`` itself."""
    cross = _padded(b.T @ a)
    width = len(cross)
    turned = _widened(b, width)
    if group == "orthogonal":
        u, _, vt = np.linalg.svd(cross)
        turned = turned @ (u @ vt)
    else:
        turned = turned[:, scipy.optimize.linear_sum_assignment(cross.T, maximize=True)[1]]
    return float(np.linalg.norm(_widened(a, width) - turned))


def partially_whitened(x: ArrayLike, alpha: float) -> Array:
    r"""Move the spectrum of a representation towards white.

    With the singular values :math:`\sigma_j` of ``X``, directions are scaled by
    :math:`\alpha + (1 - \alpha) / \sigma_j`, then all by one constant that keeps the total variance.

    Parameters
    ----------
    x : array (m, n)
        Already centred, if wanted.
    alpha : float in [0, 1]

    Returns
    -------
    ndarray (m, n)

    Warns
    -----
    RuntimeWarning
        If ``X`` has directions without variance: they are left out of the whitening.

    Notes
    -----
    For ``0 < alpha < 1`` the result depends on the units of ``X``: make its Frobenius norm 1 first to be
    free of them.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha={alpha} lies outside [0, 1]")
    data = np.asarray(x, dtype=np.float64)
    u, s, vt = np.linalg.svd(data, full_matrices=False)
    rank = _rank(s, data.shape)
    if rank < min(data.shape[1], data.shape[0] - 1):
        warnings.warn(
            f"representation of shape {data.shape} has rank {rank}: whitening leaves out other directions",
            RuntimeWarning,
            stacklevel=3,
        )
    scaled = s[:rank] * alpha + (1 - alpha)
    scaled = scaled * np.sqrt((s**2).sum() / (scaled**2).sum()) if rank else scaled
    whitened: Array = (u[:, :rank] * scaled) @ vt[:rank]
    return whitened


def canonical_correlations(x: ArrayLike, y: ArrayLike) -> Array:
    """Canonical correlations of two representations, falling, in [0, 1].

    Directions without variance are left out by their singular values, so rank-deficient data give
    ``min(rank)`` correlations and not an arbitrary extra one.

    Parameters
    ----------
    x : array (m, n_x)
    y : array (m, n_y)

    Returns
    -------
    ndarray (min(rank_x, rank_y),)

    Raises
    ------
    DataError
        If conditions do not outnumber neurons on a side: all correlations would be 1, whatever the data.
    """
    a, b = matched_conditions(x, y)
    bases = []
    for data in (a - a.mean(axis=0), b - b.mean(axis=0)):
        u, s, _ = np.linalg.svd(data, full_matrices=False)
        rank = _rank(s, data.shape)
        if rank >= len(data) - 1:
            raise DataError(
                f"{len(data)} conditions cannot tell the correlations of {data.shape[1]} neurons from 1: "
                "use more conditions than neurons, or reduce the neurons by principal components"
            )
        bases.append(u[:, :rank])
    correlations: Array = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    return np.clip(correlations, 0, 1)


def matched_conditions(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Check two representations, and give them as float64 (m, n_x) and (m, n_y)."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ShapeError(
            f"representations have shapes {a.shape} and {b.shape}: (m, n_x) and (m, n_y) of "
            "the same m conditions are needed"
        )
    for name, data in (("first", a), ("second", b)):
        if not np.isfinite(data).all():
            bad = np.argwhere(~np.isfinite(data))[0]
            raise DataError(
                f"the {name} representation is NaN or infinite at condition {bad[0]}, neuron {bad[1]}"
            )
    return a, b


def _rank(singular_values: Array, shape: tuple[int, ...]) -> int:
    tolerance = max(shape) * np.finfo(np.float64).eps * singular_values.max(initial=0.0)
    return int((singular_values > tolerance).sum())


def _padded(matrix: Array) -> Array:
    size = max(matrix.shape)
    return np.pad(matrix, [(0, size - matrix.shape[0]), (0, size - matrix.shape[1])])


def _widened(data: Array, width: int) -> Array:
    return np.pad(data, [(0, 0), (0, width - data.shape[1])])
