"""Scores of predicted spiking: likelihoods in bits a spike, PSTHs, sets of active units.

Counts are integers (..., n_units), rates the *expected count of a bin* (not Hz) in the same shape; NaN counts
are left out. All arithmetic is float64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from neuroai.errors import DataError, ShapeError
from neuroai.neuroformer.psth import psth, psth_correlation, psth_r2, unit_correlation

__all__ = [
    "SetScores",
    "bits_per_spike",
    "co_bps",
    "fp_bps",
    "poisson_nll",
    "psth",
    "psth_correlation",
    "psth_r2",
    "rates_from_samples",
    "set_scores",
    "unit_correlation",
]

Array = NDArray[np.float64]

#: Stands for a rate of exactly zero, under which any spike would be infinitely unlikely.
SMALLEST_RATE = 1e-9


class SetScores(NamedTuple):
    """Agreement of the sets of active units, averaged over the windows that hold true spikes.

    Attributes
    ----------
    precision, recall, f1 : float
        0 to 1.
    n_windows : int
        Windows averaged over.
    """

    precision: float
    recall: float
    f1: float
    n_windows: int


def poisson_nll(counts: ArrayLike, rates: ArrayLike) -> float:
    r"""Negative log-likelihood of counts under independent Poisson bins, in nats.

    .. math:: \sum r - y \log r + \log\Gamma(y + 1)

    Parameters
    ----------
    counts : array-like
        Counts ``y``, any shape; NaN entries are left out.
    rates : array-like
        Expected counts ``r``, same shape, at least 0; 0 stands for 1e-9.

    Returns
    -------
    float

    Raises
    ------
    ShapeError
        If the shapes differ.
    DataError
        For negative counts or rates, or a rate that is not finite where there is a count.

    Notes
    -----
    O(size) time and memory. Source: Pei et al. (2021), Neural Latents Benchmark.

    Examples
    --------
    >>> y, r = [[[1, 0], [0, 2], [3, 1]]], [[[0.8, 0.3], [0.5, 1.5], [2, 1]]]
    >>> round(poisson_nll(y, r), 6)
    5.917678
    """
    y, r = _paired(counts, rates)
    seen = np.isfinite(y)
    y, r = y[seen], np.where(r[seen] == 0, SMALLEST_RATE, r[seen])
    return float((r - y * np.log(r) + gammaln(y + 1)).sum())


def bits_per_spike(counts: ArrayLike, rates: ArrayLike, *, null_rates: ArrayLike | None = None) -> float:
    r"""Log-likelihood gain over a constant rate of each unit, in bits a spike.

    .. math:: \frac{\mathrm{NLL}_\text{null} - \mathrm{NLL}_\text{model}}{n_\text{spikes} \ln 2}

    Parameters
    ----------
    counts, rates : array-like (..., n_units)
        As in :func:`poisson_nll`.
    null_rates : array-like (n_units,), optional
        Expected count a bin of the null model. Default: each unit's mean over these very counts (the
        convention of the Neural Latents Benchmark, which favours the null slightly). Means over the
        training data give a null that has seen no more than the model.

    Returns
    -------
    float

    Raises
    ------
    ShapeError, DataError
        As :func:`poisson_nll`; also without any spike.

    Examples
    --------
    >>> y, r = [[[1, 0], [0, 2], [3, 1]]], [[[0.8, 0.3], [0.5, 1.5], [2, 1]]]
    >>> round(bits_per_spike(y, r), 6)
    0.498039
    """
    y, r = _paired(counts, rates)
    if y.ndim == 0:
        raise ShapeError("counts are a single number; the last axis must be the units")
    n_spikes = float(np.nansum(y))
    if n_spikes == 0:
        raise DataError("no spike in the counts: bits per spike are undefined")
    if null_rates is None:
        seen = np.isfinite(y).reshape(-1, y.shape[-1])
        total = np.nansum(y.reshape(-1, y.shape[-1]), axis=0)
        null = total / np.maximum(seen.sum(axis=0), 1)
    else:
        null = np.asarray(null_rates, dtype=np.float64)
        if null.shape != y.shape[-1:]:
            raise ShapeError(f"null_rates have shape {null.shape}; one a unit is needed: {y.shape[-1:]}")
    gain = poisson_nll(y, np.broadcast_to(null, y.shape)) - poisson_nll(y, r)
    return gain / (n_spikes * float(np.log(2)))


def co_bps(
    counts: ArrayLike, rates: ArrayLike, held_out: ArrayLike, *, null_rates: ArrayLike | None = None
) -> float:
    """Bits per spike of held-out units, whose rates were predicted from the other units alone.

    Parameters
    ----------
    counts, rates : array-like (..., n_units)
        Of all units.
    held_out : array-like of int or bool
        The units that the model did not see.
    null_rates : array-like (n_units,), optional
        Of all units; see :func:`bits_per_spike`.

    Returns
    -------
    float

    Examples
    --------
    >>> y, r = np.array([[1, 0], [0, 2], [3, 1]]), np.array([[0.8, 0.3], [0.5, 1.5], [2, 1]])
    >>> round(co_bps(y, r, held_out=[1]), 6) == round(bits_per_spike(y[:, [1]], r[:, [1]]), 6)
    True
    """
    y, r = _paired(counts, rates)
    chosen = np.arange(y.shape[-1])[np.asarray(held_out)]
    null = None if null_rates is None else np.asarray(null_rates, dtype=np.float64)[chosen]
    return bits_per_spike(y[..., chosen], r[..., chosen], null_rates=null)


def fp_bps(
    counts: ArrayLike, rates: ArrayLike, *, observed: int, period: float, duration: float = 0.2
) -> float:
    """Bits per spike of all units in the time after an observed window (forward prediction).

    Parameters
    ----------
    counts, rates : array-like (n_trials, n_bins, n_units)
        Trials from their start.
    observed : int
        Bins that the model saw.
    period : float
        Seconds a bin.
    duration : float
        Seconds after the window that count; 0.2 by the benchmark's definition.

    Returns
    -------
    float

    Raises
    ------
    ShapeError
        If the trials end before.

    Examples
    --------
    >>> y = np.random.default_rng(0).poisson(1.0, (2, 50, 3))
    >>> fp_bps(y, np.ones(y.shape), observed=10, period=0.005) < 0
    True
    """
    y, r = _paired(counts, rates)
    last = observed + round(duration / period)
    if y.ndim != 3 or not 0 <= observed < last <= y.shape[1]:
        raise ShapeError(
            f"counts have shape {y.shape}; (n_trials, n_bins, n_units) with bins {observed}:{last} is needed"
        )
    return bits_per_spike(y[:, observed:last], r[:, observed:last])


def rates_from_samples(samples: ArrayLike, null_rates: ArrayLike, *, weight: float = 1.0) -> Array:
    r"""Expected counts from counts that a generative model drew.

    .. math:: \hat\lambda_{bn} = \frac{\sum_s y_{sbn} + w \bar\lambda_n}{S + w}

    Parameters
    ----------
    samples : array-like (n_samples, ..., n_units)
        Independent draws, 100 or more.
    null_rates : array-like (n_units,)
        Mean count a bin of each unit in the training data: what an unseen event falls back to.
    weight : float
        Draws that the null rate counts for, above 0.

    Returns
    -------
    ndarray (..., n_units)

    Raises
    ------
    ShapeError
        If samples and null rates do not fit, or the weight is not above 0.

    Notes
    -----
    The plain mean gives rate 0 to a unit that ``S`` draws missed, and then an arbitrary likelihood to its
    spikes. One null draw bounds that loss and vanishes as ``S`` grows.

    Examples
    --------
    >>> rates_from_samples(np.zeros((99, 1)), [0.1]).tolist()
    [0.001]
    """
    y, null = np.asarray(samples, dtype=np.float64), np.asarray(null_rates, dtype=np.float64)
    if y.ndim < 2 or null.shape != y.shape[-1:] or weight <= 0:
        raise ShapeError(
            f"samples {y.shape}, null_rates {null.shape}, weight {weight}: expected "
            "(n_samples, ..., n_units), (n_units,), a positive number"
        )
    rates: Array = (y.sum(axis=0) + weight * null) / (len(y) + weight)
    return rates


def set_scores(true: ArrayLike, generated: ArrayLike) -> SetScores:
    r"""Precision, recall and F1 of the sets of units that were active in each window.

    .. math:: P = |A \cap B| / |B|, \quad R = |A \cap B| / |A|, \quad F_1 = 2PR / (P + R)

    with ``A`` the true and ``B`` the generated set.

    Parameters
    ----------
    true, generated : array-like (n_windows, n_units)
        Counts; a unit is in the set if its count is above 0.

    Returns
    -------
    SetScores
        Averages over windows with true spikes; where nothing was generated P is 0.

    Raises
    ------
    DataError
        If no window holds a true spike.

    Examples
    --------
    >>> set_scores([[1, 1, 0, 0], [0, 0, 0, 0]], [[2, 0, 1, 0], [1, 0, 0, 0]])
    SetScores(precision=0.5, recall=0.5, f1=0.5, n_windows=1)
    """
    a, b = np.asarray(true), np.asarray(generated)
    if a.ndim != 2 or a.shape != b.shape:
        raise ShapeError(f"true {a.shape} and generated {b.shape}: expected the same (n_windows, n_units)")
    a, b = a > 0, b > 0
    spiking = a.any(axis=1)
    if not spiking.any():
        raise DataError("no window holds a true spike: precision and recall are undefined")
    a, b = a[spiking], b[spiking]
    hits = (a & b).sum(axis=1).astype(np.float64)
    precision, recall = hits / np.maximum(b.sum(axis=1), 1), hits / a.sum(axis=1)
    # Harmonic mean of both shares: 2|A n B| / (|A| + |B|), 0 without a hit.
    f1 = 2 * hits / (a.sum(axis=1) + b.sum(axis=1))
    return SetScores(float(precision.mean()), float(recall.mean()), float(f1.mean()), len(a))


def _paired(counts: ArrayLike, rates: ArrayLike) -> tuple[Array, Array]:
    y, r = np.asarray(counts, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    if y.shape != r.shape:
        raise ShapeError(f"counts have shape {y.shape} and rates {r.shape}; they must be the same")
    seen = ~np.isnan(y)
    if (y[seen] < 0).any() or np.isinf(y).any():
        raise DataError(f"{int(((y < 0) | np.isinf(y)).sum())} counts are negative or infinite")
    bad = seen & ~(np.isfinite(r) & (r >= 0))
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{int(bad.sum())} rates are negative or not finite, first {r[first]} at {first}: expected "
            "counts a bin are 0 or more (log-rates must be exponentiated first)"
        )
    return y, r
