"""One network on several processes: each owns a share of every population and the synapses onto it.

Ranks exchange which neurons spiked, a bit each, once in the shortest delay: a spike cannot act earlier. The
result does not depend on the number of ranks, because every neuron draws its own random numbers and adds its
arrivals in the same order wherever it lives. ``Simulation(network, distributed=True)`` runs on these engines.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.simulation.distributed_ranks import Ranks, join_ranks
from neuroai.simulation.engine import Spikes
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai_kernels.connectivity import draw_rows
from neuroai_kernels.connectivity.cpu import sort_rows
from neuroai_kernels.spike_delivery import SynapseRows, fixed_point, safe_quantum

__all__ = [
    "LONGEST_INTERVAL",
    "DistributedEngine",
    "distributed_engine",
    "refuse_plastic",
    "shares",
    "shortest_delay",
]

if TYPE_CHECKING:
    from neuroai.simulation.distributed_gpu import DistributedGpuEngine

#: Steps between two exchanges at most.
LONGEST_INTERVAL = 64


def refuse_plastic(layout: Layout) -> None:
    """Raise `ConfigError` if a network learns: several processes do not share that."""
    if layout.plastic is not None:
        raise ConfigError("plastic projections run in one process only: leave distributed=True out")


def shares(layout: Layout, rank: int, n_ranks: int) -> NDArray[np.int64]:
    """First and last neuron of a rank's share of each population, int64 (populations, 2).

    Equal parts of every population have nearly equal numbers of synapses, which is what costs.
    """
    bounds = layout.populations.bounds.numpy()
    sizes = np.diff(bounds)
    return np.stack(
        [bounds[:-1] + sizes * rank // n_ranks, bounds[:-1] + sizes * (rank + 1) // n_ranks], axis=1
    )


def shortest_delay(rows: SynapseRows, n_neurons: int, ranks: Ranks) -> int:
    """Of all ranks' synapses between neurons; external spikes are known to all beforehand."""
    last = int(rows.indptr[n_neurons])
    shortest = int(rows.delays[:last].min()) if last else LONGEST_INTERVAL
    return int(ranks.smallest(min(shortest, LONGEST_INTERVAL)))


