"""Lagged counts around chosen bins: the input that every baseline shares, made when asked for."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError

__all__ = ["CountWindows"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CountWindows:
    """For each chosen bin ``t`` the counts of bins ``t + first`` to ``t + last``, both included.

    Parameters
    ----------
    counts : array (n_bins, n_units)
        Spike counts.
    bins : int array (n_windows,)
        The chosen bins.
    first, last : int
        Window relative to the bin: (-5, -1) is the past alone, (-2, 2) is symmetric.
    runs : array (n_bins,), optional
        Run of each bin; counts of other runs, and outside the recording, are taken as 0.

    Raises
    ------
    ShapeError, DataError
        If shapes do not fit, or the window is empty.

    Examples
    --------
    >>> windows = CountWindows(np.arange(5)[:, None], np.array([0, 3]), -2, 0)
    >>> windows.shape, windows[:].squeeze(-1).tolist()
    ((2, 3, 1), [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    """

    counts: NDArray[np.generic]
    bins: NDArray[np.int64]
    first: int
    last: int
    runs: NDArray[np.generic] | None = None

    def __post_init__(self) -> None:
        if self.counts.ndim != 2 or self.bins.ndim != 1:
            raise ShapeError(
                f"counts {self.counts.shape} and bins {self.bins.shape}: expected (n_bins, n_units) and "
                "(n_windows,)"
            )
        if self.runs is not None and self.runs.shape != self.counts.shape[:1]:
            raise ShapeError(f"runs have shape {self.runs.shape}; one label a bin: ({len(self.counts)},)")
        if self.first > self.last:
            raise DataError(f"the window from {self.first} to {self.last} holds no bin")
        if self.bins.size and not (self.bins.min() >= 0 and self.bins.max() < len(self.counts)):
            raise DataError(f"bins go from {self.bins.min()} to {self.bins.max()} of {len(self.counts)}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Windows, lags, units."""
        return len(self.bins), self.last - self.first + 1, self.counts.shape[1]

    def __len__(self) -> int:
        return len(self.bins)

    def at(self, bins: ArrayLike) -> "CountWindows":
        """The same windows around other bins."""
        return replace(self, bins=np.asarray(bins, dtype=np.int64))

    def __getitem__(self, index: "slice | ArrayLike") -> Array:
        """Windows (n, n_lags, n_units), float64."""
        chosen = self.bins[index if isinstance(index, slice) else np.asarray(index)]
        around = chosen[:, None] + np.arange(self.first, self.last + 1)
        inside = (around >= 0) & (around < len(self.counts))
        around = np.clip(around, 0, len(self.counts) - 1)
        if self.runs is not None:
            inside &= self.runs[around] == self.runs[chosen][:, None]
        windows: Array = self.counts[around].astype(np.float64)
        windows[~inside] = 0.0
        return windows

    def scaling(self) -> tuple[Array, Array]:
        """Mean and standard deviation of the square-root counts of each unit over the chosen bins."""
        roots = np.sqrt(self.counts[self.bins].astype(np.float64))
        sd = roots.std(axis=0)
        return roots.mean(axis=0), np.where(sd > 0, sd, 1.0)
