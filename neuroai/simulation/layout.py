"""What a network is once it is built: one index space of neurons, one table of synapse rows, one ring.

Everything that runs a network (the compiled CPU loop, the GPU graph, the ranks of a distributed run) reads
this and nothing else.

Notes
-----
Time. Step ``k`` takes the network from ``k h`` to ``(k + 1) h``; a spike found in it carries time
``(k + 1) h``. A synapse with delay ``d >= 1`` steps adds its weight to slot ``(k + d) & (slots - 1)`` of the
ring; the update of step ``k`` reads slot ``k & (slots - 1)`` and zeroes it. Spikes of external sources at
time ``t`` belong to step ``round(t / h) - 1``.

Arithmetic. State is float32 unless asked otherwise. Products and sums are rounded one by one, in the order
that `neuroai_kernels.neuron_update.reference` writes them (no fused multiply-add), so that a CPU and a GPU
can agree bit by bit wherever the arrivals do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neuroai_kernels.neuron_update.table import NeuronState, PopulationTable

__all__ = ["Layout", "RowTable", "SpikeSchedule", "ring_slots"]


@dataclass(frozen=True)
class RowTable:
    """Synapses of all projections by source, each row sorted by delay, then target.

    Parameters
    ----------
    indptr : int64 tensor (n_rows + 1,)
        Row ``i < n_neurons`` belongs to neuron ``i``; later rows are external sources.
    targets : int32 tensor (n_synapses,)
        ``channel * n_neurons + neuron``: where in a ring slot the weight is added.
    weights : float32 tensor (n_synapses,)
        pA, mV or nS, as the channel of the target's kind takes it.
    delays : uint8 tensor (n_synapses,)
        Steps, 1 to 255.
    """

    indptr: Tensor
    targets: Tensor
    weights: Tensor
    delays: Tensor

    @property
    def n_synapses(self) -> int:
        """Synapses of all rows."""
        return len(self.targets)

    @property
    def nbytes(self) -> int:
        """Bytes of the four arrays."""
        parts = (self.indptr, self.targets, self.weights, self.delays)
        return sum(part.numel() * part.element_size() for part in parts)


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


@dataclass(frozen=True)
class Layout:
    """A built network.

    Parameters
    ----------
    step : float
        h, seconds.
    populations : PopulationTable
        Kinds and coefficients.
    names : tuple of str
        Of the populations, in order.
    rows : RowTable
    n_channels : int
        Most synaptic channels that any population reads.
    slots : int
        Slots of the ring, a power of two above the longest delay.
    initial : NeuronState
        At time 0; runs start from a copy.
    seed : int
        Key of all dynamic random numbers.
    current : Tensor or None
        Extra current of each neuron, pA (n_neurons,), constant until changed by the caller.
    """

    step: float
    populations: PopulationTable
    names: tuple[str, ...]
    rows: RowTable
    n_channels: int
    slots: int
    initial: NeuronState
    seed: int
    current: Tensor | None = None

    @property
    def n_neurons(self) -> int:
        """Neurons of all populations."""
        return int(self.populations.bounds[-1])

    @property
    def n_rows(self) -> int:
        """Neurons and external sources."""
        return len(self.rows.indptr) - 1

    @property
    def ring_shape(self) -> tuple[int, int]:
        """(slots, n_channels * n_neurons)."""
        return self.slots, self.n_channels * self.n_neurons


def ring_slots(longest_delay: int) -> int:
    """The smallest power of two above the longest delay, in steps.

    Examples
    --------
    >>> ring_slots(63), ring_slots(64)
    (64, 128)
    """
    return 1 << max(int(longest_delay), 1).bit_length()
