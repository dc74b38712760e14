"""How populations are laid out for one fused update: kinds, the order of their variables and coefficients."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc
from torch import Tensor

__all__ = [
    "COEFFICIENTS",
    "HELD",
    "PREFIX",
    "TAG_NOISE",
    "TAG_POISSON",
    "VARIABLES",
    "WIDTH",
    "Kind",
    "NeuronState",
    "PopulationTable",
    "poisson_thresholds",
]

# Stream tags of counter word 2 (tag << 24). Word 0 is neuron // 4 (the neuron takes word neuron % 4 of the
# four drawn), word 1 is 0, word 3 the step: one Philox call serves four neighbouring neurons.
TAG_POISSON = 0x40
TAG_NOISE = 0x41  # and the next, for the second number of Box-Muller


class Kind(IntEnum):
    """Neuron models; the number is what the compiled loops and the GPU branch on."""

    LIF_DELTA = 0
    LIF_EXP = 1
    LIF_ALPHA = 2
    LIF_COBA = 3
    ALIF = 4
    ADEX = 5
    IZHIKEVICH = 6
    HH = 7


#: Rows of ``NeuronState.variables``, by kind. Channel ``c`` of the arrivals goes to the row named for it.
VARIABLES: dict[Kind, tuple[str, ...]] = {
    Kind.LIF_DELTA: ("v",),
    Kind.LIF_EXP: ("v", "i_0", "i_1"),
    Kind.LIF_ALPHA: ("v", "rise_0", "i_0", "rise_1", "i_1"),
    Kind.LIF_COBA: ("v", "g_e", "g_i"),
    Kind.ALIF: ("v", "b", "z"),
    Kind.ADEX: ("v", "g_e", "g_i", "w"),
    Kind.IZHIKEVICH: ("v", "u"),
    Kind.HH: ("v", "g_e", "g_i", "m", "h", "n"),
}

#: Kinds whose potential stays at reset while the neuron is refractory; the others go on, without spiking.
HELD = (Kind.LIF_DELTA, Kind.LIF_EXP, Kind.LIF_ALPHA, Kind.LIF_COBA, Kind.ADEX)

#: Entries of every coefficient row, whatever the kind. Times in seconds, mV, pA, nS, pF.
PREFIX = (
    "threshold",  # a spike where v >= threshold after the step (HH: crossed upwards)
    "reset",
    "refractory",  # steps
    "drive",  # what the constant current adds to v in a step, mV (conductance kinds, Izhikevich: itself)
    "current_gain",  # the same for 1 pA of the extra current of each neuron
    "poisson_weight",  # added to the arrivals of poisson_channel for each event drawn
    "poisson_channel",
    "noise",  # standard deviation of white noise in a step, in the unit of drive
)

_CONDUCTANCES = ("g_l", "e_l", "e_e", "e_i", "decay_e", "decay_i", "step_over_c")

#: Entries after the prefix, by kind. With substeps, ``step_over_c``, ``w_decay``, ``step_ms`` are of one.
COEFFICIENTS: dict[Kind, tuple[str, ...]] = {
    Kind.LIF_DELTA: ("p22",),
    Kind.LIF_EXP: ("p22", "p11_0", "p21_0", "p11_1", "p21_1"),
    Kind.LIF_ALPHA: (
        "p22",
        *(f"{name}_{channel}" for channel in (0, 1) for name in ("p11", "p21", "p31", "p32", "scale")),
    ),
    Kind.LIF_COBA: _CONDUCTANCES,
    Kind.ALIF: ("p22", "rho", "beta", "gain"),
    Kind.ADEX: (*_CONDUCTANCES, "delta_t", "v_t", "a", "b", "w_decay", "substeps"),
    Kind.IZHIKEVICH: ("a", "b", "d", "step_ms", "halves"),
    Kind.HH: (*_CONDUCTANCES, "g_na", "g_k", "e_na", "e_k", "v_t", "step_ms", "substeps"),
}

WIDTH = len(PREFIX) + max(map(len, COEFFICIENTS.values()))


@dataclass(frozen=True)
class PopulationTable:
    """Populations that lie one after another in the index space of neurons, [0, n).

    Parameters
    ----------
    bounds : int64 tensor (p + 1,)
        Population ``i`` is neurons ``bounds[i]`` to ``bounds[i + 1]``; the last is n.
    kinds : int32 tensor (p,)
        :class:`Kind`.
    channels : int32 tensor (p,)
        Synaptic channels that the population reads, 1 or 2.
    coefficients : float tensor (p, WIDTH)
        :data:`PREFIX`, then :data:`COEFFICIENTS` of the kind, then 0; its dtype is that of the state.
    thresholds : uint32 tensor (p, k)
        Poisson drive: the count is the number of entries below the random word; 0xFFFFFFFF pads. k = 0 for
        networks without. See :func:`poisson_thresholds`.
    """

    bounds: Tensor
    kinds: Tensor
    channels: Tensor
    coefficients: Tensor
    thresholds: Tensor


@dataclass
class NeuronState:
    """What the update changes in place.

    Parameters
    ----------
    variables : float tensor (v, n)
        Rows by :data:`VARIABLES` of the neuron's kind; v is the most that any kind present needs.
    free_at : int32 tensor (n,)
        First step in which the neuron integrates again: after a spike in step k it is
        ``k + 1 + refractory``.
    """

    variables: Tensor
    free_at: Tensor


def poisson_thresholds(mean: float) -> NDArray[np.uint32]:
    r"""Cumulative Poisson distribution on the scale of a random word, so that a count needs no arithmetic.

    Count :math:`= \sum_j [u > t_j]` with :math:`t_j = \mathrm{round}(2^{32} P(X \le j)) - 1` has the Poisson
    distribution to 2^-32, in whole numbers: the same on every device.

    Parameters
    ----------
    mean : float
        Events a step, above 0.

    Returns
    -------
    uint32 array
        Up to the last value that a 32-bit word can tell from 1.

    Examples
    --------
    >>> t = poisson_thresholds(1.2)
    >>> round(float((t.astype(float) + 1)[0] / 2**32), 6)
    0.301194
    """
    largest = int(mean + 12 * np.sqrt(mean) + 20)
    tail = pdtrc(np.arange(largest), mean)
    scaled = np.rint((1 - tail) * 2.0**32) - 1
    return np.asarray(scaled[scaled < 2.0**32 - 1].clip(0), dtype=np.uint32)
