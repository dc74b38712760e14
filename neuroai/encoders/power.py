"""Signal power of repeated responses, and scores of a prediction relative to it."""

from typing import Any

import numpy as np

from neuroai.encoders._repeats import Repeats, by_block, checked_repeats
from neuroai.encoders.scores import Float, as_numpy
from neuroai.errors import ShapeError


def signal_power(repeats: Any) -> Float:
    r"""Variance of the signal, without standardising.

    .. math:: \mathrm{SP} = \frac{\mathrm{var}(\sum_r y_r) - \sum_r \mathrm{var}(y_r)}{m (m - 1)}
              = \frac{\mathrm{var}(\bar y) - h \langle \mathrm{var}(y_r) \rangle_r}{1 - h}

    (ddof 1); the second form also holds for mixed numbers of repeats.

    Parameters
    ----------
    repeats
        (n_repeats, n_samples, n_targets); NaN where missing.

    Returns
    -------
    array of shape (n_targets,), float64
        In squared units of the response; below zero by chance for pure noise; NaN where undefined.

    Raises
    ------
    ShapeError
        If ``repeats`` is not three-dimensional, or no sample has two presentations.

    Notes
    -----
    Linear in the size of the input.

    References
    ----------
    Sahani & Linden (2003); Schoppe, Harper, Willmore, King & Schnupp (2016), eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[[1.0], [2.0], [3.0]]] * 2)
    >>> signal_power(y)
    array([1.])
    """

    def estimate(block: Repeats) -> Float:
        power: Float = (block.mean_variance - block.h * block.single_variance) / (1.0 - block.h)
        return power

    return by_block(repeats, estimate)


def signal_power_explained(repeats: Any, prediction: Any) -> Float:
    r"""Signal power explained, :math:`(\mathrm{var}(\bar y) - \mathrm{var}(\bar y - \hat y))/\mathrm{SP}`.

    Parameters
    ----------
    repeats
        (n_repeats, n_samples, n_targets); NaN where missing.
    prediction
        (n_samples, n_targets).

    Returns
    -------
    array of shape (n_targets,), float64
        NaN where the signal power is not positive.

    Raises
    ------
    ShapeError
        If shapes disagree.

    Notes
    -----
    Linear in the size of the input.

    References
    ----------
    Schoppe et al. (2016), eq. 3.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[[1.0], [2.0], [3.0]]] * 2)
    >>> signal_power_explained(y, y[0])
    array([1.])
    """
    mean, prediction = _mean_and_prediction(repeats, prediction)
    explained = mean.var(0, ddof=1) - (mean - prediction).var(0, ddof=1)
    power = signal_power(repeats)
    share: Float = np.divide(explained, power, out=np.full_like(power, np.nan), where=power > 0)
    return share


def cc_norm(repeats: Any, prediction: Any) -> Float:
    r"""Normalised correlation :math:`\mathrm{cov}(\bar y, \hat y)/\sqrt{\mathrm{var}(\hat y)\,\mathrm{SP}}`.

    Parameters
    ----------
    repeats
        (n_repeats, n_samples, n_targets); NaN where missing.
    prediction
        (n_samples, n_targets).

    Returns
    -------
    array of shape (n_targets,), float64
        About 1 for a perfect model; NaN where the signal power is not positive or the prediction constant.

    Raises
    ------
    ShapeError
        If shapes disagree.

    Notes
    -----
    Linear in the size of the input.

    References
    ----------
    Schoppe et al. (2016), eq. 7.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([[[1.0], [2.0], [3.0]]] * 2)
    >>> cc_norm(y, 5 * y[0]).round(6)
    array([1.])
    """
    mean, prediction = _mean_and_prediction(repeats, prediction)
    covariance = ((mean - mean.mean(0)) * (prediction - prediction.mean(0))).sum(0) / (len(mean) - 1)
    scale = prediction.var(0, ddof=1) * signal_power(repeats)
    norm = np.sqrt(np.abs(scale))
    cc: Float = np.divide(covariance, norm, out=np.full_like(scale, np.nan), where=scale > 0)
    return cc


def _mean_and_prediction(repeats: Any, prediction: Any) -> tuple[Float, Float]:
    repeats = checked_repeats(repeats)
    prediction = as_numpy(prediction).astype(np.float64)
    if prediction.shape != tuple(repeats.shape[1:]):
        raise ShapeError(
            f"prediction has shape {prediction.shape}; "
            f"repeats of shape {tuple(repeats.shape)} need {tuple(repeats.shape[1:])}"
        )
    y = as_numpy(repeats).astype(np.float64)
    return Repeats(y).mean, prediction
