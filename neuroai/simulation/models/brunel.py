"""The balanced random network of Brunel (2000), J. Comput. Neurosci. 8:183, with delta or alpha synapses."""

from typing import Literal, get_args

from neuroai.errors import ConfigError
from neuroai.simulation.network import Network, PoissonDrive, Population, Projection
from neuroai.simulation.neurons import LIFAlpha, LIFDelta
from neuroai.simulation.propagators import alpha_peak_current
from neuroai.simulation.rules import FixedIndegree
from neuroai.simulation.theory import alpha_threshold_rate

__all__ = ["brunel"]

Synapse = Literal["delta", "alpha"]

_TAU_SYN = 0.5e-3
_MEMBRANE = {"tau_m": 20e-3, "capacitance": 250.0, "rest": 0.0, "threshold": 20.0, "refractory": 2e-3}
_J = 0.1
_DELAY = 1.5e-3


def brunel(
    order: int = 2500,
    *,
    g: float = 5.0,
    eta: float = 2.0,
    synapse: Synapse = "delta",
    reset: float = 0.0,
    seed: int = 0,
) -> Network:
    r"""Excitatory and inhibitory neurons, 4 to 1, each with a tenth of all neurons as sources.

    Parameters
    ----------
    order : int
        4 ``order`` excitatory and ``order`` inhibitory neurons; 2500 gives 12,500 and 15.6 million synapses.
    g : float
        Inhibitory weight is -g J.
    eta : float
        External rate over the rate that reaches threshold in the mean, :math:`\theta / J C_E \tau_m`.
    synapse : {"delta", "alpha"}
        Alpha currents peak so that a PSP of 0.1 mV results. The external rate is then 11 % smaller, as
        threshold is reached by currents.
    reset : float
        mV; the original paper has 10.
    seed : int

    Returns
    -------
    Network

    Raises
    ------
    ConfigError
        For an order below 10 or an unknown synapse.

    Notes
    -----
    At the defaults fires at 32 spikes/s; see :func:`neuroai.simulation.theory.brunel_rate`.

    Examples
    --------
    >>> net = brunel(order=250)
    >>> [population.size for population in net.populations]
    [1000, 250]
    """
    if order < 10 or synapse not in get_args(Synapse):
        raise ConfigError(f"order={order}, synapse={synapse!r}: expected 10 or more and {get_args(Synapse)}")
    c_e, c_i = 4 * order // 10, order // 10
    if synapse == "delta":
        neuron: LIFDelta | LIFAlpha = LIFDelta(**_MEMBRANE, reset=reset)
        weight = _J
        threshold_rate = 20.0 / (_J * 20e-3)
    else:
        neuron = LIFAlpha(**_MEMBRANE, reset=reset, tau_syn=(_TAU_SYN,))
        weight = alpha_peak_current(_J, 20e-3, _TAU_SYN, 250.0)
        threshold_rate = alpha_threshold_rate(weight, neuron)
    drive = PoissonDrive(eta * threshold_rate, weight)
    populations = [
        Population("E", 4 * order, neuron, drive=drive),
        Population("I", order, neuron, drive=drive),
    ]
    projections = [
        Projection(source, target, FixedIndegree(degree), strength, _DELAY)
        for source, degree, strength in (("E", c_e, weight), ("I", c_i, -g * weight))
        for target in ("E", "I")
    ]
    return Network(populations, projections, dt=1e-4, seed=seed, name=f"brunel-{synapse}-{order}")
