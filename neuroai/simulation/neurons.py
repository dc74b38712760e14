"""Neuron models: their constants in the field's units, and the coefficients of one step of them.

Times in seconds; potentials in mV, currents in pA, conductances in nS, capacitances in pF. Models with exact
integration hold their potential relative to rest; :meth:`Neuron.offset` is what to add.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from neuroai.errors import ConfigError
from neuroai.simulation.propagators import alpha_propagator, exponential_propagator, membrane_propagator
from neuroai_kernels.neuron_update import Kind

__all__ = [
    "ALIF",
    "COBA",
    "HH",
    "AdEx",
    "Izhikevich",
    "LIFAlpha",
    "LIFDelta",
    "LIFExp",
    "Neuron",
]

_MS = 1e3


class Neuron(Protocol):
    """What a population needs to know of its model."""

    @property
    def kind(self) -> Kind:
        """Which update."""
        ...

    @property
    def channels(self) -> int:
        """Synaptic channels: 1, or 2."""
        ...

    @property
    def offset(self) -> float:
        """Absolute potential, mV, of a stored potential of 0."""
        ...

    def coefficients(self, step: float) -> Mapping[str, float]:
        """By the names of `neuroai_kernels.neuron_update.table`, for steps of ``step`` seconds."""
        ...

    def rest_state(self) -> Mapping[str, float]:
        """Variables at rest, potentials absolute; what is not named is 0."""
        ...


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not np.all(np.asarray(value) > 0):
            raise ConfigError(f"{type(owner).__name__}: {name}={value}: expected above 0")


def _steps(refractory: float, step: float) -> float:
    if refractory < 0:
        raise ConfigError(f"refractory={refractory} s: expected 0 or more")
    return float(round(refractory / step))


@dataclass(frozen=True)
class _LIF:
    """Leaky integrate-and-fire membrane: tau dv/dt = -v + R I, spike at threshold, reset, refractoriness.

    Parameters
    ----------
    tau_m : float
        Membrane time constant, seconds.
    capacitance : float
        pF; with tau_m it gives the resistance R = tau_m / C.
    rest, threshold, reset : float
        mV.
    refractory : float
        Seconds, rounded to steps.
    """

    tau_m: float = 10e-3
    capacitance: float = 250.0
    rest: float = -65.0
    threshold: float = -50.0
    reset: float = -65.0
    refractory: float = 2e-3

    def __post_init__(self) -> None:
        """Refuse constants without meaning."""
        _positive(self, "tau_m", "capacitance")
        if self.reset >= self.threshold:
            raise ConfigError(f"reset={self.reset} mV is not below threshold={self.threshold} mV")

    @property
    def offset(self) -> float:
        """Potentials are stored relative to rest."""
        return self.rest

    @property
    def rheobase(self) -> float:
        """Smallest constant current that makes it fire, pA."""
        return (self.threshold - self.rest) * self.capacitance / (self.tau_m * _MS)

    def rest_state(self) -> Mapping[str, float]:
        """Variables at rest."""
        return {"v": self.rest}

    def _membrane(self, step: float) -> dict[str, float]:
        p22, p20 = membrane_propagator(step, self.tau_m, self.capacitance)
        return {
            "threshold": self.threshold - self.rest,
            "reset": self.reset - self.rest,
            "refractory": _steps(self.refractory, step),
            "current_gain": p20,
            "p22": p22,
        }


@dataclass(frozen=True)
class LIFDelta(_LIF):
    """LIF neuron whose synapses move the potential at once; weights in mV."""

    kind: ClassVar[Kind] = Kind.LIF_DELTA
    channels: ClassVar[int] = 1

    def coefficients(self, step: float) -> Mapping[str, float]:
        """Coefficients of a step of ``step`` seconds."""
        return self._membrane(step)


@dataclass(frozen=True)
class LIFExp(_LIF):
    """LIF neuron with exponentially decaying synaptic currents; weights in pA.

    Parameters
    ----------
    tau_syn : tuple of one or two floats
        Seconds, one for each channel.
    """

    tau_syn: tuple[float, ...] = (0.5e-3,)
    kind: ClassVar[Kind] = Kind.LIF_EXP

    def __post_init__(self) -> None:
        """Refuse constants without meaning."""
        super().__post_init__()
        _check_channels(self, self.tau_syn)

    @property
    def channels(self) -> int:
        """One for each synaptic time constant."""
        return len(self.tau_syn)

    def coefficients(self, step: float) -> Mapping[str, float]:
        """Coefficients of a step of ``step`` seconds."""
        found = self._membrane(step)
        for channel, tau in enumerate(self.tau_syn):
            p11, p21 = exponential_propagator(step, self.tau_m, tau, self.capacitance)
            found |= {f"p11_{channel}": p11, f"p21_{channel}": p21}
        return found


@dataclass(frozen=True)
class LIFAlpha(_LIF):
    """LIF neuron with alpha-shaped synaptic currents that peak at the weight, in pA, after tau_syn.

    Parameters
    ----------
    tau_syn : tuple of one or two floats
        Seconds, one for each channel.
    """

    tau_syn: tuple[float, ...] = (0.5e-3,)
    kind: ClassVar[Kind] = Kind.LIF_ALPHA

    def __post_init__(self) -> None:
        """Refuse constants without meaning."""
        super().__post_init__()
        _check_channels(self, self.tau_syn)

    @property
    def channels(self) -> int:
        """One for each synaptic time constant."""
        return len(self.tau_syn)

    def coefficients(self, step: float) -> Mapping[str, float]:
        """Coefficients of a step of ``step`` seconds."""
        found = self._membrane(step)
        for channel, tau in enumerate(self.tau_syn):
            a = alpha_propagator(step, self.tau_m, tau, self.capacitance)
            parts = (a[0, 0], a[1, 0], a[2, 0], a[2, 1], math.e / (tau * _MS))
            names = ("p11", "p21", "p31", "p32", "scale")
            found |= {f"{n}_{channel}": float(p) for n, p in zip(names, parts, strict=True)}
        return found


def _check_channels(owner: object, tau_syn: tuple[float, ...]) -> None:
    if len(tau_syn) not in (1, 2):
        raise ConfigError(f"{type(owner).__name__}: {len(tau_syn)} synaptic time constants: expected 1 or 2")
    _positive(owner, "tau_syn")


@dataclass(frozen=True)
class _Conducting:
    """Membrane with leak and two synaptic conductances (channels 0: excitatory, 1: inhibitory; nS)."""

    capacitance: float = 200.0
    g_leak: float = 10.0
    rest: float = -60.0
    e_excitatory: float = 0.0
    e_inhibitory: float = -80.0
    tau_excitatory: float = 5e-3
    tau_inhibitory: float = 10e-3
    channels: ClassVar[int] = 2
    offset: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        """Refuse constants without meaning."""
        _positive(self, "capacitance", "g_leak", "tau_excitatory", "tau_inhibitory")

    def rest_state(self) -> Mapping[str, float]:
        """Variables at rest."""
        return {"v": self.rest}

    def _conductances(self, step: float, substeps: int = 1) -> dict[str, float]:
        return {
            "current_gain": 1.0,
            "g_l": self.g_leak,
            "e_l": self.rest,
            "e_e": self.e_excitatory,
            "e_i": self.e_inhibitory,
            "decay_e": float(np.exp(-step / self.tau_excitatory)),
            "decay_i": float(np.exp(-step / self.tau_inhibitory)),
            "step_over_c": step / substeps * _MS / self.capacitance,
        }


@dataclass(frozen=True)
class COBA(_Conducting):
    """LIF neuron with conductance synapses: C v' = g_L (E_L - v) + g_e (E_e - v) + g_i (E_i - v) + I."""

    threshold: float = -50.0
    reset: float = -60.0
    refractory: float = 5e-3
    kind: ClassVar[Kind] = Kind.LIF_COBA

    def coefficients(self, step: float) -> Mapping[str, float]:
        """Coefficients of a step of ``step`` seconds."""
        own = {
            "threshold": self.threshold,
            "reset": self.reset,
            "refractory": _steps(self.refractory, step),
        }
        return own | self._conductances(step)


