"""From the linear drive of a unit to its expected count, and what the drive's likelihood needs of that."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, xlogy

from neuroai.errors import ConfigError

__all__ = ["LINKS", "Link", "log_likelihood", "loss_and_slope", "rate_of", "start_of"]

Array = NDArray[np.float64]
Link = Literal["exp", "softplus", "sigmoid"]
LINKS: tuple[Link, ...] = ("exp", "softplus", "sigmoid")

#: Below this an expected count is taken as this, so that a log stays finite.
FLOOR = 1e-8
_STEEPEST = 30.0  # exp(30) counts a bin: no spike train, and squares stay far from overflow


class Loss(NamedTuple):
    """Of every bin and unit: the negative log-likelihood less its constant, and its slope along the drive."""

    value: Array
    slope: Array


def rate_of(drive: Array, link: Link) -> Array:
    r"""Expected count of a drive: ``exp``, ``softplus`` (:math:`\log(1 + e^x)`) or ``sigmoid``.

    Examples
    --------
    >>> [round(float(rate_of(np.zeros(1), link)[0]), 4) for link in LINKS]
    [1.0, 0.6931, 0.5]
    """
    if link == "exp":
        rate: Array = np.exp(np.minimum(drive, _STEEPEST))
    elif link == "softplus":
        rate = np.logaddexp(0.0, drive)
    elif link == "sigmoid":
        rate = expit(drive)
    else:
        raise ConfigError(f"found the link {link!r}; there are: {', '.join(LINKS)}")
    return np.maximum(rate, FLOOR)


def loss_and_slope(drive: Array, counts: Array, link: Link) -> Loss:
    r"""Poisson loss ``f - y log f`` and its derivative ``(1 - y / f) f'`` along the drive.

    Parameters
    ----------
    drive, counts : ndarray (n_bins, n_units)
    link : {"exp", "softplus", "sigmoid"}

    Returns
    -------
    Loss
        Convex in the drive for ``exp`` and ``softplus``; ``sigmoid`` is not for counts above 1.

    Examples
    --------
    >>> loss_and_slope(np.zeros((1, 1)), np.full((1, 1), 2.0), "exp").slope.tolist()
    [[-1.0]]
    """
    rate = rate_of(drive, link)
    value = rate - counts * (drive if link == "exp" else np.log(rate))
    if link == "exp":
        slope = rate - counts
    elif link == "softplus":
        slope = expit(drive) * (1 - counts / rate)
    else:
        slope = (rate - counts) * (1 - rate)
    return Loss(value, slope)


def log_likelihood(counts: Array, rates: Array) -> Array:
    r"""Poisson log-likelihood of every bin, nats: :math:`y \log f - f - \log\Gamma(y + 1)`.

    Examples
    --------
    >>> log_likelihood(np.array([0.0]), np.array([0.5])).tolist()
    [-0.5]
    """
    found: Array = xlogy(counts, np.maximum(rates, FLOOR)) - rates - gammaln(counts + 1)
    return found


def start_of(mean: Array, link: Link) -> Array:
    """Drive whose rate is ``mean``: where a fit starts.

    Examples
    --------
    >>> [round(float(rate_of(start_of(np.array([0.3]), link), link)[0]), 6) for link in LINKS]
    [0.3, 0.3, 0.3]
    """
    held = np.maximum(mean, FLOOR)
    if link == "exp":
        drive: Array = np.log(held)
    elif link == "softplus":
        drive = held + np.log(-np.expm1(-held))
    else:
        held = np.minimum(held, 0.99)
        drive = np.log(held / (1 - held))
    return drive
