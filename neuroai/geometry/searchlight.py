r"""Crossnobis dissimilarities in a sphere around every voxel, in bounded memory.

With the noise of each voxel alone (diagonal precision) a sphere's dissimilarities are the mean of its
voxels': these are computed once, and averaged over all spheres by one sparse product. With the full
covariance of a sphere's noise, shrunk to its diagonal, each sphere has its own small linear system.

References
----------
Kriegeskorte, Goebel, Bandettini (2006); Walther et al. (2016); Ledoit, Wolf (2004) for the shrinkage.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, MemoryBudgetError, ShapeError
from neuroai.geometry.neighbourhoods import Sphere

__all__ = ["SearchlightPlan", "plan_searchlight", "searchlight"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
Noise = Literal["identity", "diagonal", "shrunk"]
Progress = Callable[[str, int, int], None]

_UNITS = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True)
class SearchlightPlan:
    """What a searchlight will take.

    Parameters
    ----------
    centres, pairs : int
        Shape of the result.
    neighbours : float
        Mean number of voxels in a sphere.
    block : int
        Centres taken at a time by one thread.
    threads : int
    peak_bytes : int
        Data, result and work space together.
    seconds : float
        Estimated from a timed sample of centres on this machine.
    """

    centres: int
    pairs: int
    neighbours: float
    block: int
    threads: int
    peak_bytes: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.centres} centres x {self.pairs} pairs, {self.neighbours:.0f} voxels a sphere, "
            f"{self.threads} threads x {self.block} centres, peak {self.peak_bytes / 2**30:.2f} GiB, "
            f"about {self.seconds:.0f} s"
        )


def searchlight(
    patterns: ArrayLike,
    mask: ArrayLike,
    *,
    radius: float,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    noise: Noise = "identity",
    residuals: ArrayLike | None = None,
    memory: int | str = "4GiB",
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    r"""Crossnobis dissimilarities around every voxel of a mask.

    Parameters
    ----------
    patterns : array (r, m, v)
        Patterns of ``r`` independent runs (at least 2), ``m`` conditions and the ``v`` voxels of the mask, in
        the order of ``np.flatnonzero(mask)``.
    mask : bool array (x, y, z)
    radius : float
        Of the spheres, in the units of ``voxel_size``; spheres are cut off at the border of the mask.
    voxel_size : three floats
        Millimetres, for a radius in millimetres.
    noise : {"identity", "diagonal", "shrunk"}
        Noise precision: none, each voxel's inverse variance, or the inverse of each sphere's covariance
        shrunk to its diagonal.
    residuals : array (t, v), optional
        Residuals of the model that gave the patterns, for "diagonal" and "shrunk".
    memory : int or str
        Budget for everything together, data included, such as "4GiB".
    n_jobs : int
        Threads; -1 for one a core.
    progress : callable, optional
        Called as ``progress("searchlight", centres_done, centres)``.

    Returns
    -------
    ndarray (v, m (m - 1) / 2), float32
        A row a centre; may be negative. `neuroai.geometry.neighbourhoods.as_volume` makes maps of it.

    Raises
    ------
    MemoryBudgetError
        If data and result alone do not fit.
    ShapeError, DataError, ConfigError
        If arrays do not fit each other or hold NaN, or a voxel's residuals do not vary.

    Notes
    -----
    "identity" and "diagonal": ``O(r m^2 v + p k v)`` for ``k`` voxels a sphere and ``p`` pairs. "shrunk":
    ``O(v (t k^2 + k^3))``. See `plan_searchlight` for both costs before they are paid.

    Examples
    --------
    >>> patterns = np.random.default_rng(0).standard_normal((2, 3, 27))
    >>> searchlight(patterns, np.ones((3, 3, 3), dtype=bool), radius=1).shape
    (27, 3)
    """
    job = _Job(patterns, mask, radius, voxel_size, noise, residuals, memory, n_jobs)
    result = np.empty((job.centres, job.pairs), dtype=np.float32)
    done = 0
    for part, values in job.run():
        result[part] = values
        done += part.stop - part.start
        if progress is not None:
            progress("searchlight", done, job.centres)
    return result


def plan_searchlight(
    patterns: ArrayLike,
    mask: ArrayLike,
    *,
    radius: float,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    noise: Noise = "identity",
    residuals: ArrayLike | None = None,
    memory: int | str = "4GiB",
    n_jobs: int = 1,
) -> SearchlightPlan:
    """Say what `searchlight` would take with the same arguments; times a sample of about 200 centres."""
    job = _Job(patterns, mask, radius, voxel_size, noise, residuals, memory, n_jobs)
    # The middle of the mask has full spheres, so the estimate errs upwards.
    first = max(0, job.centres // 2 - 100)
    sample = slice(first, min(job.centres, first + 200))
    start = time.perf_counter()
    job.block_of(sample)
    rate = (time.perf_counter() - start) / (sample.stop - sample.start)
    return SearchlightPlan(
        centres=job.centres,
        pairs=job.pairs,
        neighbours=job.sphere.mean_size(),
        block=job.block,
        threads=job.threads,
        peak_bytes=job.peak_bytes,
        seconds=rate * job.centres / job.threads,
    )


class _Job:
    """Checked input, and how it is cut into blocks of centres."""

    def __init__(
        self,
        patterns: ArrayLike,
        mask: ArrayLike,
        radius: float,
        voxel_size: Sequence[float],
        noise: Noise,
        residuals: ArrayLike | None,
        memory: int | str,
        n_jobs: int,
    ) -> None:
        self.sphere = Sphere(mask, radius, voxel_size)
        self.patterns = _checked_patterns(patterns, self.sphere.centres)
        self.runs, conditions, self.centres = self.patterns.shape
        self.first, self.second = np.triu_indices(conditions, 1)
        self.pairs = len(self.first)
        self.residuals = _checked_residuals(residuals, noise, self.centres)
        self.noise = noise
        self.precision = _inverse_variance(self.residuals) if noise == "diagonal" else None
        self.threads = n_jobs if n_jobs > 0 else (os.cpu_count() or 1)
        self.block, self.peak_bytes = self._cut(_bytes(memory))

    def run(self) -> Iterator[tuple[slice, Floats]]:
        """Blocks of centres with their dissimilarities, in order."""
        parts = [
            slice(first, min(first + self.block, self.centres))
            for first in range(0, self.centres, self.block)
        ]
        with ThreadPoolExecutor(self.threads) as pool:
            yield from zip(parts, pool.map(self.block_of, parts), strict=True)

    def block_of(self, part: slice) -> Floats:
        """Dissimilarities (centres, pairs) of a block of centres."""
        starts, voxels = self.sphere.members(part)
        if self.noise != "shrunk":
            return self._averaged(starts, voxels)
        values = np.empty((len(starts) - 1, self.pairs))
        for row in range(len(values)):
            values[row] = self._whitened(voxels[starts[row] : starts[row + 1]])
        return values

    def _averaged(self, starts: NDArray[np.int64], voxels: NDArray[np.int64]) -> Floats:
        """Means over spheres of the dissimilarities of single voxels, of the voxels that occur only."""
        used, columns = np.unique(voxels, return_inverse=True)
        data = self.patterns[:, :, used].astype(np.float64)
        change = data[:, self.first] - data[:, self.second]
        each = change.sum(axis=0) ** 2 - (change**2).sum(axis=0)
        if self.precision is not None:
            each *= self.precision[used]
        sizes = np.diff(starts)
        weights = np.repeat(1 / (sizes * self.runs * (self.runs - 1)), sizes)
        mean = scipy.sparse.csr_array((weights, columns, starts), shape=(len(sizes), len(used)))
        averaged: Floats = mean @ each.T
        return averaged

    def _whitened(self, voxels: NDArray[np.int64]) -> Array:
        """Dissimilarities of one sphere with its own shrunk covariance."""
        assert self.residuals is not None  # checked for this kind of noise
        factor = _shrunk_factor(self.residuals[:, voxels].astype(np.float64))
        data = self.patterns[:, :, voxels].astype(np.float64)
        change = (data[:, self.first] - data[:, self.second]).reshape(-1, len(voxels))
        white = scipy.linalg.solve_triangular(factor, change.T, lower=True, check_finite=False)
        white = white.reshape(len(voxels), self.runs, self.pairs)
        products = (white.sum(axis=1) ** 2).sum(axis=0) - (white**2).sum(axis=(0, 1))
        found: Array = products / (len(voxels) * self.runs * (self.runs - 1))
        return found

    def _cut(self, budget: int) -> tuple[int, int]:
        fixed = self.patterns.nbytes + self.centres * self.pairs * 4 + self.sphere.nbytes
        fixed += 0 if self.residuals is None else self.residuals.nbytes + 8 * self.centres
        k = self.sphere.largest
        # Members and weights of each sphere; at most as many voxels as members, in double precision.
        each = (
            k * (8 + 8 + 8 + 8) + self.pairs * 8 * (2 * self.runs + 3) + self.runs * 8 * len(self.patterns[0])
        )
        own = 0
        if self.residuals is not None and self.noise == "shrunk":
            each, own = k * 24 + self.pairs * 8, 8 * (3 * len(self.residuals) * k + 4 * k * k)
        free = budget - fixed - self.threads * own
        block = min(free // (2 * self.threads * each), 4096, self.centres)
        if block < 1:
            needed = fixed + self.threads * (own + 2 * each)
            raise MemoryBudgetError(
                f"{budget / 2**30:.2f} GiB are too few: data, result and {self.threads} threads need "
                f"{needed / 2**30:.2f} GiB; give more memory or fewer threads"
            )
        return int(block), int(fixed + self.threads * (own + 2 * block * each))


def _shrunk_factor(residuals: Array) -> Array:
    """Cholesky factor of the covariance shrunk to its diagonal by the Ledoit-Wolf intensity."""
    t, k = residuals.shape
    centred = residuals - residuals.mean(axis=0)
    scale = np.sqrt((centred**2).mean(axis=0))
    unit = centred / scale
    correlation = unit.T @ unit / t
    # Variance of the estimated correlations against their size, off the diagonal (Schäfer, Strimmer 2005).
    off = (correlation**2).sum() - k
    powers = unit**2
    variance = ((powers.T @ powers).sum() - (powers**2).sum()) / t - off
    shrink = 1.0 if off <= 0 else min(1.0, max(0.0, variance / (t * off)))
    correlation *= 1 - shrink
    correlation[np.diag_indices(k)] = 1.0 + 1e-10
    factor: Array = np.linalg.cholesky(correlation * (scale[:, None] * scale))
    return factor


def _checked_patterns(patterns: ArrayLike, centres: int) -> Floats:
    data = np.asarray(patterns)
    data = data if data.dtype in (np.float32, np.float64) else data.astype(np.float64)
    if data.ndim != 3 or data.shape[0] < 2 or data.shape[1] < 2 or data.shape[2] != centres:
        raise ShapeError(
            f"patterns have shape {data.shape}; (runs, conditions, {centres} voxels of the mask) with at "
            "least 2 runs and 2 conditions is needed"
        )
    _finite(data, "patterns")
    return data


def _checked_residuals(residuals: ArrayLike | None, noise: str, centres: int) -> Floats | None:
    if noise not in ("identity", "diagonal", "shrunk"):
        raise ConfigError(f"unknown noise {noise!r}: choose 'identity', 'diagonal' or 'shrunk'")
    if (residuals is not None) != (noise != "identity"):
        raise ConfigError("residuals go with noise='diagonal' or 'shrunk', and are needed there")
    if residuals is None:
        return None
    data = np.asarray(residuals)
    if data.ndim != 2 or len(data) < 3 or data.shape[1] != centres:
        raise ShapeError(f"residuals have shape {data.shape}; (at least 3 times, {centres} voxels) is needed")
    _finite(data, "residuals")
    flat = data.max(axis=0) == data.min(axis=0)
    if flat.any():
        raise DataError(
            f"{int(flat.sum())} voxels have residuals that do not vary, the first is voxel "
            f"{int(np.argmax(flat))}: take them out of the mask"
        )
    return data


def _finite(data: Floats, name: str) -> None:
    for index, part in enumerate(data):
        if not np.isfinite(part).all():
            raise DataError(f"{name} hold NaN or infinite values, first in row {index}: mask those voxels")


def _inverse_variance(residuals: Floats | None) -> Array:
    assert residuals is not None  # checked for this kind of noise
    variance = np.empty(residuals.shape[1])
    for first in range(0, len(variance), 4096):
        part = slice(first, first + 4096)
        variance[part] = residuals[:, part].astype(np.float64).var(axis=0)
    return 1 / variance


def _bytes(memory: int | str) -> int:
    if isinstance(memory, int):
        return memory
    text = memory.strip().lower()
    for unit, size in _UNITS.items():
        if text.endswith(unit) and text.removesuffix(unit).strip().replace(".", "", 1).isdigit():
            return int(float(text.removesuffix(unit)) * size)
    raise ConfigError(f"memory={memory!r}: expected a number of bytes or text such as '4GiB'")
