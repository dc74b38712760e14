r"""Gains that whiten: the objective, its derivatives, closed form and exact solvers.

With a frame ``W`` (n, k), gains ``g`` (k,), leak :math:`\alpha` and inputs of covariance
``C``, the circuit settles at :math:`y = M^{-1} x`, :math:`M = \alpha I + W\,\mathrm{diag}(g)\,W^T`, and the
gains climb the concave function

.. math:: L(g) = \tfrac12 \mathrm{tr}[(I - M^{-1}) C] - \tfrac12 \sum_i g_i \|w_i\|^2 .

All functions are float64, of one covariance, and pure.

References
----------
Duong, Lipshutz, Heeger, Chklovskii, Simoncelli (2023), ICML: equations 1 to 6.
"""

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, ShapeError

__all__ = [
    "gradient",
    "hessian",
    "newton_gains",
    "nonnegative_gains",
    "objective",
    "optimal_gains",
    "response_covariance",
    "response_matrix",
    "signed_pair_gains",
    "squared_gram",
    "symmetric_root",
]

Array = NDArray[np.float64]


def symmetric_root(covariance: ArrayLike) -> Array:
    """The symmetric positive semidefinite square root; rounding below zero is clipped.

    Raises
    ------
    ConfigError
        If the matrix has a clearly negative eigenvalue.
    """
    values, vectors = np.linalg.eigh(_square(covariance))
    if values[0] < -1e-8 * max(values[-1], 1e-300):
        raise ConfigError(f"a covariance has no negative eigenvalue; the smallest here is {values[0]:.3g}")
    root: Array = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def squared_gram(frame: ArrayLike) -> Array:
    r"""``(W^T W) ** 2``, elementwise: how much each interneuron's gain moves another's variance."""
    w = np.asarray(frame, dtype=np.float64)
    gram: Array = (w.T @ w) ** 2
    return gram


def response_matrix(frame: ArrayLike, gains: ArrayLike, leak: float = 1.0) -> Array:
    r"""``M = leak I + W diag(g) W^T``; where it is positive definite the circuit settles at ``M^{-1} x``."""
    w, g = _frame_and_gains(frame, gains)
    matrix: Array = leak * np.eye(w.shape[0]) + (w * g) @ w.T
    return matrix


def response_covariance(
    covariance: ArrayLike, frame: ArrayLike, gains: ArrayLike, leak: float = 1.0
) -> Array:
    """Covariance of the settled responses, ``M^{-1} C M^{-1}``.

    Parameters
    ----------
    covariance : array (n, n)
        Of the inputs, in squared input units.
    frame : array (n, k)
    gains : array (k,)
        Dimensionless.
    leak : float
        Positive.

    Returns
    -------
    ndarray (n, n)
    """
    inverse = np.linalg.inv(response_matrix(frame, gains, leak))
    result: Array = inverse @ _square(covariance) @ inverse
    return result


def optimal_gains(covariance: ArrayLike, frame: ArrayLike, leak: float = 1.0) -> Array:
    r"""Gains that whiten a covariance exactly, in closed form.

    .. math:: g^* = \Gamma^{+} b, \quad \Gamma = (W^T W)^{\circ 2}, \quad b_i = w_i^T (\sqrt C - \alpha I) w_i

    Parameters
    ----------
    covariance : array (n, n)
        Symmetric, positive semidefinite.
    frame : array (n, k)
        Unit columns. With ``k < n (n + 1) / 2`` the result is the least-squares
        fit of :math:`\sqrt C - \alpha I`, which whitens only if the frame can express it.
    leak : float
        Positive.

    Returns
    -------
    ndarray (k,)
        For more columns than ``n (n + 1) / 2`` the gains are not unique; these have
        the smallest norm. ``M`` and the responses are unique.

    Notes
    -----
    Time ``O(k^3)``, memory ``O(k^2)``.

    Examples
    --------
    >>> from neuroai.whitening.frames import mercedes_benz
    >>> optimal_gains([[4.0, 0.0], [0.0, 4.0]], mercedes_benz()).round(6)
    array([0.666667, 0.666667, 0.666667])
    """
    c, w = _square(covariance), np.asarray(frame, dtype=np.float64)
    target = symmetric_root(c) - leak * np.eye(c.shape[0])
    b = np.einsum("ik,ij,jk->k", w, target, w)
    gains: Array = scipy.linalg.lstsq(squared_gram(w), b, cond=1e-12)[0]
    return gains


