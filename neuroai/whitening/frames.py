r"""Synaptic frames: the fixed directions :math:`w_i` along which interneurons listen.

A frame is a matrix ``W`` of shape (n, k) whose columns have unit norm. Gains on
``k`` interneurons can whiten *any* covariance only when the outer products
:math:`w_i w_i^T` span the symmetric matrices, which needs ``k >= n (n + 1) / 2``.

References
----------
Duong, Lipshutz, Heeger, Chklovskii, Simoncelli (2023), ICML: sections 2 and 3.
"""

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, ShapeError

__all__ = [
    "axes_diagonal",
    "coherence",
    "equiangular",
    "local_frame",
    "mercedes_benz",
    "pair_frame",
    "parseval",
    "random_frame",
    "signed_pair_frame",
    "spectral",
]

Array = NDArray[np.float64]


def mercedes_benz() -> Array:
    """Three equiangular directions of the plane, at 0, 120 and 240 degrees.

    Returns
    -------
    ndarray (2, 3)
        ``W W^T = 1.5 I``; every pair of columns has inner product -1/2.

    Examples
    --------
    >>> np.allclose(mercedes_benz() @ mercedes_benz().T, 1.5 * np.eye(2))
    True
    """
    angles = 2 * np.pi / 3 * np.arange(3)
    return np.stack([np.cos(angles), np.sin(angles)])


def axes_diagonal() -> Array:
    """The two axes and the diagonal between them, in the order (0,1), (1,1)/sqrt 2, (1,0).

    Returns
    -------
    ndarray (2, 3)
    """
    h = np.sqrt(0.5)
    return np.array([[0.0, h, 1.0], [1.0, h, 0.0]])


def spectral(covariance: ArrayLike) -> Array:
    """Eigenvectors of a covariance: the frame of ``n`` interneurons that suits this one covariance best.

    Parameters
    ----------
    covariance : array (n, n)
        Symmetric.

    Returns
    -------
    ndarray (n, n)
        Columns in ascending order of eigenvalue.
    """
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"covariance has shape {matrix.shape}; a square matrix (n, n) is needed")
    vectors: Array = np.linalg.eigh(matrix)[1]
    return vectors


def random_frame(n: int, k: int, seed: int | np.random.Generator = 0) -> Array:
    """Directions drawn uniformly from the sphere.

    Parameters
    ----------
    n, k : int
        Neurons and interneurons, both at least 1.
    seed : int or Generator

    Returns
    -------
    ndarray (n, k)

    Notes
    -----
    With exactly ``k = n (n + 1) / 2`` the gain dynamics are badly conditioned
    (median condition number 1e5 at n = 10); twice as many cure it.

    Examples
    --------
    >>> np.allclose(np.linalg.norm(random_frame(4, 20, seed=1), axis=0), 1)
    True
    """
    if n < 1 or k < 1:
        raise ConfigError(f"a frame needs n >= 1 and k >= 1; found n={n}, k={k}")
    return _unit_columns(np.random.default_rng(seed).standard_normal((n, k)))


def pair_frame(n: int) -> Array:
    """Every axis and the diagonal of every pair of axes: the smallest spanning frame with local columns.

    Returns
    -------
    ndarray (n, n (n + 1) / 2)
        First the axes, then ``(e_i + e_j) / sqrt 2`` with ``i < j``.
    """
    first, second = np.triu_indices(n, 1)
    axes = np.eye(n)
    return np.hstack([axes, (axes[:, first] + axes[:, second]) * np.sqrt(0.5)])


def signed_pair_frame(n: int) -> Array:
    """Every axis, the sum and the difference of every pair of axes.

    The condition number of the squared Gram matrix on its range is exactly
    ``n`` (the pair frame's is 240 at n = 20), so this is the default frame.

    Returns
    -------
    ndarray (n, n ** 2)
    """
    first, second = np.triu_indices(n, 1)
    axes = np.eye(n)
    sums, differences = axes[:, first] + axes[:, second], axes[:, first] - axes[:, second]
    return np.hstack([axes, sums * np.sqrt(0.5), differences * np.sqrt(0.5)])


def equiangular(n: int, *, n_steps: int = 500, seed: int = 0) -> Array:
    r"""``n (n + 1) / 2`` directions as far apart from each other as possible.

    Exact for n = 2 (Mercedes-Benz) and n = 3 (axes of the icosahedron, inner
    products :math:`\pm 1/\sqrt 5`). Such frames do not exist for most other n: there
    the largest inner product is made small by alternating between clipping the
    Gram matrix at its Welch bound and projecting it back to a tight frame (Tropp et al. 2005).

    Returns
    -------
    ndarray (n, n (n + 1) / 2)

    Notes
    -----
    Time ``O(n_steps k^3)`` with ``k = n (n + 1) / 2`` for n above 3.
    """
    if n == 2:
        return mercedes_benz()
    if n == 3:
        return _icosahedron()
    k = n * (n + 1) // 2
    frame = random_frame(n, k, seed)
    best, lowest = frame, coherence(frame)
    welch = np.sqrt((k - n) / (n * (k - 1)))
    for _ in range(n_steps):
        gram = np.clip(frame.T @ frame, -welch, welch)
        np.fill_diagonal(gram, 1.0)
        # Equal weights, not the eigenvalues': the closest tight frame. It reaches the Welch bound at n = 7.
        vectors = scipy.linalg.eigh(gram, subset_by_index=(k - n, k - 1))[1]
        frame = _unit_columns(vectors.T)
        if (found := coherence(frame)) < lowest:
            best, lowest = frame, found
    return best


