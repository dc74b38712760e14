"""Simple models of spike counts over trials: what any larger model must beat.

Arrays are counts (n_trials, n_bins, n_units); rates are expected counts a bin in the same layout.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai.errors import ShapeError

__all__ = ["condition_gain_rates", "population_gain_rates", "psth_rates"]

Array = NDArray[np.float64]

_KERNEL = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0
_MIX = 0.9


def psth_rates(train: ArrayLike, null_rates: ArrayLike) -> Array:
    """Trial average, smoothed over five bins and mixed with a constant.

    Parameters
    ----------
    train : array-like (n_trials, n_bins, n_units)
        Training counts.
    null_rates : array-like (n_units,)
        Mean count a bin; above 0.

    Returns
    -------
    ndarray (n_bins, n_units)
        ``0.9 * PSTH + 0.1 * null``; the PSTH is smoothed with [1 2 3 2 1] / 9, edge bins repeated.

    Examples
    --------
    >>> psth_rates(np.ones((4, 6, 1)), [1.0]).round(9).ravel().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    y = _trials(train)
    half = len(_KERNEL) // 2
    padded = np.pad(y.mean(axis=0), ((half, half), (0, 0)), mode="edge")
    smooth = sum(weight * padded[k : k + y.shape[1]] for k, weight in enumerate(_KERNEL))
    rates: Array = _MIX * smooth + (1 - _MIX) * np.asarray(null_rates, dtype=np.float64)
    return rates


def condition_gain_rates(
    train: ArrayLike,
    conditions: ArrayLike,
    test_conditions: ArrayLike,
    null_rates: ArrayLike,
    *,
    weight: float = 10.0,
) -> Array:
    r"""PSTH times a gain of each unit in each condition, shrunk towards 1.

    .. math:: g_{cn} = \frac{\sum_{k \in c} y_{kn} + w\, e_n}{(K_c + w)\, e_n}

    with ``e_n`` the count that the PSTH expects in a trial and ``w`` pseudo-trials.

    Parameters
    ----------
    train : array-like (n_trials, n_bins, n_units)
    conditions : array-like (n_trials,)
        Label of each training trial.
    test_conditions : array-like (n_test,)
        Labels to predict for; one that training lacks has gain 1.
    null_rates : array-like (n_units,)
    weight : float
        Pseudo-trials.

    Returns
    -------
    ndarray (n_test, n_bins, n_units)

    Examples
    --------
    >>> y = np.array([[[1.0]], [[3.0]]])
    >>> condition_gain_rates(y, [0, 1], [0, 1], [2.0], weight=1.0).ravel().tolist()
    [1.5, 2.5]
    """
    y, labels = _trials(train), np.asarray(conditions)
    rates = psth_rates(y, null_rates)
    totals, expected = y.sum(axis=1), rates.sum(axis=0)
    gains = np.empty((len(np.asarray(test_conditions)), y.shape[2]))
    for row, name in enumerate(np.asarray(test_conditions).tolist()):
        same = labels == name
        gains[row] = (totals[same].sum(axis=0) + weight * expected) / ((same.sum() + weight) * expected)
    predicted: Array = rates * gains[:, None, :]
    return predicted


def population_gain_rates(train: ArrayLike, test: ArrayLike, null_rates: ArrayLike) -> Array:
    """PSTH times a gain that follows how much the *other* units fired in the same trial.

    Parameters
    ----------
    train, test : array-like (n_trials, n_bins, n_units)
    null_rates : array-like (n_units,)

    Returns
    -------
    ndarray (n_test, n_bins, n_units)
        Gain ``0.5 + 0.5 * (others' spikes / expected)``.

    Notes
    -----
    It sees spikes of the whole trial, also later ones than those it predicts: compare it only with models
    that see as much.

    Examples
    --------
    >>> y = np.ones((3, 5, 2))
    >>> float(population_gain_rates(y, y, [1.0, 1.0]).max().round(9))
    1.0
    """
    y, seen = _trials(train), _trials(test)
    rates = psth_rates(y, null_rates)
    totals, expected = seen.sum(axis=1), rates.sum(axis=0)
    others = totals.sum(axis=1, keepdims=True) - totals
    gains = 0.5 + 0.5 * others / (expected.sum() - expected)
    predicted: Array = rates * gains[:, None, :]
    return predicted


def _trials(counts: ArrayLike) -> Array:
    y = np.asarray(counts, dtype=np.float64)
    if y.ndim != 3 or len(y) == 0:
        raise ShapeError(
            f"counts have shape {y.shape}: expected (n_trials, n_bins, n_units), one trial at least"
        )
    return y
