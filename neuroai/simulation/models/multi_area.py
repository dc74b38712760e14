"""A synthetic network with the counts of the multi-area model of macaque visual cortex: a test of capacity.

Only the counts are the model's (Schmidt et al. 2018; 4.13 million neurons, 24.2 thousand million synapses);
its areas' own sizes, rates and connections are not reproduced.
"""

import numpy as np

from neuroai.errors import ConfigError
from neuroai.simulation.distributions import Normal
from neuroai.simulation.models.potjans_diesmann import SIZES
from neuroai.simulation.network import Network, PoissonDrive, Population, Projection
from neuroai.simulation.neurons import LIFExp
from neuroai.simulation.propagators import exponential_peak_current
from neuroai.simulation.rules import FixedOutdegree

__all__ = ["multi_area"]

_AREAS = 32
_NEURONS = 4_130_000
_OUT_DEGREE = 5860
_LOCAL = 0.6
# Inhibition above the ratio of the numbers, 4, or the network fires at 190 spikes/s (`brunel_rate`'s theory).
_INHIBITION = -6.0
_EXTERNAL, _EXTERNAL_RATE = 1500, 8.0
_NEURON = LIFExp()
# Spikes/s; what smaller networks lose of the input that such activity causes is given as a current.
_RATE = 3.0


def multi_area(scale: float = 1.0, *, areas: int = _AREAS, seed: int = 0) -> Network:
    """Areas of excitatory and inhibitory neurons, each projecting within its area and to the next ones.

    Parameters
    ----------
    scale : float
        Of the number of neurons and of the synapses of each; weights grow by 1/sqrt(scale), and a constant
        current replaces the mean input that is lost.
    areas : int
        Areas of equal size.
    seed : int

    Returns
    -------
    Network
        At scale 1: 4.13 million neurons, 24.2e9 synapses (218 GB stored), delays of 0.1 to 12 ms.

    Raises
    ------
    ConfigError
        If the scale leaves an area without neurons or synapses.

    Notes
    -----
    Six tenths of a neuron's synapses stay in its area; the rest of an excitatory neuron's go to the next
    area of a ring. Inhibition is local and prevails: weight -6 times the excitatory.

    Examples
    --------
    >>> net = multi_area(0.001)
    >>> len(net.populations), net.n_neurons
    (64, 4128)
    """
    if areas < 1:
        raise ConfigError(f"areas={areas}: expected 1 or more")
    size, degree = round(_NEURONS / areas * scale), round(_OUT_DEGREE * scale)
    inhibitory = round(size * SIZES[1::2].sum() / SIZES.sum())
    if min(inhibitory, size - inhibitory) < 1 or degree < 4:
        raise ConfigError(f"scale={scale}, areas={areas}: {size} neurons an area, {degree} synapses each")
    psc = exponential_peak_current(0.15, 10e-3, 0.5e-3, 250.0) / np.sqrt(scale)
    current = _lost_current(scale, psc, inhibitory / size)
    populations, projections = [], []
    for area in range(areas):
        names = {"E": f"{area}E", "I": f"{area}I"}
        counts = {"E": size - inhibitory, "I": inhibitory}
        for kind, name in names.items():
            drive = PoissonDrive(_EXTERNAL_RATE * _EXTERNAL * scale, psc)
            start = {"v": Normal(-63.0, 5.0)}
            populations.append(
                Population(name, counts[kind], _NEURON, drive=drive, current=current, initial=start)
            )
        following = {"E": f"{(area + 1) % areas}E", "I": f"{(area + 1) % areas}I"}
        for source in names:
            local = degree if source == "I" else round(degree * _LOCAL)
            mean = psc * (_INHIBITION if source == "I" else 1.0)
            for target, share in (("E", 0.8), ("I", 0.2)):
                projections.append(
                    _projection(names[source], names[target], round(local * share), mean, 1.5e-3)
                )
                if source == "E":
                    far = round((degree - local) * share)
                    projections.append(_projection(names[source], following[target], far, mean, 6e-3))
    return Network(populations, projections, dt=1e-4, seed=seed, name=f"multi-area-{scale:g}")


def _lost_current(scale: float, psc: float, inhibitory: float) -> float:
    """Mean input that a network of this scale lacks, pA."""
    recurrent = _OUT_DEGREE * (1 - inhibitory + _INHIBITION * inhibitory) * _RATE
    full = _NEURON.tau_syn[0] * psc * np.sqrt(scale) * (_EXTERNAL * _EXTERNAL_RATE + recurrent)
    return float((1 - np.sqrt(scale)) * full)


def _projection(source: str, target: str, degree: int, weight: float, delay: float) -> Projection:
    bounds = (0.0, np.inf) if weight > 0 else (-np.inf, 0.0)
    return Projection(
        source,
        target,
        FixedOutdegree(degree),
        Normal(weight, 0.1 * abs(weight), *bounds),
        Normal(delay, delay / 2, 1e-4, 12.7e-3),
    )
