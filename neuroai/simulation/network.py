"""Networks declared in plain Python: populations, external sources, projections between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neuroai.errors import ConfigError
from neuroai.simulation.distributions import Distribution
from neuroai.simulation.neurons import Neuron
from neuroai.simulation.rules import ConnectionRule
from neuroai.simulation.segments import SegmentProjection
from neuroai.simulation.sources import PoissonSource, SpikeSource

if TYPE_CHECKING:
    from torch import Tensor

    from neuroai.simulation.layout import Layout
    from neuroai.simulation.simulation import Progress, Simulation
    from neuroai_datasets import Recording
    from neuroai_kernels.stdp import StdpRule

__all__ = ["Network", "PoissonDrive", "Population", "Projection"]


@dataclass(frozen=True)
class PoissonDrive:
    """Independent Poisson events for every neuron of a population, drawn inside the update.

    Parameters
    ----------
    rate : float
        Events/s of each neuron (several inputs add up to one process).
    weight : float
        What an event adds to the channel: mV, pA or nS by the model.
    channel : int
        0 or 1.
    """

    rate: float
    weight: float
    channel: int = 0


def _finite(where: str, **values: Any) -> None:
    """Refuse NaN and infinity: they would spread through the network without a word."""
    for name, value in values.items():
        number = value.quantile(np.zeros(1)) if hasattr(value, "quantile") else value
        if not np.isfinite(number).all():
            raise ConfigError(f"{where}: {name}={value}: expected finite numbers")


@dataclass(frozen=True)
class Population:
    """Neurons of one model with the same constants.

    Parameters
    ----------
    name : str
        Unique in the network.
    size : int
    neuron : Neuron
        Model and constants; see `neuroai.simulation.neurons`.
    drive : PoissonDrive, optional
    current : float or array (size,)
        Constant current, pA.
    noise : float
        Standard deviation of a current that is drawn anew each step, pA.
    initial : mapping of str to float or Distribution
        Variables at time 0, potentials absolute; the rest start at rest.
    """

    name: str
    size: int
    neuron: Neuron
    drive: PoissonDrive | None = None
    current: float | npt.NDArray[np.float64] = 0.0
    noise: float = 0.0
    initial: Mapping[str, float | Distribution] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse empty populations and currents of another size."""
        if self.size < 1:
            raise ConfigError(f"population {self.name!r} has {self.size} neurons: expected 1 or more")
        if np.ndim(self.current) and np.shape(self.current) != (self.size,):
            raise ConfigError(
                f"population {self.name!r}: current has shape {np.shape(self.current)}: expected one number "
                f"or ({self.size},)"
            )
        where = f"population {self.name!r}"
        _finite(where, noise=self.noise)
        if self.drive is not None:
            _finite(where, rate=self.drive.rate, weight=self.drive.weight)
            if self.drive.rate < 0:
                raise ConfigError(f"{where}: rate={self.drive.rate} of its drive: expected 0 or more")


@dataclass(frozen=True)
class Projection:
    """Synapses from a population or source to a population.

    Parameters
    ----------
    source, target : str
        Names.
    rule : ConnectionRule
        Which pairs; see `neuroai.simulation.rules`.
    weight : float or Distribution
        mV, pA or nS by the target's model; inhibitory currents are negative, conductances never.
    delay : float or Distribution
        Seconds, rounded to the grid of steps and at least one step: a spike acts one step after it was
        found at the earliest. A delay of 0 is refused.
    channel : int
        Synaptic channel of the target; for conductances 0 is excitatory, 1 inhibitory.
    plasticity : StdpRule, optional
        Pair-based STDP; weights are then stored, and change.
    """

    source: str
    target: str
    rule: ConnectionRule
    weight: float | Distribution
    delay: float | Distribution
    channel: int = 0
    plasticity: "StdpRule | None" = None