def _icosahedron() -> Array:
    s = np.sqrt(5.0)
    near, far = np.sqrt((5 + s) / 10), np.sqrt((5 - s) / 10)
    rows = [
        (1, 0, 0),
        (1 / s, 2 / s, 0),
        (1 / s, (5 - s) / 10, near),
        (1 / s, (5 - s) / 10, -near),
        (1 / s, (-5 - s) / 10, far),
        (1 / s, (-5 - s) / 10, -far),
    ]
    return np.array(rows).T


def local_frame(shape: tuple[int, ...], window: tuple[int, ...]) -> scipy.sparse.csc_array:
    r"""Frame of local (convolutional) whitening: every pixel, and every pair of pixels within a window.

    Columns are :math:`e_i`, and :math:`(e_i + e_j)/\sqrt 2` for each unordered pair whose
    coordinates differ by less than ``window`` along every axis.

    Parameters
    ----------
    shape : tuple of int
        Grid of the neurons, for example (rows, columns).
    window : tuple of int
        One length for each axis, at least 1.

    Returns
    -------
    csc_array (n, k), at most two non-zeros a column
        For an (n, m) grid and (h, w) window ``k = nm + (S_h S_w - nm) / 2`` with
        ``S_h = sum_{|d| < h} (n - |d|)``.

    Notes
    -----
    Memory ``O(k)``: 64 x 64 pixels with a 5 x 5 window hold k = 156,616 columns in 5 MB,
    where the dense matrix would take 5 GB.

    Examples
    --------
    >>> local_frame((12, 12), (4, 4)).shape
    (144, 2664)
    """
    if len(shape) != len(window) or min(shape) < 1 or min(window) < 1:
        raise ConfigError(f"shape {shape} and window {window} must have one positive length for each axis")
    n = int(np.prod(shape))
    index = np.arange(n).reshape(shape)
    firsts, seconds = [], []
    for offset in _half_space_offsets(window):
        here = tuple(slice(max(0, -d), size - max(0, d)) for d, size in zip(offset, shape, strict=True))
        there = tuple(slice(max(0, d), size - max(0, -d)) for d, size in zip(offset, shape, strict=True))
        firsts.append(index[here].ravel())
        seconds.append(index[there].ravel())
    first = np.concatenate([np.empty(0, np.int64), *firsts])
    second = np.concatenate([np.empty(0, np.int64), *seconds])
    pairs = np.arange(first.size)
    rows = np.concatenate([np.arange(n), first, second])
    columns = np.concatenate([np.arange(n), n + pairs, n + pairs])
    values = np.concatenate([np.ones(n), np.full(2 * first.size, np.sqrt(0.5))])
    return scipy.sparse.csc_array((values, (rows, columns)), shape=(n, n + first.size))


def _half_space_offsets(window: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Offsets within the window, one of each pair (d, -d), zero left out."""
    grid = np.stack(np.meshgrid(*[np.arange(1 - w, w) for w in window], indexing="ij"), -1)
    offsets = [tuple(int(d) for d in row) for row in grid.reshape(-1, len(window))]
    return [offset for offset in offsets if offset > (0,) * len(window)]


def parseval(frame: ArrayLike) -> Array:
    """Make a frame tight with ``W W^T = I``: ``(W W^T)^{-1/2} W``."""
    w = np.asarray(frame, dtype=np.float64)
    values, vectors = np.linalg.eigh(w @ w.T)
    if values[0] <= values[-1] * np.finfo(np.float64).eps * max(w.shape):
        raise ConfigError(f"a frame of shape {w.shape} must span its space to be made tight")
    tight: Array = (vectors / np.sqrt(values)) @ (vectors.T @ w)
    return tight


def coherence(frame: ArrayLike) -> float:
    """Largest absolute inner product between two columns, in [0, 1]."""
    w = _unit_columns(np.asarray(frame, dtype=np.float64))
    gram = np.abs(w.T @ w)
    np.fill_diagonal(gram, 0.0)
    return float(gram.max())


def _unit_columns(frame: Array) -> Array:
    norms = np.linalg.norm(frame, axis=0)
    if (norms == 0).any():
        raise ConfigError(
            f"column {int(np.argmin(norms))} of the frame is zero: every column needs a direction"
        )
    unit: Array = frame / norms
    return unit