@dataclass(frozen=True)
class AdEx(_Conducting):
    """Adaptive exponential integrate-and-fire neuron (Brette and Gerstner, 2005) with conductance synapses.

    C v' = -g_L (v - E_L) + g_L D e^{(v - V_T) / D} - w + I; tau_w w' = a (v - E_L) - w; at v >= v_peak:
    v = reset, w += b.
    """

    capacitance: float = 281.0
    g_leak: float = 30.0
    rest: float = -70.6
    e_excitatory: float = 0.0
    e_inhibitory: float = -85.0
    tau_excitatory: float = 0.2e-3
    tau_inhibitory: float = 2e-3
    v_t: float = -50.4
    delta_t: float = 2.0
    a: float = 4.0
    b: float = 80.5
    tau_w: float = 144e-3
    reset: float = -60.0
    v_peak: float = 0.0
    refractory: float = 0.0
    substeps: int = 4
    kind: ClassVar[Kind] = Kind.ADEX

    def coefficients(self, step: float) -> Mapping[str, float]:
        """Coefficients of a step of ``step`` seconds."""
        own = {
            "threshold": self.v_peak,
            "reset": self.reset,
            "refractory": _steps(self.refractory, step),
            "delta_t": self.delta_t,
            "v_t": self.v_t,
            "a": self.a,
            "b": self.b,
            "w_decay": float(np.exp(-step / self.substeps / self.tau_w)),
            "substeps": float(self.substeps),
        }
        return own | self._conductances(step, self.substeps)


