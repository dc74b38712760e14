"""Draw spike trains from a fitted GLM: every drawn spike becomes history of the bins after it."""

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ShapeError
from neuroai.glm.links import Link, rate_of

__all__ = ["simulate_counts"]

Array = NDArray[np.float64]


def simulate_counts(
    stimulus_drive: Array,
    history: Array,
    basis: Array,
    *,
    link: Link,
    rng: np.random.Generator,
    n_samples: int = 1,
    past: Array | None = None,
    most: float = 1000.0,
) -> NDArray[np.int64]:
    """Closed-loop simulation.

    Parameters
    ----------
    stimulus_drive : ndarray (n_bins, n_units)
        Drive without history.
    history : ndarray (n_units, n_units, n_functions)
        Weights from source ``j`` to target ``i``, ``history[i, j]``.
    basis : ndarray (n_lags, n_functions)
    link : {"exp", "softplus", "sigmoid"}
    rng : numpy Generator
    n_samples : int
        Independent draws, advanced together.
    past : ndarray (n_lags, n_units), optional
        Counts before the first bin, oldest first; default none.
    most : float
        Expected counts are cut here, so that a network that excites itself without end stays finite.

    Returns
    -------
    ndarray of int64 (n_samples, n_bins, n_units)

    Notes
    -----
    O(n_bins * n_samples * n_units * (n_lags + n_units) * n_functions) time.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> drive, silent = np.zeros((50, 2)), np.zeros((2, 2, 1))
    >>> simulate_counts(drive, silent, np.ones((1, 1)), link="exp", rng=rng, n_samples=3).shape
    (3, 50, 2)
    """
    n_bins, n_units = stimulus_drive.shape
    n_lags = len(basis)
    recent = np.zeros((n_lags, n_samples, n_units))  # newest first
    if past is not None:
        if past.shape != (n_lags, n_units):
            raise ShapeError(
                f"past has shape {past.shape}; the last {n_lags} bins of {n_units} units are needed"
            )
        recent[:] = past[::-1, None, :]
    mixing = history.transpose(1, 2, 0).reshape(-1, n_units)  # (source, function) to target
    counts = np.empty((n_samples, n_bins, n_units), dtype=np.int64)
    for t in range(n_bins):
        filtered = np.einsum("ksj,kb->sjb", recent, basis).reshape(n_samples, -1)
        rate = np.minimum(rate_of(stimulus_drive[t] + filtered @ mixing, link), most)
        counts[:, t] = rng.poisson(rate)
        if n_lags:
            recent = np.concatenate([counts[None, :, t], recent[:-1]])
    return counts
