r"""Exact one-step solutions of linear membranes and synapses, in float64.

With the state's equation :math:`\dot x = A x`, one step of h seconds is :math:`e^{A h} x`; the functions give
its entries. Potentials in mV, currents in pA, capacitances in pF.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

__all__ = [
    "alpha_peak_current",
    "alpha_propagator",
    "exponential_peak_current",
    "exponential_propagator",
    "membrane_propagator",
]

_MS = 1e3


def membrane_propagator(step: float, tau_m: float, capacitance: float) -> tuple[float, float]:
    """P22 = e^{-h/tau_m}, and P20 = tau_m / C (1 - e^{-h/tau_m}) in mV a pA of constant current.

    Examples
    --------
    >>> p22, p20 = membrane_propagator(1e-4, 10e-3, 250.0)
    >>> round(p22, 10), round(p20, 9)
    (0.9900498337, 0.000398007)
    """
    return float(np.exp(-step / tau_m)), float(-np.expm1(-step / tau_m) * tau_m * _MS / capacitance)


def exponential_propagator(
    step: float, tau_m: float, tau_syn: float, capacitance: float
) -> tuple[float, float]:
    """P11 = e^{-h/tau_s}, and P21, mV that 1 pA of decaying current adds in a step.

    Where the time constants differ by less than a thousandth, P21 is its limit (h / C) e^{-h/tau_m}.

    Examples
    --------
    >>> p11, p21 = exponential_propagator(1e-4, 10e-3, 0.5e-3, 250.0)
    >>> round(p11, 10), round(p21, 10)
    (0.8187307531, 0.0003606717)
    """
    p11 = float(np.exp(-step / tau_syn))
    if abs(tau_syn - tau_m) < 1e-3 * tau_m:
        return p11, float(step * _MS / capacitance * np.exp(-step / tau_m))
    scale = tau_m * tau_syn / (tau_syn - tau_m) * _MS / capacitance
    return p11, float(scale * (np.exp(-step / tau_syn) - np.exp(-step / tau_m)))


def alpha_propagator(step: float, tau_m: float, tau_syn: float, capacitance: float) -> NDArray[np.float64]:
    """e^{Ah} of (rise, current, potential) for alpha-shaped currents, (3, 3); rise in pA/ms."""
    tau_m, tau_syn, step = tau_m * _MS, tau_syn * _MS, step * _MS
    a = np.array([[-1 / tau_syn, 0, 0], [1, -1 / tau_syn, 0], [0, 1 / capacitance, -1 / tau_m]])
    return np.asarray(expm(a * step), dtype=np.float64)


def exponential_peak_current(amplitude: float, tau_m: float, tau_syn: float, capacitance: float) -> float:
    """Jump of current, pA, whose PSP peaks at ``amplitude`` mV, for exponentially decaying currents.

    Examples
    --------
    >>> round(exponential_peak_current(0.15, 10e-3, 0.5e-3, 250.0), 6)
    87.808494
    """
    ratio, gap = tau_m / tau_syn, tau_m - tau_syn
    shape = ratio ** (-tau_m / gap) - ratio ** (-tau_syn / gap)
    unit = _MS / capacitance * tau_m * tau_syn / (tau_syn - tau_m) * shape
    return float(amplitude / unit)


def alpha_peak_current(amplitude: float, tau_m: float, tau_syn: float, capacitance: float) -> float:
    """Peak current, pA, whose PSP peaks at ``amplitude`` mV, for alpha-shaped currents.

    Examples
    --------
    >>> round(alpha_peak_current(0.1, 20e-3, 0.5e-3, 250.0), 6)
    20.680155
    """

    def negative_potential(time: float) -> float:
        return -float(alpha_propagator(time, tau_m, tau_syn, capacitance)[2, 0])

    longest = 5 * (tau_m + tau_syn)
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        negative_potential, bounds=(0, longest), method="bounded", options={"xatol": 1e-10}
    )
    return float(amplitude / (-found.fun * math.e / (tau_syn * _MS)))