@dataclass
class Network:
    """A network of spiking neurons.

    Parameters
    ----------
    populations : sequence of Population
    projections : sequence of Projection
    sources : sequence of SpikeSource or PoissonSource
        External inputs that projections may start from.
    segments : sequence of SegmentProjection
        Dendritic segments, whose coincident input starts plateaus of current.
    dt : float
        Seconds; the grid of all times.
    seed : int
        Of synapses, initial state and drives.
    name : str

    Raises
    ------
    ConfigError
        For names that are not unique or not there, channels a model does not have, delays of 0.

    Examples
    --------
    >>> from neuroai.simulation import LIFExp, Network, Population, Projection, FixedIndegree
    >>> net = Network(
    ...     [Population("E", 100, LIFExp(), current=500.0)],
    ...     [Projection("E", "E", FixedIndegree(10), weight=20.0, delay=1.5e-3)],
    ... )
    >>> recording = net.run(0.1)
    >>> recording.n_targets, recording.spikes.n_spikes > 100
    (100, True)
    """

    populations: Sequence[Population]
    projections: Sequence[Projection] = ()
    sources: Sequence[SpikeSource | PoissonSource] = ()
    segments: Sequence[SegmentProjection] = ()
    dt: float = 1e-4
    seed: int = 0
    name: str = "network"
    _stepping: "Simulation | None" = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check names, channels and delays at once, not when the run starts."""
        names = [part.name for part in (*self.populations, *self.sources)]
        if not self.populations or len(set(names)) < len(names):
            raise ConfigError(f"populations and sources {names}: expected at least one, with distinct names")
        for projection in self.projections:
            self._check(projection, set(names))

    def _check(self, projection: Projection, names: set[str]) -> None:
        targets = {population.name: population for population in self.populations}
        where = f"projection {projection.source!r} -> {projection.target!r}"
        if projection.source not in names or projection.target not in targets:
            raise ConfigError(
                f"{where}: sources there are: {', '.join(sorted(names))}; targets: {', '.join(targets)}"
            )
        channels = targets[projection.target].neuron.channels
        if not 0 <= projection.channel < channels:
            raise ConfigError(f"{where}: channel={projection.channel}, but the target's model has {channels}")
        _finite(where, weight=projection.weight, delay=projection.delay)
        if isinstance(projection.delay, int | float) and projection.delay < self.dt / 2:
            raise ConfigError(
                f"{where}: delay={projection.delay} s: a spike acts one step after it was found at the "
                f"earliest, so the shortest delay is dt, {self.dt} s"
            )

    @property
    def n_neurons(self) -> int:
        """Neurons of all populations."""
        return sum(population.size for population in self.populations)

    def layout(self) -> "Layout":
        """Indices, coefficients and initial state; synapses are not drawn yet."""
        from neuroai.simulation.build import lay_out

        return lay_out(self)

    def simulation(self, device: str = "cpu", **options: Any) -> "Simulation":
        """The network built on a device, at time 0; see :class:`~neuroai.simulation.Simulation`."""
        from neuroai.simulation.simulation import Simulation

        return Simulation(self, device=device, **options)

    def run(
        self, seconds: float, *, device: str = "cpu", progress: "Progress | None" = None, **options: Any
    ) -> "Recording":
        """Build the network and run it from time 0.

        Parameters
        ----------
        seconds : float
            Simulated time.
        device : str
            ``"cpu"`` or a CUDA device.
        progress : callable, optional
            Called as ``progress(stage, done, total)``.
        **options
            See :class:`~neuroai.simulation.Simulation`.

        Returns
        -------
        Recording
            Spikes of all neurons; ``unit_coords`` hold ``population``.
        """
        return self.simulation(device, **options).run(seconds, progress=progress)

    def step(self, current: "Tensor | None" = None) -> "Tensor":
        """One step of a simulation that stays; see :meth:`~neuroai.simulation.Simulation.step`."""
        if self._stepping is None:
            self._stepping = self.simulation()
        return self._stepping.step(current)
