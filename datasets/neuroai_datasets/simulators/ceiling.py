"""The noise ceiling of a population whose signal and noise are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroai_datasets.errors import DataError


def known_ceiling(
    signal_variance: ArrayLike, noise_variance: ArrayLike, n_repeats: int
) -> NDArray[np.float64]:
    r"""Return the largest squared correlation any model can reach with the mean over repeats.

    .. math:: \mathrm{NC} = \frac{\sigma_s^2}{\sigma_s^2 + \sigma_n^2 / m}

    Parameters
    ----------
    signal_variance, noise_variance : array-like, at least 0, broadcast against each other
        Variance over stimuli of the noiseless response, and over repeats of one stimulus.
    n_repeats : int
        Repeats m that are averaged, at least 1.

    Returns
    -------
    ndarray of float64
        In [0, 1]; NaN where both variances are 0, because a constant has no correlation.

    Raises
    ------
    DataError
        If a variance is negative or not finite, or ``n_repeats`` below 1.

    Notes
    -----
    A ceiling on the squared correlation, not on the correlation. Source: Allen et al. (2022), A
    massive 7T fMRI dataset, methods, "noise ceiling estimation", with ncsnr squared
    = signal over noise variance.

    Examples
    --------
    >>> known_ceiling([0.36, 0.64], [0.64, 0.36], 3).round(3)
    array([0.628, 0.842])
    """
    signal, noise = np.asarray(signal_variance, np.float64), np.asarray(noise_variance, np.float64)
    for name, variance in (("signal_variance", signal), ("noise_variance", noise)):
        if not (np.isfinite(variance).all() and (variance >= 0).all()):
            raise DataError(f"{name} holds negative or non-finite values, expected variances (at least 0)")
    if n_repeats < 1:
        raise DataError(f"n_repeats is {n_repeats}, expected at least 1")
    total = signal + noise / n_repeats
    ceiling: NDArray[np.float64] = np.divide(signal, total, out=np.full(total.shape, np.nan), where=total > 0)
    return ceiling
