"""The cortical microcircuit of Potjans and Diesmann (2014), Cerebral Cortex 24:785: full size and scaled."""

import warnings
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neuroai.errors import ConfigError
from neuroai.simulation.distributions import Normal
from neuroai.simulation.network import Network, PoissonDrive, Population, Projection
from neuroai.simulation.neurons import LIFExp
from neuroai.simulation.propagators import exponential_peak_current
from neuroai.simulation.rules import FixedTotal
from neuroai.simulation.sources import PoissonSource

__all__ = [
    "FULL_RATES",
    "NAMES",
    "SCALED_RATES",
    "SIZES",
    "WeakDriveWarning",
    "potjans_diesmann",
    "synapse_numbers",
]

Array = NDArray[np.float64]
Drive = Literal["poisson", "dc"]

NAMES = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
#: Connection probabilities [target, source]; the last column is the thalamus.
PROBABILITIES = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0000, 0.0076, 0.0000, 0.0000],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0000, 0.0042, 0.0000, 0.0000],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0000, 0.0983],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0000, 0.1057, 0.0000, 0.0619],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0000, 0.0000],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0000, 0.0000],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252, 0.0512],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443, 0.0196],
    ]
)
THALAMIC = 902
#: External inputs of each neuron, of 8 events/s each.
EXTERNAL = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
EXTERNAL_RATE = 8.0
#: Initial potentials near the stationary state, mV.
INITIAL_MEANS = (-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43)
INITIAL_SDS = (5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48)
#: Rates of the full network in spikes/s: one run of the reference code (NEST).
FULL_RATES = dict(zip(NAMES, (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829), strict=True))
#: Rates at scale 0.1 with Poisson drive, 10 s, independent implementation (NEST 3.10 agrees, 1 s).
SCALED_RATES = dict(zip(NAMES, (0.496, 2.082, 3.984, 5.017, 6.473, 7.867, 0.828, 7.013), strict=True))

_NEURON = LIFExp()
_PSP = 0.15
_INHIBITION = -4.0
_LONGEST_DELAY = 6.3e-3


class WeakDriveWarning(UserWarning):
    """The constant drive lies below rheobase, so that most populations will be silent."""


def synapse_numbers(scale: float = 1.0) -> NDArray[np.int64]:
    r"""Synapses of each projection [target, source], thalamus last, at full or reduced in-degree.

    :math:`Q = \ln(1 - C) / \ln(1 - 1 / N_x N_y)` for connection probability C, times ``scale`` squared.

    Examples
    --------
    >>> int(synapse_numbers()[:, :8].sum())
    298880970
    """
    sources = np.append(SIZES, THALAMIC)
    full = np.log1p(-PROBABILITIES) / np.log1p(-1.0 / np.outer(SIZES, sources))
    if scale == 1.0:
        return np.asarray(np.rint(full), dtype=np.int64)
    # In-degrees and sizes both shrink: in-degree K f onto N f targets.
    sizes = _sizes(scale)
    numbers = np.rint(np.rint(full) / SIZES[:, None] * scale * sizes[:, None])
    return np.asarray(numbers, dtype=np.int64)


