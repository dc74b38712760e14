"""Dendritic segments as projections: coincident input on one segment starts a plateau of current.

Activity is collected over windows of a few milliseconds. Where at least ``threshold`` sources of one of a
neuron's segments fired in a window, the neuron receives the plateau current during the next one. Overlaps are
counted by `neuroai_kernels.segment_overlap`, the kernel of the dendritic models.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai_kernels.segment_overlap import SegmentIndex, segment_responses

if TYPE_CHECKING:
    from neuroai.simulation.network import Network

__all__ = ["Plateaus", "SegmentProjection"]


@dataclass(frozen=True)
class SegmentProjection:
    """Segments on the neurons of one population that watch another.

    Parameters
    ----------
    source, target : str
        Populations.
    synapses : int array (n_targets * n_per_neuron, n_synapses)
        Source neuron of each synapse within its population, -1 for none; segments ``i * n_per_neuron`` and on
        belong to target neuron i.
    threshold : int
        Active synapses that start a plateau.
    current : float
        Of the plateau, pA.
    n_per_neuron : int
        Segments a neuron.
    window : float
        Seconds over which activity counts as coincident, and that a plateau lasts; all segment projections
        of a network share it.
    """

    source: str
    target: str
    synapses: NDArray[np.int32] = field(repr=False)
    threshold: int
    current: float
    n_per_neuron: int = 1
    window: float = 5e-3


class Plateaus:
    """What a simulation keeps for its segments: who fired in this window, plateaus of the last."""

    def __init__(self, network: "Network") -> None:
        starts = np.cumsum([0, *(population.size for population in network.populations)])
        self._places = {
            p.name: slice(int(start), int(start) + p.size)
            for p, start in zip(network.populations, starts, strict=False)
        }
        self.projections = tuple(network.segments)
        self._indices = [self._index(projection) for projection in self.projections]
        windows = {round(projection.window / network.dt) for projection in self.projections}
        if len(windows) > 1 or 0 in windows:
            raise ConfigError(f"windows of {sorted(windows)} steps: expected one of at least a step for all")
        self.window = windows.pop() if windows else 0
        self.active = torch.zeros(int(starts[-1]), dtype=torch.bool)
        self.current = torch.zeros(int(starts[-1]))

    def _index(self, projection: SegmentProjection) -> SegmentIndex:
        for name in (projection.source, projection.target):
            if name not in self._places:
                raise ConfigError(f"segments from or to {name!r}: populations: {', '.join(self._places)}")
        synapses = torch.from_numpy(np.ascontiguousarray(projection.synapses, dtype=np.int32))
        targets = self._places[projection.target]
        expected = (targets.stop - targets.start) * projection.n_per_neuron
        if synapses.ndim != 2 or len(synapses) != expected:
            raise ConfigError(
                f"segments of {projection.target!r}: synapses have shape {tuple(synapses.shape)}: expected "
                f"({expected}, n), {projection.n_per_neuron} for each neuron"
            )
        source = self._places[projection.source]
        return SegmentIndex(synapses, source.stop - source.start)

    def next_border(self, step: int) -> int:
        """First step after ``step`` at which a window ends."""
        return (step // self.window + 1) * self.window

    def collect(self, neurons: NDArray[np.int32]) -> None:
        """Note who fired."""
        self.active[torch.from_numpy(neurons.astype(np.int64))] = True

    def close_window(self) -> None:
        """Start the plateaus that this window's activity calls for, and forget the activity."""
        self.current.zero_()
        for projection, index in zip(self.projections, self._indices, strict=True):
            heard = self.active[self._places[projection.source]]
            found = segment_responses(heard[None], index, projection.threshold, projection.n_per_neuron)
            self.current[self._places[projection.target]] += projection.current * found.active[0]
        self.active.zero_()

    def state(self) -> dict[str, Tensor]:
        """What changes, by name."""
        return {"active": self.active, "current": self.current}