class DistributedEngine:
    """The CPU engine on the ranks of a process group of ``torch.distributed``; every rank calls every method.

    Parameters
    ----------
    layout : Layout
        The same on all ranks.
    deterministic : bool
        Sum arrivals as whole numbers. (Plain sums do not depend on the ranks either: their order does not.)
    group : ProcessGroup, optional
        The default group when left out; its backend must take CPU tensors, as gloo does.

    Attributes
    ----------
    interval : int
        Steps between two exchanges: the shortest delay between neurons.

    Raises
    ------
    ConfigError
        Without a process group, or for plastic projections.
    SimulationError
        From any method, if another rank ended or does not answer within the group's timeout.

    Notes
    -----
    A rank stores the synapses onto its neurons (9 bytes each); while it draws, the largest projection as a
    whole. State and ring are of the size of the network, on each rank. An exchange is one all-gather of
    ``interval * n_neurons / 8`` bytes from each rank.

    Examples
    --------
    In a program that ``torchrun --nproc-per-node 4`` starts::

        join_ranks()
        layout = potjans_diesmann(scale=0.1).layout()
        engine = DistributedEngine(layout)
        steps, neurons = engine.advance(10_000, layout.schedule(-1, 10_000))
    """

    def __init__(
        self, layout: Layout, *, deterministic: bool = True, group: "dist.ProcessGroup | None" = None
    ) -> None:
        refuse_plastic(layout)
        self.layout, self.position, self.current = layout, 0, layout.current
        self.ranks = Ranks(group, torch.device("cpu"))
        own = shares(layout, self.ranks.rank, self.ranks.n)
        self._shares = np.column_stack([own, np.full(len(own), layout.n_neurons)])
        self._owned = np.zeros(layout.n_neurons, np.bool_)
        for first, last in own:
            self._owned[first:last] = True
        self.rows = _local_rows(layout, self._owned)
        self.interval = shortest_delay(self.rows, layout.n_neurons, self.ranks)
        self.quantum: Any = np.float32(1)
        if deterministic:
            self.quantum = np.float32(self.ranks.largest(safe_quantum(self.rows, layout.n_inputs)))
            self.rows = fixed_point(self.rows, float(self.quantum))
        self.variables, self.free_at = layout.initial.variables.clone(), layout.initial.free_at.clone()
        dtype = torch.int32 if deterministic else torch.float32
        self.ring = torch.zeros((layout.slots, layout.n_inputs), dtype=dtype)

    @property
    def n_synapses(self) -> int:
        """Synapses of all ranks."""
        return self.ranks.total(self.rows.n_synapses)

    @property
    def nbytes(self) -> int:
        """Bytes of synapses, state and ring of this rank."""
        return self.rows.nbytes + self.variables.nbytes + self.free_at.nbytes + self.ring.nbytes

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last`` (not included); the spikes of all ranks."""
        n_words = -(-self.layout.n_neurons // 32)
        pieces = [np.empty((2, 0), np.int32)]
        found = np.empty((2, self.interval * self.layout.n_neurons), np.int32)
        steps, sources = schedule.steps, schedule.rows
        while self.position < last:
            end = min(self.position + self.interval, last)
            masks = np.empty((end - self.position, n_words), np.uint32)
            until = np.searchsorted(steps, end)
            self._update(end, steps[:until], sources[:until], masks)
            steps, sources = steps[until:], sources[until:]
            count = self._deliver(end, self._exchange(masks), found)
            pieces.append(found[:, :count].copy())
            self.position = end
        whole = np.concatenate(pieces, axis=1)
        return whole[0], whole[1]

    def _row_arrays(self) -> tuple[Any, ...]:
        rows = self.rows
        return rows.indptr.numpy(), rows.targets.numpy(), rows.weights.numpy(), rows.delays.numpy()

    def _update(
        self, end: int, steps: NDArray[np.int32], sources: NDArray[np.int32], masks: NDArray[np.uint32]
    ) -> None:
        from neuroai.simulation.distributed_loop import update_interval
        from neuroai_kernels.neuron_update.cpu import key_words

        p = self.layout.populations
        current = np.empty(0, np.float32) if self.current is None else self.current.numpy()
        update_interval(
            self._shares,
            (p.kinds.numpy(), p.channels.numpy(), p.coefficients.numpy(), p.thresholds.numpy()),
            self.variables.numpy(),
            self.free_at.numpy(),
            self.ring.numpy(),
            self.quantum,
            current,
            key_words(self.layout.seed),
            self.position,
            end,
            steps,
            sources,
            self._row_arrays(),
            masks,
        )

    def _exchange(self, masks: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Bits of all ranks (ranks, steps, words)."""
        mine = torch.from_numpy(masks.view(np.int32))
        everybody = torch.empty((self.ranks.n, *mine.shape), dtype=torch.int32)
        self.ranks.gather(everybody, mine)
        found: NDArray[np.uint32] = everybody.numpy().view(np.uint32)
        return found

    def _deliver(self, end: int, masks: NDArray[np.uint32], found: NDArray[np.int32]) -> int:
        from neuroai.simulation.distributed_loop import deliver_masks

        return deliver_masks(masks, self.position, end, self._row_arrays(), self.ring.numpy(), found)

    def state(self) -> dict[str, Tensor]:
        """Copies of variables, free_at and ring of all ranks together."""
        owned = torch.from_numpy(self._owned)
        state = {
            "variables": torch.where(owned, self.variables, 0.0),
            "free_at": torch.where(owned, self.free_at, 0),
            # Other ranks' places are 0: no synapse here leads to them.
            "ring": self.ring.clone(),
        }
        return {name: self.ranks.add_up(part) for name, part in state.items()}

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state that :meth:`state` gave, on any number of ranks."""
        self.variables.copy_(state["variables"])
        self.free_at.copy_(state["free_at"])
        inputs = torch.from_numpy(np.tile(self._owned, self.layout.n_channels))
        self.ring.copy_(torch.where(inputs, state["ring"], torch.zeros_like(state["ring"])))
        self.position = position


def distributed_engine(
    layout: Layout, device: str, *, deterministic: bool = False
) -> "DistributedEngine | DistributedGpuEngine":
    """The engine of this rank; joins the ranks that ``torchrun`` started if that was not done before."""
    kind = str(device).partition(":")[0]
    if not dist.is_initialized():
        join_ranks(kind)
    if kind == "cpu":
        return DistributedEngine(layout, deterministic=deterministic)
    from neuroai.simulation.distributed_gpu import DistributedGpuEngine

    return DistributedGpuEngine(layout, torch.device(kind, torch.cuda.current_device()))


def _projections(layout: Layout) -> Iterator[SynapseRows]:
    """Synapses of one projection after another, in the order in which a row of the whole table has them."""
    for connection in layout.connections:
        yield draw_rows([connection], layout.seed, layout.n_rows, layout.n_inputs)
    if layout.explicit is not None:
        yield layout.explicit


def _local_rows(layout: Layout, owned: NDArray[np.bool_]) -> SynapseRows:
    """Rows of all sources with the targets that are owned, one projection drawn at a time."""
    from neuroai.simulation.distributed_loop import append_rows

    kept: list[tuple[Any, ...]] = []
    counts = np.zeros(layout.n_rows, np.int64)
    for rows in _projections(layout):
        inside = owned[rows.targets.numpy() % layout.n_neurons]
        starts = np.concatenate([[0], np.cumsum(inside)])[rows.indptr.numpy()]
        counts += np.diff(starts)
        columns = (rows.targets, rows.weights, rows.delays)
        kept.append((starts, *(column.numpy()[inside] for column in columns)))
    indptr = np.concatenate([[0], np.cumsum(counts)])
    n = int(indptr[-1])
    out = indptr, np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.uint8)
    cursor = indptr[:-1].copy()
    for part in kept:
        append_rows(cursor, part, out)
    sort_rows(out[0], out[1], out[2], out[3], layout.n_inputs)
    return SynapseRows(*(torch.from_numpy(column) for column in out))
