"""Peri-stimulus time histograms (PSTHs), and how well predicted or generated ones agree with them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import DataError, ShapeError

__all__ = ["psth", "psth_correlation", "psth_r2", "unit_correlation"]

Array = NDArray[np.float64]


def psth(
    counts: ArrayLike, conditions: ArrayLike, *, period: float | None = None, smoothing: float = 0.0
) -> Array:
    """Mean response of every condition: the peri-stimulus time histogram.

    Parameters
    ----------
    counts : array-like (n_trials, n_bins, n_units)
        Counts or rates; NaN entries are left out of the means.
    conditions : array-like (n_trials,)
        Label of each trial.
    period : float, optional
        Seconds a bin; needed for smoothing.
    smoothing : float
        Standard deviation of a Gaussian along time, seconds; its weights are renormalised at both ends.

    Returns
    -------
    ndarray (n_conditions, n_bins, n_units)
        In sorted order of the labels, counts a bin.

    Raises
    ------
    ShapeError
        If counts and conditions do not fit.
    DataError
        For smoothing without the seconds of a bin.

    Examples
    --------
    >>> psth([[[1.0]], [[3.0]], [[5.0]]], [0, 0, 1]).ravel().tolist()
    [2.0, 5.0]
    """
    y, labels = np.asarray(counts, dtype=np.float64), np.asarray(conditions)
    if y.ndim != 3 or labels.shape != y.shape[:1]:
        raise ShapeError(
            f"counts {y.shape} and conditions {labels.shape}: expected (n_trials, n_bins, n_units) and "
            "(n_trials,)"
        )
    means = np.stack([_nan_mean(y[labels == name]) for name in np.unique(labels)])
    if smoothing <= 0:
        return means
    if period is None or period <= 0:
        raise DataError(f"period = {period}: smoothing in seconds needs the seconds of a bin")
    return _smoothed(means, smoothing / period)


def psth_r2(
    counts: ArrayLike,
    rates: ArrayLike,
    conditions: ArrayLike,
    *,
    period: float,
    smoothing: float = 0.07,
    true_conditions: ArrayLike | None = None,
) -> float:
    r"""Share of the variance of true PSTHs that trial-averaged predicted rates explain.

    .. math:: \frac{1}{N}\sum_n 1 - \frac{\sum_{ct} (p_{ctn} - \hat p_{ctn})^2}
                                         {\sum_{ct} (p_{ctn} - \bar p_n)^2}

    Parameters
    ----------
    counts : array-like (n_trials, n_bins, n_units)
        True counts; their PSTH is smoothed.
    rates : array-like (n_trials, n_bins, n_units)
        Predicted rates; their average over trials is not.
    conditions : array-like (n_trials,)
        Label of each trial of ``rates``.
    period : float
        Seconds a bin.
    smoothing : float
        Standard deviation in seconds: 0.07, and 0.04 for the benchmark's Area2_Bump.
    true_conditions : array-like, optional
        Labels of the trials of ``counts`` when they are other trials than those of ``rates``.

    Returns
    -------
    float
        Plain mean over units; units whose true PSTH never changes are left out.

    Raises
    ------
    DataError
        If the two hold other conditions, or no PSTH ever changes.
    ShapeError
        If bins or units differ.

    Notes
    -----
    Source: Pei et al. (2021), Neural Latents Benchmark.

    Examples
    --------
    >>> y = np.random.default_rng(0).poisson(2.0, (6, 20, 3)).astype(float)
    >>> c = [0, 0, 0, 1, 1, 1]
    >>> smooth = psth(y, c, period=0.01, smoothing=0.07)[np.array(c)]
    >>> round(psth_r2(y, smooth, c, period=0.01), 6)
    1.0
    """
    labels = np.asarray(conditions)
    true_labels = labels if true_conditions is None else np.asarray(true_conditions)
    if not np.array_equal(np.unique(labels), np.unique(true_labels)):
        raise DataError("counts and rates hold other conditions: select trials so that both have the same")
    true = psth(counts, true_labels, period=period, smoothing=smoothing)
    found = psth(rates, labels)
    if true.shape != found.shape:
        raise ShapeError(f"PSTHs of counts {true.shape} and of rates {found.shape} differ in bins or units")
    true, found = true.reshape(-1, true.shape[-1]), found.reshape(-1, found.shape[-1])
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    varies = spread > 1e-12 * np.maximum((true**2).sum(axis=0), 1e-300)
    if not varies.any():
        raise DataError("no unit's PSTH changes over time or condition: R² is undefined")
    residual = ((true - found) ** 2).sum(axis=0)
    return float((1 - residual[varies] / spread[varies]).mean())


def unit_correlation(counts: ArrayLike, predictions: ArrayLike) -> Array:
    """Pearson's r of each unit over all its windows (trials and bins joined); NaN where one is constant.

    Parameters
    ----------
    counts, predictions : array-like (..., n_units)
        True counts, and predicted or generated ones.

    Returns
    -------
    ndarray (n_units,)

    Raises
    ------
    ShapeError
        If the shapes differ, or there are no units.

    Examples
    --------
    >>> unit_correlation([[1, 0], [2, 0], [3, 0]], [[2, 1], [4, 1], [6, 2]]).round(6).tolist()
    [1.0, nan]
    """
    x, y = np.asarray(counts, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if x.shape != y.shape or x.ndim < 2:
        raise ShapeError(f"counts {x.shape} and predictions {y.shape}: expected the same (..., n_units)")
    x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    constant = (x.max(axis=0) == x.min(axis=0)) | (y.max(axis=0) == y.min(axis=0))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        r: Array = np.where(constant, np.nan, (x * y).sum(axis=0) / scale)
    return r


def psth_correlation(
    test: ArrayLike,
    generated: ArrayLike,
    conditions: ArrayLike,
    *,
    train: ArrayLike | None = None,
    train_conditions: ArrayLike | None = None,
) -> tuple[Array, Array | None]:
    """Correlation of each unit's generated PSTH with its PSTH on test trials, and what repeats allow.

    Parameters
    ----------
    test, generated : array-like (n_trials, n_bins, n_units)
        Counts, trial by trial of the same conditions.
    conditions : array-like (n_trials,)
        Label of each trial; the PSTHs of all conditions are joined before correlating.
    train, train_conditions : array-like, optional
        Trials of the same conditions for the ceiling.

    Returns
    -------
    r : ndarray (n_units,)
    ceiling : ndarray (n_units,) or None
        Correlation of the PSTH of training trials with that of test trials: what a model that repeats the
        training PSTH reaches. It is no upper bound: a model may denoise better than the training average.

    Raises
    ------
    DataError
        If training and test trials hold other conditions.
    ShapeError
        As :func:`psth`.

    Examples
    --------
    >>> y = np.random.default_rng(0).poisson(2.0, (6, 20, 3))
    >>> r, ceiling = psth_correlation(y, y, [0, 0, 0, 1, 1, 1], train=y, train_conditions=[0, 0, 0, 1, 1, 1])
    >>> r.round(6).tolist(), ceiling.round(6).tolist()
    ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    """
    true = psth(test, conditions)
    r = unit_correlation(true, psth(generated, conditions))
    if train is None or train_conditions is None:
        return r, None
    if not np.array_equal(np.unique(np.asarray(conditions)), np.unique(np.asarray(train_conditions))):
        raise DataError("training and test trials hold other conditions: the ceiling needs the same")
    return r, unit_correlation(true, psth(train, train_conditions))


def _nan_mean(trials: Array) -> Array:
    """Mean over trials; NaN where no trial has a value."""
    seen = np.isfinite(trials)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = np.where(seen, trials, 0.0).sum(axis=0) / seen.sum(axis=0)
    return mean


def _smoothed(means: Array, sd: float) -> Array:
    """Gaussian along the second axis, weights renormalised at the ends."""
    from scipy.ndimage import gaussian_filter1d

    kwargs: dict[str, Any] = {"axis": 1, "mode": "constant"}
    inside = gaussian_filter1d(np.ones_like(means), sd, **kwargs)
    smooth: Array = gaussian_filter1d(means, sd, **kwargs) / inside
    return smooth
