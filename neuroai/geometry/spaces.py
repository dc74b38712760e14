r"""Tools for points known by their distances alone, such as networks under a shape metric.

References
----------
Torgerson (1952): classical scaling; de Leeuw (1977): majorisation of the stress; Gower (1975): generalised
Procrustes analysis.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.geometry.orthogonal import polar

__all__ = ["Embedding", "classify_by_neighbours", "frechet_mean", "mds"]

Array = NDArray[np.float64]


class Embedding(NamedTuple):
    """Points (k, dims) in a plane or space, and the normalised stress that is left, in [0, 1]."""

    points: Array
    stress: float


def mds(distances: ArrayLike, dims: int = 2, *, max_steps: int = 500, tolerance: float = 1e-9) -> Embedding:
    r"""Place points so that their Euclidean distances resemble given ones.

    Classical scaling, then majorisation (SMACOF) of
    :math:`\sum_{i<j} (d_{ij} - \|p_i - p_j\|)^2 / \sum_{i<j} d_{ij}^2`, which never rises.

    Parameters
    ----------
    distances : array (k, k)
        Symmetric, at least 0.
    dims : int
    max_steps : int
    tolerance : float
        Stop when the stress falls by less.

    Returns
    -------
    Embedding
        Centred; axes ordered by the variance they carry.

    Examples
    --------
    >>> points = np.random.default_rng(0).standard_normal((8, 2))
    >>> far = np.linalg.norm(points[:, None] - points, axis=-1)
    >>> bool(mds(far).stress < 1e-12)
    True
    """
    target = _checked(distances)
    k = len(target)
    if not 1 <= dims < k:
        raise ConfigError(f"{k} points cannot be placed in {dims} dimensions: 1 to {k - 1} are possible")
    squared = target**2
    rows = squared.mean(axis=0)
    values, vectors = np.linalg.eigh(-0.5 * (squared - rows - rows[:, None] + rows.mean()))
    points = vectors[:, ::-1][:, :dims] * np.sqrt(np.maximum(values[::-1][:dims], 0))
    total = squared.sum()
    if total == 0:
        return Embedding(np.zeros((k, dims)), 0.0)
    before = np.inf
    for _ in range(max_steps):
        reached = np.linalg.norm(points[:, None] - points, axis=-1)
        stress = float(((target - reached) ** 2).sum() / total)
        if before - stress <= tolerance:
            break
        before = stress
        pull = np.divide(target, reached, out=np.zeros_like(target), where=reached > 0)
        points = (pull.sum(axis=1)[:, None] * points - pull @ points) / k
    points = points - points.mean(axis=0)
    _, _, vt = np.linalg.svd(points, full_matrices=False)
    return Embedding(points @ vt.T, min(before, stress))


def classify_by_neighbours(distances: ArrayLike, labels: Sequence[object], k: int = 5) -> list[object]:
    """Label of each point by vote of its ``k`` nearest others (leave one out); ties go to the nearest.

    Parameters
    ----------
    distances : array (n, n)
    labels : sequence (n,)
    k : int

    Returns
    -------
    list (n,)

    Examples
    --------
    >>> far = np.abs(np.subtract.outer([0, 1, 9, 10], [0, 1, 9, 10]))
    >>> classify_by_neighbours(far, ["a", "a", "b", "b"], k=1)
    ['a', 'a', 'b', 'b']
    """
    target = _checked(distances)
    if len(labels) != len(target) or not 1 <= k < len(target):
        raise ConfigError(f"{len(labels)} labels and k={k} do not fit {len(target)} points")
    chosen = []
    for index, row in enumerate(target):
        others = np.argsort(np.where(np.arange(len(row)) == index, np.inf, row), kind="stable")[:k]
        votes = [labels[other] for other in others.tolist()]
        chosen.append(max(votes, key=lambda label: (votes.count(label), -votes.index(label))))
    return chosen


def frechet_mean(
    shapes: Sequence[ArrayLike], *, max_steps: int = 500, tolerance: float = 1e-10
) -> tuple[Array, list[Array]]:
    r"""Representation with the least mean squared Procrustes distance from several.

    Parameters
    ----------
    shapes : sequence of arrays (m, n)
        Of the same conditions and width; centred here.
    max_steps : int
    tolerance : float
        Relative decrease of the mean squared distance at which to stop.

    Returns
    -------
    mean : ndarray (m, n)
    rotations : list of ndarray (n, n)
        ``shapes[i] @ rotations[i]`` lies over the mean.

    Notes
    -----
    Alternates best rotations and averages (a local minimum, started from the first shape): ``O(k m n^2 + k
    n^3)`` a step.
    """
    data = [np.asarray(shape, dtype=np.float64) for shape in shapes]
    if not data or any(one.ndim != 2 or one.shape != data[0].shape for one in data):
        raise ShapeError(f"shapes {[one.shape for one in data]}: equal (m, n) are needed; pad with zeros")
    data = [one - one.mean(axis=0) for one in data]
    mean, before = data[0], np.inf
    for _ in range(max_steps):
        rotations = [polar(one.T @ mean) for one in data]
        turned = [one @ rotation for one, rotation in zip(data, rotations, strict=True)]
        mean = np.mean(turned, axis=0)
        spread = float(np.mean([((one - mean) ** 2).sum() for one in turned]))
        if before - spread <= tolerance * spread:
            break
        before = spread
    return mean, rotations


def _checked(distances: ArrayLike) -> Array:
    target = np.asarray(distances, dtype=np.float64)
    if target.ndim != 2 or target.shape[0] != target.shape[1] or not np.allclose(target, target.T):
        raise ShapeError(f"distances have shape {target.shape}: a symmetric (k, k) matrix is needed")
    if not np.isfinite(target).all() or (target < 0).any():
        raise DataError("distances must be finite and at least 0")
    return target
