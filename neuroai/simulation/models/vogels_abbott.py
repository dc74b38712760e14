"""The self-sustained network of Vogels and Abbott (2005), J. Neurosci. 25:10786, in its two published forms.

The forms of Brette et al. (2007) (``"nest"``) and of Brian's examples (``"brian"``) differ in connection
rule, start and inhibitory weight, and so in rate: compare within a form only.
"""

from dataclasses import replace
from typing import Literal, get_args

from neuroai.errors import ConfigError
from neuroai.simulation.distributions import Normal, Uniform
from neuroai.simulation.network import Network, Population, Projection
from neuroai.simulation.neurons import COBA, LIFExp
from neuroai.simulation.rules import Bernoulli, FixedIndegree, OneToOne
from neuroai.simulation.sources import PoissonSource

__all__ = ["vogels_abbott"]

Kind = Literal["cuba", "coba"]
Form = Literal["nest", "brian"]

_SIZES = {"E": 3200, "I": 800}
_SHARE = 0.02
_TAU = (5e-3, 10e-3)
_CUBA = LIFExp(
    tau_m=20e-3, capacitance=200.0, rest=-49.0, threshold=-50.0, reset=-60.0, refractory=5e-3, tau_syn=_TAU
)
_RESISTANCE = 20.0 / 200.0  # tau_m / C in mV a pA
# Excitatory and inhibitory: pA (inhibition negative) and nS.
_CUBA_WEIGHTS = {"nest": (16.2, -139.5), "brian": (1.62 / _RESISTANCE, -9.0 / _RESISTANCE)}
_COBA_WEIGHTS = (6.0, 67.0)
_STEP = _DELAY = 1e-4
# Brian's neurons integrate again 5 ms after the step of their spike, NEST's one step later.
_REFRACTORY = 5e-3
_KICKED = 50


def vogels_abbott(kind: Kind = "cuba", form: Form = "brian", *, seed: int = 0) -> Network:
    """3,200 excitatory and 800 inhibitory neurons, two in a hundred of all pairs joined (320,000 synapses).

    Parameters
    ----------
    kind : {"cuba", "coba"}
        Synaptic currents, or conductances.
    form : {"nest", "brian"}
        ``"nest"``: 64 and 16 inputs each; from 1 to 51 ms 50 neurons are kicked by Poisson trains of 300
        spikes/s. ``"brian"``: each pair with probability 0.02, random start, weaker inhibition for cuba
        (-9 instead of -13.95 mV).
    seed : int

    Returns
    -------
    Network

    Raises
    ------
    ConfigError
        For an unknown kind or form.

    Notes
    -----
    Published rates over 1 s after 100 ms, spikes/s. cuba: nest 3.8, brian 5.6; coba: nest 14.9, brian 20.
    The delay is 0.1 ms in both (Brian's has none: a spike there acts one step earlier). Potentials integrate
    exactly (cuba) or by exponential Euler (coba).

    Examples
    --------
    >>> vogels_abbott("coba", "nest").name
    'vogels-abbott-coba-nest'
    """
    if kind not in get_args(Kind) or form not in get_args(Form):
        raise ConfigError(f"kind={kind!r}, form={form!r}: expected {get_args(Kind)} and {get_args(Form)}")
    neuron = _CUBA if kind == "cuba" else COBA(tau_excitatory=_TAU[0], tau_inhibitory=_TAU[1])
    if form == "brian":
        neuron = replace(neuron, refractory=_REFRACTORY - _STEP)
    weights = _CUBA_WEIGHTS[form] if kind == "cuba" else _COBA_WEIGHTS
    populations = [
        Population(name, size, neuron, initial=_start(kind, form)) for name, size in _SIZES.items()
    ]
    projections = [
        Projection(
            source,
            target,
            FixedIndegree(round(_SHARE * _SIZES[source])) if form == "nest" else Bernoulli(_SHARE),
            weights[channel],
            _DELAY,
            channel,
        )
        for channel, source in enumerate(_SIZES)
        for target in _SIZES
    ]
    sources = []
    if form == "nest":
        sources = [PoissonSource("kick", _KICKED, 300.0, 1e-3, 51e-3)]
        projections.append(Projection("kick", "E", OneToOne(), weights[0], _DELAY))
    return Network(
        populations, projections, sources, dt=_STEP, seed=seed, name=f"vogels-abbott-{kind}-{form}"
    )


def _start(kind: Kind, form: Form) -> dict[str, Normal | Uniform]:
    if form == "nest":
        return {}
    start: dict[str, Normal | Uniform] = {"v": Uniform(-60.0, -50.0)}
    if kind == "coba":
        # As published; a few excitatory conductances start below 0 and decay within milliseconds.
        start |= {"g_e": Normal(40.0, 15.0), "g_i": Normal(200.0, 120.0)}
    return start
