"""The canonical haemodynamic response: a difference of two gamma densities."""

from typing import Literal

import numpy as np
from scipy.stats import gamma

from neuroai.encoders.scores import Float
from neuroai.errors import ConfigError

_PEAK, _UNDERSHOOT, _RATIO = 6.0, 16.0, 1 / 6
_LENGTH = 32.0

Basis = Literal["canonical", "derivative"]


def double_gamma(step: float, basis: Basis = "canonical") -> Float:
    r"""Haemodynamic response sampled every ``step`` seconds, with its time derivative if asked.

    .. math:: h(t) \propto g(t; 6) - g(t; 16) / 6, \qquad g(t; a) = t^{a - 1} e^{-t} / \Gamma(a)

    Parameters
    ----------
    step
        Seconds, > 0.
    basis
        "canonical": h alone; "derivative": h and dh/dt, which lets the response come earlier or later.

    Returns
    -------
    array of shape (1 or 2, 32 s / step), float64
        h sums to 1, so a long block reaches 1. The derivative has the norm of h, so that a ridge
        penalty treats both alike.

    Raises
    ------
    ConfigError
        If ``step`` is not positive or ``basis`` unknown.

    Notes
    -----
    The derivative is exact: g'(t; a) = g(t; a - 1) - g(t; a).

    References
    ----------
    Friston et al. (1998), "Event-related fMRI: characterizing differential responses"; SPM's ``spm_hrf``.

    Examples
    --------
    >>> h = double_gamma(0.25)
    >>> h.shape, round(float(h[0].argmax() * 0.25), 2), round(float(h.sum()), 6)
    ((1, 128), 5.0, 1.0)
    """
    if not step > 0:
        raise ConfigError(f"the step of the haemodynamic response is {step} s; it must be positive")
    t = np.arange(0.0, _LENGTH, step)
    h = gamma.pdf(t, _PEAK) - _RATIO * gamma.pdf(t, _UNDERSHOOT)
    h /= h.sum()
    if basis == "canonical":
        return np.asarray(h[None])
    if basis != "derivative":
        raise ConfigError(f"haemodynamic basis {basis!r} is unknown; choose canonical or derivative")
    slope = gamma.pdf(t, _PEAK - 1) - gamma.pdf(t, _PEAK)
    slope -= _RATIO * (gamma.pdf(t, _UNDERSHOOT - 1) - gamma.pdf(t, _UNDERSHOOT))
    return np.stack([h, slope * np.linalg.norm(h) / np.linalg.norm(slope)])