def signed_pair_gains(matrix: ArrayLike) -> Array:
    r"""Smallest gains on the signed pair frame for which ``W diag(g) W^T`` equals a matrix.

    With :math:`\lambda_i = \frac2n (S_{ii} - \mathrm{tr} S / 2n)` the axes take :math:`\lambda_i`, the sums
    :math:`(\lambda_i + \lambda_j)/2 + S_{ij}` and the differences :math:`(\lambda_i + \lambda_j)/2 - S_{ij}`.

    Parameters
    ----------
    matrix : array (n, n)
        Symmetric.

    Returns
    -------
    ndarray (n ** 2,)

    Notes
    -----
    Time and memory ``O(n^2)``, where the general pseudo-inverse takes ``O(n^6)``.

    Examples
    --------
    >>> from neuroai.whitening.frames import signed_pair_frame
    >>> s, w = np.array([[1.0, 0.5], [0.5, 3.0]]), signed_pair_frame(2)
    >>> np.allclose((w * signed_pair_gains(s)) @ w.T, s)
    True
    """
    s = _square(matrix)
    n = s.shape[0]
    level = 2 / n * (np.diag(s) - np.trace(s) / (2 * n))
    first, second = np.triu_indices(n, 1)
    shared = 0.5 * (level[first] + level[second])
    return np.concatenate([level, shared + s[first, second], shared - s[first, second]])


def objective(covariance: ArrayLike, frame: ArrayLike, gains: ArrayLike, leak: float = 1.0) -> float:
    """The concave function ``L(g)`` of the header; minus infinity where ``M`` is not positive definite."""
    c = _square(covariance)
    w, g = _frame_and_gains(frame, gains)
    matrix = response_matrix(w, g, leak)
    try:
        factor = scipy.linalg.cho_factor(matrix)
    except np.linalg.LinAlgError:
        return -np.inf
    settled = np.trace(c) - np.trace(scipy.linalg.cho_solve(factor, c))
    return float(0.5 * settled - 0.5 * (g * (w**2).sum(axis=0)).sum())


def gradient(covariance: ArrayLike, frame: ArrayLike, gains: ArrayLike, leak: float = 1.0) -> Array:
    r"""``dL/dg_i = (w_i^T C_yy w_i - |w_i|^2) / 2``: half of each interneuron's excess variance."""
    w = np.asarray(frame, dtype=np.float64)
    response = response_covariance(covariance, w, gains, leak)
    slope: Array = 0.5 * (np.einsum("ik,ij,jk->k", w, response, w) - (w**2).sum(axis=0))
    return slope


def hessian(covariance: ArrayLike, frame: ArrayLike, gains: ArrayLike, leak: float = 1.0) -> Array:
    r"""``d2L/dg_i dg_j = -(w_i^T M^{-1} w_j)(w_i^T C_yy w_j)``: negative semidefinite (Schur product)."""
    w = np.asarray(frame, dtype=np.float64)
    inverse = np.linalg.inv(response_matrix(w, gains, leak))
    response = inverse @ _square(covariance) @ inverse
    curvature: Array = -(w.T @ inverse @ w) * (w.T @ response @ w)
    return curvature


def newton_gains(
    covariance: ArrayLike,
    frame: ArrayLike,
    leak: float = 1.0,
    gains: ArrayLike | None = None,
    *,
    tolerance: float = 1e-13,
    max_steps: int = 50,
) -> Array:
    """Maximise ``L`` by damped Newton steps that stay where ``M`` is positive definite.

    Quadratic convergence for any frame (6 steps on [[2, .8], [.8, 1]]), also
    for frames that cannot whiten completely, such as local ones, where no closed form exists.

    Parameters
    ----------
    covariance, frame, leak
        As in `optimal_gains`.
    gains : array (k,), optional
        Start; zeros (responses equal inputs) by default.
    tolerance : float
        On the largest entry of the gradient.
    max_steps : int

    Returns
    -------
    ndarray (k,)

    Raises
    ------
    ConfigError
        If no convergence within ``max_steps``, naming the gradient reached.

    Notes
    -----
    Time ``O(k^3)`` a step, memory ``O(k^2)``.
    """
    c, w = _square(covariance), np.asarray(frame, dtype=np.float64)
    g = np.zeros(w.shape[1]) if gains is None else np.array(gains, dtype=np.float64)
    for _ in range(max_steps):
        slope = gradient(c, w, g, leak)
        if np.abs(slope).max() <= tolerance:
            return g
        step: Array = scipy.linalg.lstsq(-hessian(c, w, g, leak), slope, cond=1e-13)[0]
        size = _ascent_size(c, w, g, step, float(slope @ step), leak)
        if size == 0.0:
            # No representable ascent is left: the gradient is at its rounding floor.
            break
        g = g + size * step
    remaining = np.abs(gradient(c, w, g, leak)).max()
    if remaining > 1e-8 * max(1.0, np.abs(c).max()):
        raise ConfigError(
            f"Newton steps on the gains stopped at a gradient of {remaining:.3g} after {max_steps} steps; "
            "the covariance may be singular: add a small multiple of the identity"
        )
    return g


