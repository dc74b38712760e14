"""Bases of spike-history filters: a few smooth functions of the lag instead of one weight a lag."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ConfigError, DataError, ShapeError

__all__ = ["exponential_basis", "lag_basis", "raised_cosine_basis", "spike_history"]

Array = NDArray[np.float64]


def raised_cosine_basis(n_functions: int, n_lags: int, *, stretch: float = 1.0) -> Array:
    r"""Bumps that are narrow at short and wide at long lags.

    .. math:: \phi_j(k) = \tfrac12 + \tfrac12 \cos\big(\mathrm{clip}(
              \tfrac{\pi}{2 \Delta} (\log(k + c) - m_j), -\pi, \pi)\big)

    with centres ``m_j`` spaced evenly by ``Delta`` on the logarithmic axis from the first to the last lag.

    Parameters
    ----------
    n_functions : int
        Functions, 1 or more.
    n_lags : int
        Bins of history, at least as many as functions.
    stretch : float
        ``c``, in bins, at least 0: the larger, the more evenly the functions are spaced.

    Returns
    -------
    ndarray (n_lags, n_functions)
        Row ``k`` is lag ``k + 1``; every function sums to 1.

    Notes
    -----
    Source: Pillow et al. (2008), Nature 454:995. Functions sum to 1 here so that a weight is a function's
    whole effect, whatever its width.

    Examples
    --------
    >>> basis = raised_cosine_basis(3, 20)
    >>> basis.shape, basis.sum(axis=0).round(9).tolist(), basis.argmax(axis=0).tolist()
    ((20, 3), [1.0, 1.0, 1.0], [0, 4, 19])
    """
    if not 1 <= n_functions <= n_lags or stretch < 0:
        raise ConfigError(
            f"{n_functions} functions over {n_lags} lags, stretch {stretch}: expected "
            "1 <= functions <= lags, stretch >= 0"
        )
    place = np.log(np.arange(1, n_lags + 1) + stretch)
    centres = np.linspace(place[0], place[-1], n_functions)
    spacing = centres[1] - centres[0] if n_functions > 1 else max(place[-1] - place[0], 1.0)
    phase = np.clip((place[:, None] - centres) * np.pi / (2 * spacing), -np.pi, np.pi)
    bumps = 0.5 + 0.5 * np.cos(phase)
    basis: Array = bumps / bumps.sum(axis=0)
    return basis


def exponential_basis(n_lags: int, decay: float = 1.0) -> Array:
    """One function that falls by ``exp(-decay)`` a lag and sums to 1, shape (n_lags, 1).

    Examples
    --------
    >>> exponential_basis(5).ravel().round(8).tolist()
    [0.63640865, 0.23412166, 0.08612854, 0.03168492, 0.01165623]
    """
    if n_lags < 1 or decay < 0:
        raise ConfigError(f"{n_lags} lags, decay {decay}: expected at least 1 lag and a decay of 0 or more")
    weights = np.exp(-decay * np.arange(1, n_lags + 1))
    basis: Array = (weights / weights.sum())[:, None]
    return basis


def lag_basis(n_lags: int) -> Array:
    """One function a lag: the filter is free, shape (n_lags, n_lags).

    Examples
    --------
    >>> lag_basis(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if n_lags < 1:
        raise ConfigError(f"{n_lags} lags: expected at least 1")
    return np.eye(n_lags)


def spike_history(
    counts: ArrayLike,
    basis: ArrayLike,
    *,
    runs: ArrayLike | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Array:
    r"""Past counts filtered by every function of a basis; strictly causal.

    .. math:: h_{tjb} = \sum_{k=1}^{K} \phi_b(k)\, y_{t-k,j}

    Parameters
    ----------
    counts : array-like (n_bins, n_units)
        Spike counts.
    basis : array-like (n_lags, n_functions)
        Row ``k`` is lag ``k + 1``.
    runs : array-like (n_bins,), optional
        Run (trial) of each bin, bins of a run being consecutive: nothing crosses from one to the next.
    start, stop : int, optional
        Only these bins are computed; their history reaches before ``start``.

    Returns
    -------
    ndarray (stop - start, n_units, n_functions)
        Zero history before the first bin of a run.

    Notes
    -----
    O(bins * lags * units * functions) time; memory of the result, no more.

    Examples
    --------
    >>> spike_history([[1.0], [0.0], [2.0]], lag_basis(2))[:, 0].tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    y, phi = np.asarray(counts), np.asarray(basis, dtype=np.float64)
    if y.ndim != 2 or phi.ndim != 2:
        raise ShapeError(
            f"counts {y.shape} and basis {phi.shape}: expected (n_bins, n_units), (n_lags, n_functions)"
        )
    stop = len(y) if stop is None else stop
    age = bins_since_start(runs, len(y))[start:stop]
    out = np.zeros((stop - start, y.shape[1], phi.shape[1]))
    for lag in range(1, min(len(phi), stop - 1) + 1):
        first = max(start, lag)
        past = y[first - lag : stop - lag] * (age[first - start :] >= lag)[:, None]
        for function in np.flatnonzero(phi[lag - 1]):
            out[first - start :, :, function] += phi[lag - 1, function] * past
    return out


def bins_since_start(runs: ArrayLike | None, n_bins: int) -> NDArray[np.int64]:
    """Bins before each one in its own run.

    Examples
    --------
    >>> bins_since_start([4, 4, 7], 3).tolist()
    [0, 1, 0]
    """
    number = np.arange(n_bins)
    if runs is None:
        return number
    labels = np.asarray(runs)
    if labels.shape != (n_bins,):
        raise ShapeError(f"runs have shape {labels.shape}; one label a bin is needed: ({n_bins},)")
    opens = np.concatenate([[True], labels[1:] != labels[:-1]]) if n_bins else np.zeros(0, np.bool_)
    if len(np.unique(labels)) != int(opens.sum()):
        raise DataError("a run's bins are not consecutive: sort the bins by run")
    return number - np.maximum.accumulate(np.where(opens, number, 0))
