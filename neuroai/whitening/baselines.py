r"""Classical whitening: the matrices ``T`` with ``T C T^T = I``, and estimates of ``C`` from few samples.

Every whitening matrix is an orthogonal matrix times :math:`C^{-1/2}`; the methods
differ in that rotation. Directions in which the data have no variance are left
out of the inverse (pseudo-inverse), so rank-deficient data are whitened on their range.

References
----------
Kessy, Lewin, Strimmer (2018), The American Statistician: the family and its optimality.
Huang, Zhou, Zhu, Liu, Shao (2019), CVPR: iterative normalisation.
Ledoit, Wolf (2004); Chen, Wiesel, Eldar, Hero (2010): shrinkage (scikit-learn's estimators).
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, ShapeError

__all__ = [
    "METHODS",
    "estimate_covariance",
    "iterative_normalisation",
    "numerical_rank",
    "unwhitening_matrix",
    "whitening_matrix",
]

Array = NDArray[np.float64]
Method = Literal["zca", "pca", "cholesky", "zca-cor", "pca-cor"]
METHODS: tuple[Method, ...] = ("zca", "pca", "cholesky", "zca-cor", "pca-cor")


def whitening_matrix(covariance: ArrayLike, method: Method = "zca", *, rank: int | None = None) -> Array:
    """One whitening matrix of a covariance.

    Parameters
    ----------
    covariance : array (n, n)
        Symmetric, positive semidefinite.
    method : {"zca", "pca", "cholesky", "zca-cor", "pca-cor"}
        "zca" stays closest to the input (symmetric root of the inverse), "pca"
        orders by variance, "cholesky" is lower triangular, the "-cor" forms
        work on the correlation matrix, so that they do not depend on units.
    rank : int, optional
        Directions to keep, those of largest variance; by default all whose
        variance is above ``n * eps`` times the largest.

    Returns
    -------
    ndarray (n, n); (rank, n) for "pca" and "pca-cor"

    Raises
    ------
    ConfigError
        For an unknown method, a channel without variance in a "-cor" form, or
        a singular covariance in "cholesky", which has no restriction to a range.

    Examples
    --------
    >>> c = np.array([[2.0, 0.8], [0.8, 1.0]])
    >>> for method in METHODS:
    ...     t = whitening_matrix(c, method)
    ...     assert np.allclose(t @ c @ t.T, np.eye(2))
    """
    c = np.asarray(covariance, dtype=np.float64)
    if c.ndim != 2 or c.shape[0] != c.shape[1]:
        raise ShapeError(f"covariance has shape {c.shape}; a square matrix (n, n) is needed")
    if method == "cholesky":
        return _cholesky(c, rank)
    if method not in METHODS:
        raise ConfigError(f"unknown whitening method {method!r}; choose one of {', '.join(METHODS)}")
    scale = np.ones(c.shape[0])
    if method.endswith("-cor"):
        variance = np.diag(c)
        if (variance <= 0).any():
            raise ConfigError(
                f"channel {int(np.argmin(variance))} has no variance: {method!r} divides by it; drop it"
            )
        scale = 1 / np.sqrt(variance)
    vectors, inverse_roots = _inverse_spectrum(c * np.outer(scale, scale), rank)
    rotated = inverse_roots[:, None] * vectors.T
    return (vectors @ rotated if method.startswith("zca") else rotated) * scale


def _inverse_spectrum(matrix: Array, rank: int | None) -> tuple[Array, Array]:
    """Eigenvectors by falling variance, largest entry positive, and inverse roots of the variances."""
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1], vectors[:, ::-1]
    found = numerical_rank(values)
    if rank is not None and not 1 <= rank <= found:
        raise ConfigError(f"rank {rank} was asked for; the data have numerical rank {found} of {len(values)}")
    kept = found if rank is None else rank
    vectors = vectors[:, :kept]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(kept)])
    return vectors, 1 / np.sqrt(values[:kept])


def _cholesky(covariance: Array, rank: int | None) -> Array:
    found = numerical_rank(np.linalg.eigvalsh(covariance)[::-1])
    if found < covariance.shape[0] or rank not in (None, covariance.shape[0]):
        raise ConfigError(
            f"Cholesky whitening needs full rank; this covariance has rank {found} of {covariance.shape[0]}: "
            "use 'zca' or 'pca', or a shrunk covariance"
        )
    lower: Array = np.linalg.inv(np.linalg.cholesky(covariance))
    return np.tril(lower)


def numerical_rank(values: ArrayLike) -> int:
    """Eigenvalues above ``n * eps`` times the largest."""
    spectrum = np.asarray(values, dtype=np.float64)
    return int((spectrum > spectrum.max(initial=0.0) * spectrum.size * np.finfo(np.float64).eps).sum())


def estimate_covariance(
    samples: ArrayLike, shrinkage: Literal["none", "ledoit-wolf", "oas"] | float = "none"
) -> tuple[Array, float]:
    r"""Covariance of samples, drawn towards a multiple of the identity.

    .. math:: \hat C = (1 - s) S + s \frac{\mathrm{tr} S}{n} I

    Parameters
    ----------
    samples : array (n_samples, n)
        The mean is removed; ``S`` divides by ``n_samples``.
    shrinkage : {"none", "ledoit-wolf", "oas"} or float in [0, 1]

    Returns
    -------
    covariance : ndarray (n, n)
    s : float
    """
    # scikit-learn takes half a second to import; frames and gains do without it.
    from sklearn.covariance import ledoit_wolf, oas, shrunk_covariance

    x = np.asarray(samples, dtype=np.float64)
    x = x - x.mean(axis=0)
    if shrinkage == "ledoit-wolf":
        found, s = ledoit_wolf(x, assume_centered=True)
    elif shrinkage == "oas":
        found, s = oas(x, assume_centered=True)
    else:
        s = 0.0 if shrinkage == "none" else float(shrinkage)
        if not 0 <= s <= 1:
            raise ConfigError(f"shrinkage {s} lies outside [0, 1]")
        found = shrunk_covariance(x.T @ x / len(x), shrinkage=s)
    return np.asarray(found, dtype=np.float64), float(s)


def iterative_normalisation(covariance: ArrayLike, n_steps: int = 5) -> Array:
    """Approximate ZCA by Newton-Schulz steps, without an eigendecomposition.

    The coupled form iterates ``Y -> S^{1/2}`` and ``Z -> S^{-1/2}`` together. The
    published single recursion on ``Z`` is equal in exact arithmetic but amplifies
    rounding errors: at condition number 600 it diverges after about 15 steps; this one does not.

    Parameters
    ----------
    covariance : array (n, n)
        Positive definite, at least on the directions that matter: few steps
        leave small variances under-whitened, which acts as a regulariser.
    n_steps : int

    Returns
    -------
    ndarray (n, n)

    Notes
    -----
    Time ``O(n_steps n^3)``.
    """
    c = np.asarray(covariance, dtype=np.float64)
    trace = float(np.trace(c))
    if not trace > 0:
        raise ConfigError(
            f"a covariance with trace {trace:g} cannot be normalised: nothing varies, as with 1 sample"
        )
    eye = np.eye(c.shape[0])
    y, z = c / trace, eye
    for _ in range(n_steps):
        t = 0.5 * (3 * eye - z @ y)
        y, z = y @ t, t @ z
    root: Array = z / np.sqrt(trace)
    return root


def unwhitening_matrix(covariance: ArrayLike, method: Method = "zca", *, rank: int | None = None) -> Array:
    """Pseudo-inverse of `whitening_matrix`: from whitened coordinates back to the inputs' units.

    Examples
    --------
    >>> from neuroai.whitening.gains import symmetric_root
    >>> c = np.array([[2.0, 0.8], [0.8, 1.0]])
    >>> np.allclose(unwhitening_matrix(c), symmetric_root(c))
    True
    """
    return np.asarray(np.linalg.pinv(whitening_matrix(covariance, method, rank=rank)), dtype=np.float64)