def potjans_diesmann(
    scale: float = 1.0,
    drive: Drive = "poisson",
    *,
    seed: int = 0,
    thalamus: bool = False,
    sd_l4_to_l23: float = 0.1,
) -> Network:
    """The microcircuit under 1 mm² of early sensory cortex: 77,169 neurons, 298,880,970 synapses.

    Parameters
    ----------
    scale : float
        Of sizes and in-degrees; weights then grow by 1/sqrt(scale), and a constant current replaces the mean
        input that is lost. Rates are lower than at full size, as correlations are not preserved.
    drive : {"poisson", "dc"}
        Background as Poisson events of each neuron, or as their mean current.
    seed : int
    thalamus : bool
        902 Poisson neurons that fire at 120 spikes/s for 10 ms from 0.7 s on.
    sd_l4_to_l23 : float
        Standard deviation of the doubled weights L4E to L23E, relative to their mean (the original code and
        GeNN have 0.05).

    Returns
    -------
    Network

    Raises
    ------
    ConfigError
        For a scale outside (0, 1] or an unknown drive.

    Warns
    -----
    WeakDriveWarning
        If a constant drive is below rheobase (375 pA), as at scale 0.1: the network is then silent.

    Examples
    --------
    >>> net = potjans_diesmann(scale=0.02)
    >>> net.n_neurons, net.populations[0].name
    (1544, 'L23E')
    """
    if not 0 < scale <= 1 or drive not in get_args(Drive):
        raise ConfigError(f"scale={scale}, drive={drive!r}: expected 0 < scale <= 1 and 'poisson' or 'dc'")
    psc = exponential_peak_current(_PSP, _NEURON.tau_m, _NEURON.tau_syn[0], _NEURON.capacitance)
    currents = _constant_currents(scale, drive, psc)
    if drive == "dc" and (currents < _NEURON.rheobase).any():
        weak = [name for name, value in zip(NAMES, currents, strict=True) if value < _NEURON.rheobase]
        warnings.warn(
            f"at scale {scale} the constant drive of {', '.join(weak)} is below rheobase "
            f"({_NEURON.rheobase:.0f} pA): these populations will hardly fire; use drive='poisson'",
            WeakDriveWarning,
            stacklevel=2,
        )
    populations = []
    for i, (name, size) in enumerate(zip(NAMES, _sizes(scale), strict=True)):
        rate = EXTERNAL_RATE * EXTERNAL[i] * scale
        events = PoissonDrive(rate, psc / np.sqrt(scale)) if drive == "poisson" else None
        start = {"v": Normal(INITIAL_MEANS[i], INITIAL_SDS[i])}
        populations.append(
            Population(name, int(size), _NEURON, drive=events, current=float(currents[i]), initial=start)
        )
    sources = [PoissonSource("thalamus", THALAMIC, 120.0, 0.7, 0.71)] if thalamus else []
    return Network(
        populations,
        _projections(scale, psc, thalamus, sd_l4_to_l23),
        sources,
        dt=1e-4,
        seed=seed,
        name=f"potjans-diesmann-{scale:g}-{drive}",
    )


def _sizes(scale: float) -> NDArray[np.int64]:
    return np.asarray(SIZES if scale == 1.0 else np.rint(SIZES * scale).astype(np.int64))


def _projections(scale: float, psc: float, thalamus: bool, sd_l4_to_l23: float) -> list[Projection]:
    numbers = synapse_numbers(scale)
    found = []
    for source, name in enumerate((*NAMES, "thalamus") if thalamus else NAMES):
        inhibitory = source % 2 == 1
        mean = psc * (_INHIBITION if inhibitory else 1.0) / np.sqrt(scale)
        delay = 0.75e-3 if inhibitory else 1.5e-3
        for target, target_name in enumerate(NAMES):
            if numbers[target, source] == 0:
                continue
            doubled = (target, source) == (0, 2)
            weight, sd = (2 * mean, sd_l4_to_l23) if doubled else (mean, 0.1)
            low, high = (-np.inf, 0.0) if inhibitory else (0.0, np.inf)
            found.append(
                Projection(
                    name,
                    target_name,
                    FixedTotal(int(numbers[target, source])),
                    Normal(weight, abs(weight) * sd, low, high),
                    Normal(delay, delay / 2, 1e-4, _LONGEST_DELAY),
                )
            )
    return found


def _constant_currents(scale: float, drive: Drive, psc: float) -> Array:
    """Mean of the external input for constant drive, and what down-scaling takes away, pA."""
    tau = _NEURON.tau_syn[0]
    external = tau * psc * EXTERNAL * EXTERNAL_RATE
    mean_weights = psc * np.where(np.arange(8) % 2, _INHIBITION, 1.0) * np.ones((8, 1))
    mean_weights[0, 2] *= 2
    in_degrees = synapse_numbers()[:, :8] / SIZES[:, None]
    recurrent = tau * (mean_weights * in_degrees) @ np.array(list(FULL_RATES.values()))
    lost = 1 - np.sqrt(scale)
    if drive == "dc":
        # Weights / sqrt(f) times inputs f: the mean arrives reduced by sqrt(f), and is made up for.
        return np.asarray(external * np.sqrt(scale) + lost * (recurrent + external))
    return np.asarray(lost * (recurrent + external))
