r"""Energy distance between noisy representations, from single trials.

For random responses ``X`` and ``Y`` and an exponent ``q`` in (0, 2),

.. math:: E_q^2 = \mathbb{E}\|X - Y\|^q - \tfrac12 \mathbb{E}\|X - X'\|^q - \tfrac12 \mathbb{E}\|Y - Y'\|^q

is zero only for equal distributions. Averaged over conditions and minimised over rotations it compares whole
noise distributions, not only their first two moments. As ``q`` goes to 2 it becomes :math:`\|\mathbb{E}X -
\mathbb{E}Y\|^2`.

References
----------
Székely, Rizzo (2013); Duong, Zhou, Nassar, Berman, Olieslagers, Williams (2023), ICLR: equation 8.
"""

from collections.abc import Iterator

import numpy as np
import scipy.spatial.distance
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError
from neuroai.geometry.orthogonal import polar, random_starts
from neuroai.geometry.stochastic import Alignment

__all__ = ["align_energy", "energy_distance", "energy_shape_distance"]

Array = NDArray[np.float64]

#: Residuals of pairs below this share of the typical one are weighed as if they were this large.
_SMALLEST = 1e-6


def energy_distance(x: ArrayLike, y: ArrayLike, q: float = 1.0, *, unbiased: bool = True) -> float:
    r"""Mean squared energy distance over conditions, without alignment.

    Parameters
    ----------
    x : array (m, r_x, n)
        ``r_x`` repeats of ``m`` conditions in ``n`` neurons.
    y : array (m, r_y, n)
    q : float in (0, 2)
        Exponent; 1 is the usual one.
    unbiased : bool
        Leave out each trial's distance to itself: unbiased, and therefore sometimes negative, which is
        returned as it is. Otherwise the V-statistic, at least 0 and biased upwards.

    Returns
    -------
    float
        :math:`E_q^2`, in the units of the responses to the power ``q``.

    Raises
    ------
    ShapeError, DataError, ConfigError
        If shapes do not fit, values are not finite, one repeat is to be unbiased, or ``q`` is outside (0, 2).

    Notes
    -----
    Time ``O(m r^2 n)``; pairs of trials are taken in blocks, so memory is ``O(m r n)``, that of the data.

    Examples
    --------
    >>> x = np.array([[[0.0], [2.0]]])
    >>> energy_distance(x, x + 1), energy_distance(x, x + 1, unbiased=False)
    (-0.5, 0.5)
    """
    a, b = _checked(x, y, q)
    return float(_mean_power(a, b, q) - _own(a, q, unbiased) / 2 - _own(b, q, unbiased) / 2)


def energy_shape_distance(
    x: ArrayLike, y: ArrayLike, q: float = 1.0, *, unbiased: bool = True, n_starts: int = 20, seed: int = 0
) -> float:
    """Signed squared energy distance after the best rotation: see `energy_distance` and `align_energy`."""
    return align_energy(x, y, q, unbiased=unbiased, n_starts=n_starts, seed=seed).distance


def align_energy(
    x: ArrayLike,
    y: ArrayLike,
    q: float = 1.0,
    *,
    unbiased: bool = True,
    n_starts: int = 20,
    seed: int = 0,
    tolerance: float = 1e-12,
    max_steps: int = 1000,
) -> Alignment:
    r"""Rotate ``y`` onto ``x`` so that the energy distance is least.

    Only :math:`\sum_{kij} \|x_{ki} - y_{kj} Q\|^q` depends on the rotation. It is lowered by Procrustes
    problems in which a pair has the weight :math:`\max(\text{residual}, \epsilon)^{q - 2}`; no step raises
    it.

    Parameters
    ----------
    x, y : array (m, r_x, n), (m, r_y, n)
    q : float in (0, 2)
    unbiased : bool
    n_starts : int
        Random rotations besides the best one for the means, half of them with a reflection.
    seed : int
    tolerance : float
        Stop when a step lowers the mean residual by less than this share.
    max_steps : int

    Returns
    -------
    Alignment
        ``distance`` is the signed *squared* distance, which may be below 0 when unbiased.

    Notes
    -----
    A step costs ``O(m r^2 n + n^3)``; memory ``O(m r n + n^2)``.
    """
    a, b = _checked(x, y, q)
    starts = [
        polar(b.mean(axis=1).T @ a.mean(axis=1)),
        *random_starts(a.shape[2], n_starts, seed),
    ]
    found = [_descend(a, b, q, start, tolerance, max_steps) for start in starts]
    cross, rotation = min(found, key=lambda one: one[0])
    return Alignment(float(cross - _own(a, q, unbiased) / 2 - _own(b, q, unbiased) / 2), rotation)


def _descend(a: Array, b: Array, q: float, start: Array, tolerance: float, steps: int) -> tuple[float, Array]:
    rotation, before = start, np.inf
    smallest = _SMALLEST * np.sqrt((a**2).mean() + (b**2).mean())
    for _ in range(steps):
        cost, slope = _weighted(a, b @ rotation, b, q, smallest)
        if before - cost <= tolerance * cost:
            break
        best, before, rotation = rotation, cost, polar(slope)
    else:
        best = rotation
    return float(min(cost, before)), best


def _weighted(a: Array, turned: Array, b: Array, q: float, smallest: float) -> tuple[float, Array]:
    """Mean residual to the power q, and the weighted product whose polar factor is the next rotation."""
    slope, total = np.zeros((a.shape[2], a.shape[2])), 0.0
    for k, rows, residuals in _blocks(a, turned):
        total += float((residuals**q).sum())
        weights = np.maximum(residuals, smallest) ** (q - 2)
        slope += (weights @ b[k]).T @ a[k, rows]
    return float(total / (len(a) * a.shape[1] * b.shape[1])), slope


def _mean_power(a: Array, b: Array, q: float) -> float:
    total = 0.0
    for _, _, residuals in _blocks(a, b):
        total += float((residuals**q).sum())
    return float(total / (len(a) * a.shape[1] * b.shape[1]))


def _own(a: Array, q: float, unbiased: bool) -> float:
    repeats = a.shape[1]
    if unbiased and repeats < 2:
        raise DataError("an unbiased distance needs at least 2 repeats of each condition; found 1")
    mean = _mean_power(a, a, q)
    return float(mean * repeats / (repeats - 1)) if unbiased else mean


def _blocks(a: Array, b: Array) -> Iterator[tuple[int, slice, Array]]:
    """Distances of trials by condition, in blocks of rows that take no more than a condition does."""
    rows = max(1, a.shape[1] * a.shape[2] // b.shape[1])
    for k in range(len(a)):
        for first in range(0, a.shape[1], rows):
            part = slice(first, first + rows)
            yield k, part, scipy.spatial.distance.cdist(a[k, part], b[k])


def _checked(x: ArrayLike, y: ArrayLike, q: float) -> tuple[Array, Array]:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 3 or b.ndim != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[2]:
        raise ShapeError(
            f"responses have shapes {a.shape} and {b.shape}: (conditions, repeats, neurons) with the same "
            "conditions and numbers of neurons are needed"
        )
    if not 0 < q < 2:
        raise ConfigError(f"q={q} lies outside (0, 2), where the energy distance tells distributions apart")
    for name, data in (("first", a), ("second", b)):
        if not np.isfinite(data).all():
            where = np.argwhere(~np.isfinite(data))[0].tolist()
            raise DataError(
                f"the {name} responses are NaN or infinite at (condition, repeat, neuron) {where}"
            )
    return a, b
