"""Mean-field theory of the balanced network: stationary rates to hold simulations against."""

import math

import numpy as np
from scipy.special import erfcx

from neuroai.simulation.neurons import LIFAlpha

__all__ = ["alpha_threshold_rate", "brunel_rate", "siegert_rate"]


def alpha_threshold_rate(weight: float, neuron: LIFAlpha) -> float:
    r"""Rate of alpha-shaped inputs whose mean current alone reaches threshold, events/s.

    :math:`\nu = \theta C / (\tau_m \, w \, e \, \tau_s)`: the charge of one event is :math:`w e \tau_s`.

    Parameters
    ----------
    weight : float
        Peak current, pA.
    neuron : LIFAlpha
        With the synapse's time constant first.
    """
    return neuron.rheobase / (weight * math.e * neuron.tau_syn[0])


def siegert_rate(
    mean: float, sd: float, tau_m: float, threshold: float, reset: float, refractory: float
) -> float:
    r"""Rate of an integrate-and-fire neuron in white noise.

    .. math::
        1/\nu = t_{ref} + \tau_m \sqrt{\pi}
        \int_{(V_r - \mu)/\sigma}^{(\theta - \mu)/\sigma} e^{x^2} (1 + \operatorname{erf} x) \, dx

    Parameters
    ----------
    mean, sd : float
        mu and sigma of the free potential, mV (sigma squared is twice its variance).
    tau_m, refractory : float
        Seconds.
    threshold, reset : float
        mV.

    Returns
    -------
    float
        Spikes/s.

    Notes
    -----
    Siegert (1951); Amit and Brunel (1997).
    """
    low, high = (reset - mean) / sd, (threshold - mean) / sd
    from scipy.integrate import quad  # 50 MB with what it imports

    area = quad(lambda x: float(erfcx(-x)), low, high, epsabs=1e-12, limit=200)[0]
    return float(1 / (refractory + tau_m * np.sqrt(np.pi) * area))


def brunel_rate(
    *,
    weight: float = 0.1,
    in_degree: int = 1000,
    g: float = 5.0,
    eta: float = 2.0,
    tau_m: float = 20e-3,
    threshold: float = 20.0,
    reset: float = 0.0,
    refractory: float = 2e-3,
) -> float:
    r"""Self-consistent rate of Brunel's network, its excitatory and inhibitory neurons alike.

    :math:`\mu = J C_E \tau_m [\nu_{ext} + \nu (1 - g/4)]` and
    :math:`\sigma^2 = J^2 C_E \tau_m [\nu_{ext} + \nu (1 + g^2/4)]`.

    Returns
    -------
    float
        Spikes/s.

    Notes
    -----
    Brunel (2000), equation 21 and following. White noise: right for rates, not for the irregularity of
    spiking at high rates.

    Examples
    --------
    >>> round(brunel_rate(), 2), round(brunel_rate(reset=10.0), 2)
    (32.03, 37.95)
    """
    from scipy.optimize import brentq

    external = eta * threshold / (weight * in_degree * tau_m)

    def excess(rate: float) -> float:
        mean = weight * in_degree * tau_m * (external + rate * (1 - g / 4))
        sd = weight * np.sqrt(in_degree * tau_m * (external + rate * (1 + g * g / 4)))
        return siegert_rate(mean, float(sd), tau_m, threshold, reset, refractory) - rate

    return float(brentq(excess, 1e-6, 1 / refractory - 1e-6, xtol=1e-10))
