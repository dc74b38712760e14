"""Stimulus and history columns of a GLM, made in blocks of bins: memory is bounded whatever the recording."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuroai.glm.basis import spike_history

__all__ = ["Design"]

Array = NDArray[np.float64]

_BLOCK = 2**26


@dataclass(frozen=True)
class Design:
    """Columns that all units share: features of the stimulus, then filtered past counts of every unit.

    Parameters
    ----------
    features : ndarray (n_bins, n_features)
        May have no column.
    counts : ndarray (n_bins, n_units)
        Whose past is used.
    basis : ndarray (n_lags, n_functions)
        No row for a GLM without history.
    runs : ndarray (n_bins,), optional
        History does not cross from one run to the next.
    memory : int
        Bytes that a block of bins may take; the whole is kept when it fits.

    Examples
    --------
    >>> design = Design(np.ones((4, 1)), np.eye(4, 2), np.ones((1, 1)))
    >>> design.shape
    (4, 3)
    >>> np.concatenate([block for _, block in design]).tolist()[1]
    [1.0, 1.0, 0.0]
    """

    features: Array
    counts: Array
    basis: Array
    runs: NDArray[np.generic] | None = None
    memory: int = 2**30
    _kept: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Bins and columns."""
        history = self.counts.shape[1] * self.basis.shape[1] if len(self.basis) else 0
        return len(self.features), self.features.shape[1] + history

    def __iter__(self) -> Iterator[tuple[slice, Array]]:
        """Yield bins and their rows, block by block."""
        n_bins, n_columns = self.shape
        if "all" not in self._kept and 8 * n_bins * n_columns <= self.memory:
            self._kept["all"] = self.rows(0, n_bins)
        height = max(1, min(self.memory, _BLOCK) // (8 * max(n_columns, 1)))
        for start in range(0, n_bins, height):
            stop = min(start + height, n_bins)
            kept = self._kept.get("all")
            yield slice(start, stop), self.rows(start, stop) if kept is None else kept[start:stop]

    def rows(self, start: int, stop: int) -> Array:
        """Columns of some bins, (stop - start, n_columns)."""
        if not len(self.basis):
            return np.ascontiguousarray(self.features[start:stop])
        history = spike_history(self.counts, self.basis, runs=self.runs, start=start, stop=stop)
        return np.concatenate([self.features[start:stop], history.reshape(stop - start, -1)], axis=1)

    def moments(self, weights: Array) -> tuple[Array, Array]:
        """Weighted mean and standard deviation of every column; 1 instead of 0 for a constant one."""
        total = weights.sum()
        mean = sum((weights[bins] @ block for bins, block in self), np.zeros(self.shape[1])) / total
        square = np.zeros(self.shape[1])
        for bins, block in self:
            square += weights[bins] @ (block - mean) ** 2
        sd = np.sqrt(square / total)
        # What rounding leaves of a constant column is no variance.
        return mean, np.where(sd > 1e-10 * (np.abs(mean) + sd), sd, 1.0)

    def drive(self, weights: Array, intercepts: Array) -> Array:
        """Linear drive (n_bins, n_units) of weights (n_units, n_columns) and intercepts (n_units,)."""
        out = np.empty((self.shape[0], len(weights)))
        for bins, block in self:
            out[bins] = block @ weights.T
        out += intercepts
        return out

    def project(self, slopes: Array) -> Array:
        """``slopes' @ design``: (n_units, n_columns) of slopes (n_bins, n_units)."""
        out = np.zeros((slopes.shape[1], self.shape[1]))
        for bins, block in self:
            out += slopes[bins].T @ block
        return out