@dataclass(frozen=True)
class HH(_Conducting):
    """Hodgkin-Huxley neuron of Traub and Miles (1991), as in Brette et al. (2007); spikes cross threshold.

    Substeps are at most 0.05 ms long. ``refractory`` only keeps one crossing from being counted twice.
    """

    g_sodium: float = 20e3
    g_potassium: float = 6e3
    e_sodium: float = 50.0
    e_potassium: float = -90.0
    v_t: float = -63.0
    threshold: float = -20.0
    refractory: float = 3e-3
    kind: ClassVar[Kind] = Kind.HH

    def coefficients(self, step: float) -> Mapping[str, float]:
        """Coefficients of a step of ``step`` seconds."""
        substeps = max(1, int(np.ceil(step / 0.05e-3 - 1e-9)))
        own = {
            "threshold": self.threshold,
            "refractory": _steps(self.refractory, step),
            "g_na": self.g_sodium,
            "g_k": self.g_potassium,
            "e_na": self.e_sodium,
            "e_k": self.e_potassium,
            "v_t": self.v_t,
            "step_ms": step / substeps * _MS,
            "substeps": float(substeps),
        }
        return own | self._conductances(step, substeps)

    def rest_state(self) -> Mapping[str, float]:
        """Variables at rest."""
        return {"v": self.rest, "h": 1.0}


@dataclass(frozen=True)
class ALIF:
    """LIF neuron with a threshold that adapts (Bellec et al., 2018); weights are currents of one step, pA.

    v <- a v + (1 - a) R I - theta z; b <- rho b + (1 - rho) z; spike at v >= theta + beta b. b is
    the share of steps with a spike, so beta is large: 180 thresholds, as published.
    """

    tau_m: float = 20e-3
    resistance: float = 0.1
    threshold: float = 10.0
    tau_adaptation: float = 0.2
    beta: float = 1800.0
    refractory: float = 0.0
    kind: ClassVar[Kind] = Kind.ALIF
    channels: ClassVar[int] = 1
    offset: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        """Refuse constants without meaning."""
        _positive(self, "tau_m", "resistance", "threshold", "tau_adaptation")

    def coefficients(self, step: float) -> Mapping[str, float]:
        """Coefficients of a step of ``step`` seconds."""
        gain = -float(np.expm1(-step / self.tau_m)) * self.resistance
        return {
            "threshold": self.threshold,
            "refractory": _steps(self.refractory, step),
            "current_gain": gain,
            "p22": float(np.exp(-step / self.tau_m)),
            "rho": float(np.exp(-step / self.tau_adaptation)),
            "beta": self.beta,
            "gain": gain,
        }

    def rest_state(self) -> Mapping[str, float]:
        """Variables at rest."""
        return {}


@dataclass(frozen=True)
class Izhikevich:
    """v' = 0.04 v^2 + 5 v + 140 - u + I, u' = a (b v - u) in ms; at v >= 30: v = c, u += d.

    Izhikevich (2003). Weights are currents of one step. At steps of 0.5 ms and more, v takes two half steps,
    as the original.
    """

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0
    kind: ClassVar[Kind] = Kind.IZHIKEVICH
    channels: ClassVar[int] = 1
    offset: ClassVar[float] = 0.0

    def coefficients(self, step: float) -> Mapping[str, float]:
        """Coefficients of a step of ``step`` seconds."""
        return {
            "threshold": 30.0,
            "reset": self.c,
            "current_gain": 1.0,
            "a": self.a,
            "b": self.b,
            "d": self.d,
            "step_ms": step * _MS,
            "halves": 2.0 if step >= 0.5e-3 else 1.0,
        }

    def rest_state(self) -> Mapping[str, float]:
        """Variables at rest."""
        return {"v": self.c, "u": self.b * self.c}
