"""What a network is once it is laid out: one index space of neurons, one of synapse rows, one ring.

Everything that runs a network (the compiled CPU loop, the GPU graph, the ranks of a distributed run) reads
this and nothing else.

Notes
-----
Time. Step ``k`` takes the network from ``k h`` to ``(k + 1) h``; a spike found in it carries time
``(k + 1) h``. A synapse with delay ``d >= 1`` steps adds its weight to slot ``(k + d) & (slots - 1)`` of the
ring; the update of step ``k`` reads slot ``k & (slots - 1)`` and zeroes it. Spikes of external sources at
time ``t`` belong to step ``round(t / h) - 1``; those before step 0 are delivered before the first update.

Arithmetic. State is float32 unless asked otherwise. Products and sums are rounded one by one, in the order
that `neuroai_kernels.neuron_update.reference` writes them (no fused multiply-add), so that a CPU and a GPU
can agree bit by bit wherever the arrivals do. In deterministic runs the ring holds int32 multiples of
``quantum`` (`neuroai_kernels.spike_delivery.fixed_point`), and an arrival is ``float(whole) * quantum``.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels.connectivity import Connection, draw_rows, draw_runs
from neuroai_kernels.neuron_update import NeuronState, PopulationTable
from neuroai_kernels.spike_delivery import SynapseRows, SynapseRuns

if TYPE_CHECKING:
    from neuroai.simulation.plasticity import PlasticProjections

__all__ = ["Layout", "SourceSpikes", "SpikeSchedule", "ring_slots"]


@dataclass(frozen=True)
class SpikeSchedule:
    """Spikes of external sources, ordered by step.

    Parameters
    ----------
    steps : int32 array (n,)
        -1 or later.
    rows : int32 array (n,)
        Rows of the table, ``n_neurons`` or later; a row may occur several times in a step.
    """

    steps: NDArray[np.int32]
    rows: NDArray[np.int32]


class SourceSpikes(Protocol):
    """An external source: spikes that do not depend on the network."""

    @property
    def size(self) -> int:
        """Rows that it takes."""
        ...

    def between(
        self, first: int, last: int, step: float, key: tuple[int, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Step and element of the spikes in steps ``first <= k < last``, the same whatever the cut."""
        ...


@dataclass(frozen=True)
class Layout:
    """A network laid out, before its synapses are drawn.

    Parameters
    ----------
    step : float
        h, seconds.
    seed : int
        Key of all random numbers, drawn synapses and drives alike.
    populations : PopulationTable
        Kinds and coefficients.
    names : tuple of str
        Of the populations, in order.
    initial : NeuronState
        At time 0; runs start from a copy.
    connections : tuple of Connection
        Projections that are drawn from counters.
    explicit : SynapseRows or None
        Synapses given one by one, with the same rows and inputs.
    sources : tuple of SourceSpikes
        External sources; their rows follow the neurons', in order.
    n_channels : int
        Most synaptic channels that any population reads.
    slots : int
        Slots of the ring, a power of two above the longest delay.
    current : float32 tensor (n_neurons,) or None
        Extra current of each neuron, pA.
    plastic : PlasticProjections or None
        Projections that learn; their synapses are in no other table.
    """

    step: float
    seed: int
    populations: PopulationTable
    names: tuple[str, ...]
    initial: NeuronState
    connections: tuple[Connection, ...]
    explicit: SynapseRows | None
    sources: tuple[SourceSpikes, ...]
    n_channels: int
    slots: int
    current: Tensor | None = None
    plastic: "PlasticProjections | None" = None

    @property
    def n_neurons(self) -> int:
        """Neurons of all populations."""
        return int(self.populations.bounds[-1])

    @property
    def n_rows(self) -> int:
        """Neurons and external sources."""
        return self.n_neurons + sum(source.size for source in self.sources)

    @property
    def n_inputs(self) -> int:
        """Flat input indices, ``channel * n_neurons + neuron``."""
        return self.n_channels * self.n_neurons

    def draw(self, device: torch.device | str = "cpu") -> SynapseRows:
        """All synapses in one table, each row sorted by delay, then target; 9 bytes a synapse."""
        drawn = draw_rows(list(self.connections), self.seed, self.n_rows, self.n_inputs, device=device)
        return drawn if self.explicit is None else _merged(drawn, self.explicit.to(device))

    def draw_runs(self) -> SynapseRuns:
        """All synapses in one table on the CPU, runs in place of delays; 8 bytes a synapse."""
        if self.explicit is not None:
            return SynapseRuns.from_rows(self.draw())
        return draw_runs(list(self.connections), self.seed, self.n_rows, self.n_inputs)

    def schedule(self, first: int, last: int) -> SpikeSchedule:
        """External spikes of steps ``first <= k < last``, ordered by step."""
        steps, rows, offset = [np.empty(0, np.int64)], [np.empty(0, np.int64)], self.n_neurons
        for number, source in enumerate(self.sources):
            found, elements = source.between(first, last, self.step, (self.seed, number))
            steps.append(found)
            rows.append(elements + offset)
            offset += source.size
        when, which = np.concatenate(steps), np.concatenate(rows)
        order = np.lexsort((which, when))
        return SpikeSchedule(when[order].astype(np.int32), which[order].astype(np.int32))


def _merged(first: SynapseRows, second: SynapseRows) -> SynapseRows:
    """Rows of two tables side by side, sorted by delay, then target."""
    indptr = first.indptr + second.indptr
    counts = [rows.indptr.diff() for rows in (first, second)]
    source = torch.cat([torch.repeat_interleave(count) for count in counts])
    target, weight, delay = (
        torch.cat([getattr(first, name), getattr(second, name)]) for name in ("targets", "weights", "delays")
    )
    order = torch.sort(target, stable=True).indices
    order = order[torch.sort((source << 8 | delay)[order], stable=True).indices]
    return SynapseRows(indptr, target[order], weight[order], delay[order])


def ring_slots(longest_delay: int) -> int:
    """The smallest power of two above the longest delay, in steps.

    Examples
    --------
    >>> ring_slots(63), ring_slots(64)
    (64, 128)
    """
    return 1 << max(int(longest_delay), 1).bit_length()
