"""The plastic network of NEST's weak-scaling benchmark (hpc_benchmark): power-law STDP from E to E."""

from neuroai.errors import ConfigError
from neuroai.simulation.distributions import Normal
from neuroai.simulation.network import Network, PoissonDrive, Population, Projection
from neuroai.simulation.neurons import LIFAlpha
from neuroai.simulation.propagators import alpha_peak_current
from neuroai.simulation.rules import FixedIndegree
from neuroai.simulation.theory import alpha_threshold_rate
from neuroai_kernels.stdp import StdpRule

__all__ = ["plastic"]

_NEURON = LIFAlpha(
    tau_m=10e-3,
    capacitance=250.0,
    rest=0.0,
    threshold=20.0,
    reset=0.0,
    refractory=0.5e-3,
    tau_syn=(0.32582722e-3,),
)
_J, _G, _DELAY, _ETA = 0.14, -5.0, 1.5e-3, 1.685
_IN_DEGREES = {"E": 9000, "I": 2250}


def plastic(
    scale: float = 1.0, *, in_degree: float = 1.0, w_0: float = 1.0, stdp: bool = True, seed: int = 0
) -> Network:
    """9,000 excitatory and 2,250 inhibitory neurons, 126.6 million synapses, 81 million of them plastic.

    Parameters
    ----------
    scale : float
        Of the numbers of neurons. In-degrees stay, as in the benchmark.
    in_degree : float
        Of the in-degrees, for small tests; the drive stays, so that rates change.
    w_0 : float
        Reference weight of the power law, pA; 1 by Morrison, Aertsen and Diesmann (2007).
    stdp : bool
        Without, the same network with fixed weights.
    seed : int

    Returns
    -------
    Network

    Raises
    ------
    ConfigError
        For scales that leave no neurons or inputs.

    Examples
    --------
    >>> net = plastic(0.01, in_degree=0.01)
    >>> net.n_neurons, net.projections[0].plasticity.tau_plus
    (112, 0.015)
    """
    sizes = {"E": round(9000 * scale), "I": round(2250 * scale)}
    degrees = {name: round(degree * in_degree) for name, degree in _IN_DEGREES.items()}
    if min(*sizes.values(), *degrees.values()) < 1:
        raise ConfigError(f"scale={scale}, in_degree={in_degree}: populations {sizes}, in-degrees {degrees}")
    weight = alpha_peak_current(_J, _NEURON.tau_m, _NEURON.tau_syn[0], _NEURON.capacitance)
    rule = StdpRule.power_law(0.1, 0.0513, 0.4, w_0=w_0, tau_plus=15e-3, tau_minus=30e-3)
    drive = PoissonDrive(_ETA * alpha_threshold_rate(weight, _NEURON), weight)
    populations = [
        Population(name, size, _NEURON, drive=drive, initial={"v": Normal(5.7, 7.2)})
        for name, size in sizes.items()
    ]
    projections = [
        Projection(
            source,
            target,
            FixedIndegree(degrees[source]),
            weight * (1.0 if source == "E" else _G),
            _DELAY,
            plasticity=rule if stdp and source == target == "E" else None,
        )
        for source in sizes
        for target in sizes
    ]
    name = f"plastic-{scale:g}" if stdp else f"plastic-{scale:g}-fixed"
    return Network(populations, projections, dt=1e-4, seed=seed, name=name)
