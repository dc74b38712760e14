r"""How fast and how safely the gains adapt, and how white the responses are.

Linearised at the optimum, :math:`\delta g_{t+1} = (I - 2 \eta A)\,\delta g_t` with
:math:`A = (W^T C^{-1/2} W) \circ (W^T W)`.

References
----------
Duong, Lipshutz, Heeger, Chklovskii, Simoncelli (2023), ICML: objective and update; the
linearisation follows from its equation 6.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.whitening.gains import symmetric_root

__all__ = [
    "contraction",
    "excess_error",
    "frobenius_error",
    "largest_stable_step",
    "operator_error",
    "relaxation_matrix",
    "spectral_error",
]

Array = NDArray[np.float64]


def relaxation_matrix(covariance: ArrayLike, frame: ArrayLike) -> Array:
    r"""``A = (W^T C^{-1/2} W) o (W^T W)``; its eigenvalues set the rates of adaptation."""
    w = np.asarray(frame, dtype=np.float64)
    matrix: Array = (w.T @ np.linalg.solve(symmetric_root(covariance), w)) * (w.T @ w)
    return matrix


def largest_stable_step(covariance: ArrayLike, frame: ArrayLike) -> float:
    """``1 / lambda_max(A)``: a larger gain step oscillates instead of whitening.

    Examples
    --------
    >>> from neuroai.whitening.frames import mercedes_benz
    >>> round(largest_stable_step([[2.0, 0.8], [0.8, 1.0]], mercedes_benz()), 6)
    0.610096
    """
    return 1.0 / float(np.linalg.eigvalsh(relaxation_matrix(covariance, frame))[-1])


def contraction(covariance: ArrayLike, frame: ArrayLike, step: float) -> float:
    """Factor by which a late step shrinks the error: ``max |1 - 2 step lambda|``, ``lambda > 0``."""
    values = np.linalg.eigvalsh(relaxation_matrix(covariance, frame))
    positive = values[values > 1e-12 * values[-1]]
    return float(np.abs(1 - 2 * step * positive).max())


def operator_error(response_covariance: ArrayLike) -> float:
    """Largest distance of an eigenvalue from 1, on either side."""
    return float(np.abs(_spectrum(response_covariance) - 1).max())


def frobenius_error(response_covariance: ArrayLike) -> float:
    """``|C_yy - I|_F^2 / n^2``."""
    difference = np.asarray(response_covariance, dtype=np.float64)
    difference = difference - np.eye(difference.shape[0])
    return float((difference**2).mean())


def spectral_error(response_covariance: ArrayLike) -> float:
    """Mean squared distance of the eigenvalues from 1."""
    return float(((_spectrum(response_covariance) - 1) ** 2).mean())


def excess_error(response_covariance: ArrayLike) -> float:
    """As `spectral_error`, counting only eigenvalues above 1: what non-negative gains can remove."""
    return float((np.maximum(_spectrum(response_covariance) - 1, 0) ** 2).mean())


def _spectrum(covariance: ArrayLike) -> Array:
    values: Array = np.linalg.eigvalsh(np.asarray(covariance, dtype=np.float64))
    return values