def _ascent_size(
    covariance: Array, frame: Array, gains: Array, step: Array, slope: float, leak: float
) -> float:
    """Halve a step until it stays in the domain and climbs (Armijo)."""
    start, size = objective(covariance, frame, gains, leak), 1.0
    while size > 1e-12:
        found = objective(covariance, frame, gains + size * step, leak)
        if found >= start + 1e-4 * size * slope - 1e-14 * abs(start):
            return size
        size *= 0.5
    return 0.0


def nonnegative_gains(
    covariance: ArrayLike,
    frame: ArrayLike,
    leak: float = 1.0,
    *,
    tolerance: float = 1e-10,
    max_steps: int = 500,
) -> Array:
    r"""Maximise ``L`` over ``g >= 0`` by projected Newton steps (Bertsekas 1982).

    The optimum satisfies the Karush-Kuhn-Tucker conditions: variance 1 at
    interneurons with positive gain, at most 1 at those with zero gain. With
    ``g >= 0`` the circuit only reduces variance, so ``M`` is always positive definite.

    Parameters
    ----------
    covariance, frame, leak
        As in `optimal_gains`.
    tolerance : float
        On the Karush-Kuhn-Tucker residual ``max |g - max(0, g + dL/dg)|``.
    max_steps : int

    Returns
    -------
    ndarray (k,), non-negative

    Raises
    ------
    ConfigError
        If no convergence within ``max_steps``.
    """
    c, w = _square(covariance), np.asarray(frame, dtype=np.float64)
    g = np.zeros(w.shape[1])
    for _ in range(max_steps):
        slope = gradient(c, w, g, leak)
        residual = np.abs(g - np.maximum(0, g + slope)).max()
        if residual <= tolerance:
            return g
        held = (g <= min(residual, 1e-6)) & (slope < 0)
        step = slope.copy()
        if (~held).any():
            free = np.ix_(~held, ~held)
            step[~held] = scipy.linalg.lstsq(-hessian(c, w, g, leak)[free], slope[~held], cond=1e-13)[0]
        g = _projected_step(c, w, g, step, slope, leak)
    raise ConfigError(
        f"non-negative gains: residual {residual:.3g} after {max_steps} steps, wanted {tolerance:g}"
    )


def _projected_step(
    covariance: Array, frame: Array, gains: Array, step: Array, slope: Array, leak: float
) -> Array:
    start, size = objective(covariance, frame, gains, leak), 1.0
    while size > 1e-14:
        moved = np.maximum(0, gains + size * step)
        if objective(covariance, frame, moved, leak) >= start + 1e-4 * slope @ (moved - gains) - 1e-14 * abs(
            start
        ):
            return moved
        size *= 0.5
    return gains


def _square(covariance: ArrayLike) -> Array:
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"covariance has shape {matrix.shape}; a square matrix (n, n) is needed")
    if not np.isfinite(matrix).all():
        raise ConfigError("covariance holds NaN or infinite values: remove or mask those channels first")
    return matrix


def _frame_and_gains(frame: ArrayLike, gains: ArrayLike) -> tuple[Array, Array]:
    w, g = np.asarray(frame, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    if w.ndim != 2 or g.shape != (w.shape[1],):
        raise ShapeError(f"frame {w.shape} and gains {g.shape} do not fit: (n, k) and (k,) are needed")
    return w, g
