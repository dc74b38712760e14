"""Large populations of spiking neurons: networks declared in plain Python, run by compiled loops.

Names are imported on first use.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neuroai.simulation import models as models
    from neuroai.simulation import theory as theory
    from neuroai.simulation.distributions import Lognormal as Lognormal
    from neuroai.simulation.distributions import Normal as Normal
    from neuroai.simulation.distributions import Uniform as Uniform
    from neuroai.simulation.memory import MemoryEstimate as MemoryEstimate
    from neuroai.simulation.memory import estimate_memory as estimate_memory
    from neuroai.simulation.network import Network as Network
    from neuroai.simulation.network import PoissonDrive as PoissonDrive
    from neuroai.simulation.network import Population as Population
    from neuroai.simulation.network import Projection as Projection
    from neuroai.simulation.neurons import ALIF as ALIF
    from neuroai.simulation.neurons import COBA as COBA
    from neuroai.simulation.neurons import HH as HH
    from neuroai.simulation.neurons import AdEx as AdEx
    from neuroai.simulation.neurons import Izhikevich as Izhikevich
    from neuroai.simulation.neurons import LIFAlpha as LIFAlpha
    from neuroai.simulation.neurons import LIFDelta as LIFDelta
    from neuroai.simulation.neurons import LIFExp as LIFExp
    from neuroai.simulation.rules import AllToAll as AllToAll
    from neuroai.simulation.rules import Bernoulli as Bernoulli
    from neuroai.simulation.rules import DistanceDependent as DistanceDependent
    from neuroai.simulation.rules import FixedIndegree as FixedIndegree
    from neuroai.simulation.rules import FixedOutdegree as FixedOutdegree
    from neuroai.simulation.rules import FixedTotal as FixedTotal
    from neuroai.simulation.rules import OneToOne as OneToOne
    from neuroai.simulation.rules import Pairs as Pairs
    from neuroai.simulation.segments import SegmentProjection as SegmentProjection
    from neuroai.simulation.simulation import SilentPopulationWarning as SilentPopulationWarning
    from neuroai.simulation.simulation import Simulation as Simulation
    from neuroai.simulation.sources import PoissonSource as PoissonSource
    from neuroai.simulation.sources import SpikeSource as SpikeSource

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["models", "theory"],
    submod_attrs={
        "distributions": ["Lognormal", "Normal", "Uniform"],
        "memory": ["MemoryEstimate", "estimate_memory"],
        "network": ["Network", "PoissonDrive", "Population", "Projection"],
        "neurons": ["ALIF", "COBA", "HH", "AdEx", "Izhikevich", "LIFAlpha", "LIFDelta", "LIFExp"],
        "rules": [
            "AllToAll",
            "Bernoulli",
            "DistanceDependent",
            "FixedIndegree",
            "FixedOutdegree",
            "FixedTotal",
            "OneToOne",
            "Pairs",
        ],
        "segments": ["SegmentProjection"],
        "simulation": ["SilentPopulationWarning", "Simulation"],
        "sources": ["PoissonSource", "SpikeSource"],
    },
)
