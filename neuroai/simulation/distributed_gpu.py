"""One network on several GPUs: a rank a card, each with a share of every population.

Ranks exchange spikes once in the shortest delay; each then delivers all of them onto its own neurons. Sums
are of whole numbers: the spikes are those of one card and of a CPU.
"""

import time
from collections import deque
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from neuroai.errors import ConfigError, MemoryBudgetError
from neuroai.simulation.distributed import LONGEST_INTERVAL, refuse_plastic, shares, shortest_delay
from neuroai.simulation.distributed_kernels import SOURCE_BITS, deliver_kernel, list_kernel, update_kernel
from neuroai.simulation.distributed_ranks import Ranks, before_leaving
from neuroai.simulation.distributed_rows import own_rows
from neuroai.simulation.engine import Spikes
from neuroai.simulation.gpu_state import DeviceNetwork, External, processors
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai_kernels.connectivity import expected_synapses
from neuroai_kernels.neuron_update.gpu import population_blocks
from neuroai_kernels.spike_delivery import SynapseRows, safe_quantum
from neuroai_kernels.spike_delivery.rows import to_quanta

__all__ = ["DistributedGpuEngine", "require_memory", "share_blocks"]

# Its streams and events have no types.
_CUDA: Any = torch.cuda
_LANES, _ALIGNED = 512, 3
_WORDS = _LANES // 32
_TILE = 64
_PROGRAMS = 4
_MOST_ROWS = 1 << SOURCE_BITS
_GRAPH_STEPS = 50
_LIST_BYTES = 1 << 29
_LONGEST_PAUSE, _LOOK_EVERY = 1e-3, 0.5
# Graphs, or intervals, that are started before the first of them is done.
_MOST_BEHIND = 4
# Of a synapse; and of a free card, the share that may be taken.
_SYNAPSE_BYTES, _SHARE = 9, 0.9


class DistributedGpuEngine(DeviceNetwork):
    """A network on the cards of a process group of ``torch.distributed``; every rank calls every method.

    Parameters
    ----------
    layout : Layout
        The same on all ranks.
    device : str or torch.device
        This rank's card, as :func:`neuroai.simulation.distributed_ranks.join_ranks` gave it.
    group : ProcessGroup, optional
        The default group when left out; its backend must be NCCL.
    record : bool
        Whether :meth:`advance` returns the spikes (of all ranks).
    timeout : float
        Seconds without a finished interval after which the other ranks are given up.

    Attributes
    ----------
    interval : int
        Steps between two exchanges: the shortest delay between neurons.

    Raises
    ------
    ConfigError
        Without a process group, or for plastic projections.
    MemoryBudgetError
        On all ranks, if the share of one does not fit its card.

    Notes
    -----
    A rank stores the synapses onto its neurons, 9 bytes each, and state and ring of the size of the
    network. An exchange is one all-gather of a bit a neuron and step, about
    ``interval * n_neurons / 8`` bytes in all. Intervals are captured in a CUDA graph with their exchanges.
    """

    def __init__(
        self,
        layout: Layout,
        device: torch.device | str,
        *,
        group: "dist.ProcessGroup | None" = None,
        record: bool = True,
        timeout: float = 120.0,
    ) -> None:
        device = torch.device(device)
        refuse_plastic(layout)
        if layout.n_rows > _MOST_ROWS:
            raise ConfigError(f"{layout.n_rows} neurons and sources: ranks on cards take up to {_MOST_ROWS}")
        self.ranks = Ranks(group, device)
        require_memory(layout, self.ranks, _free(device))
        spans, tables = share_blocks(layout, self.ranks.n)
        super().__init__(layout, device, tables[self.ranks.rank], record=record)
        self._owned = torch.zeros(layout.n_neurons, dtype=torch.bool, device=device)
        for first, last in spans[self.ranks.rank]:
            self._owned[first:last] = True
        rows = own_rows(layout, spans[self.ranks.rank], device)
        self.quantum = self.ranks.largest(safe_quantum(rows, layout.n_inputs))
        whole = rows.weights.view(torch.int32)  # in the same memory
        to_quanta(rows.weights, self.quantum, whole)
        self.rows = SynapseRows(rows.indptr, rows.targets, whole, rows.delays)
        shortest = shortest_delay(self.rows, layout.n_neurons, self.ranks)
        self.interval = max(1, min(shortest, _LIST_BYTES // (4 * layout.n_neurons)))
        self._place_bits(tables)
        before_leaving(self._release)
        self._timeout, self._watch = timeout, _CUDA.Stream(device) if device.type == "cuda" else None
        self._started: deque[Any] = deque()

    def _place_bits(self, tables: list[Tensor]) -> None:
        """Room for the bits of all ranks, whose numbers of blocks may differ by one, and for the list."""
        self._n_blocks = max(map(len, tables))
        bases = torch.zeros(len(tables), self._n_blocks, dtype=torch.int32)
        for row, table in zip(bases, tables, strict=True):
            row[: len(table)] = table[:, 0] // 4 * 4
        self._bases = bases.to(self.device)
        n_words = self._n_blocks * _WORDS
        self._mine = self._whole(self.interval, n_words)
        self._bits = (
            self._whole(self.ranks.n, self.interval, n_words) if self.ranks.n > 1 else self._mine[None]
        )
        self._spikes, self._count = self._whole(self.interval * self.layout.n_neurons), self._whole(1)
        self._clock = self._whole(2)
        #: Rows and synapses of a tile of delivery, and programs for each multiprocessor.
        self.tile = _tile(self.rows.longest)

    @property
    def n_synapses(self) -> int:
        """Synapses of all ranks."""
        return self.ranks.total(self.rows.n_synapses)

    @property
    def nbytes(self) -> int:
        """Bytes of synapses, state, ring and lists of this rank."""
        parts = (self.variables, self.free_at, self.ring, self._mine, self._bits, self._spikes, self._record)
        return self.rows.nbytes + sum(part.nbytes for part in parts)

    def spike_counts(self) -> Tensor:
        """Spikes of each population so far, of all ranks, int64, on the CPU."""
        return self.ranks.add_up(super().spike_counts().to(self.device)).cpu()

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last`` (not included); all ranks' spikes, if recorded."""
        found = super().advance(last, schedule)
        self._wait()
        return found

    def launch(self, n: int, external: External | None = None) -> None:
        """Start ``n`` steps; returns when the device has finished what was started before."""
        self._wait()
        self._set_step(self.position)
        last = self.position + n
        if self.captures and external is None:
            self._replay_intervals(n)
        while self.position < last:
            self._run_interval(min(self.interval, last - self.position), external)
            self._stay_near()
        if self.record:
            self._wait()

    def _set_step(self, step: int) -> None:
        self._clock.fill_(step)

    def _one_step(self, external: External | None) -> None:
        self._run_interval(1, external)

    def _run_interval(self, n_steps: int, external: External | None = None) -> None:
        """Steps of the own neurons, one exchange, delivery of everybody's spikes."""
        for offset in range(n_steps):
            self._update(offset)
            if external is not None:
                self._deliver_external(external, self.position + offset, offset)
        mine, bits = self._mine[:n_steps], self._bits
        if self.ranks.n > 1:
            bits = bits.flatten()[: self.ranks.n * mine.numel()].view(self.ranks.n, *mine.shape)
            self.ranks.gather(bits, mine)
        self._list(bits, n_steps)
        self._deliver(self._spikes, self._count, n_steps, inside=False)
        self.position += n_steps

    def _update(self, offset: int) -> None:
        layout = self.layout
        update_kernel[(len(self.blocks),)](
            self.blocks, self._coefficients, self._thresholds, self.variables, self.free_at,
            self.variables if self._current is None else self._current, self._seed, self.ring, self.quantum,
            self._mine[offset], self._count, self.tally, self._clock, offset, layout.n_neurons,
            layout.n_inputs, layout.slots - 1, self._n_thresholds, CURRENT=self._current is not None,
            BLOCK=_LANES, enable_fp_fusion=False,
            **{name: value for name, value in self._static.items() if name != "RECORD"},
        )  # fmt: skip

    def _list(self, bits: Tensor, n_steps: int) -> None:
        n_words = self._n_blocks * _WORDS
        list_kernel[(-(-self.ranks.n * n_steps * n_words // _TILE),)](
            bits, self._bases, self._spikes, self._count, self._clock, self._record, self._recorded,
            self._record.shape[1], n_steps, n_words, self.ranks.n, WORDS=_WORDS, TILE=_TILE,
            RECORD=self.record,
        )  # fmt: skip

    def _deliver(self, spikes: Tensor, count: Tensor, n_steps: int, *, inside: bool) -> None:
        rows, (n_rows, width, programs) = self.rows, self.tile
        deliver_kernel[(programs * processors(self.device),)](
            spikes, count, rows.indptr, rows.targets, rows.weights, rows.delays, self.ring, self._clock,
            self.layout.n_inputs, self.layout.slots - 1, -(-rows.longest // width), n_steps,
            SPIKES=n_rows, WIDTH=width, INSIDE=inside,
        )  # fmt: skip

    def _deliver_external(self, external: External, step: int, offset: int) -> None:
        """At once: an external spike may act within the interval."""
        first, last = external.starts[step - external.origin : step - external.origin + 2]
        if last > first:
            count = torch.full((1,), int(last - first), dtype=torch.int32, device=self.device)
            codes = external.rows[int(first) : int(last)] | (offset << SOURCE_BITS)
            self._deliver(codes, count, 0, inside=True)

    def _deliver_early(self, external: External) -> None:
        self._set_step(-1)
        self._deliver_external(external, -1, 0)

    def _replay_intervals(self, n: int) -> None:
        """Whole graphs of intervals, as many as ``n`` steps hold."""
        intervals = max(1, _GRAPH_STEPS // self.interval)
        steps = intervals * self.interval
        if n < steps:
            return
        if self._graph is None:
            self._graph = self._capture_intervals(intervals)
        for _ in range(n // steps):
            self._graph.replay()
            self._stay_near()
        self.position += n - n % steps

    def _capture_intervals(self, intervals: int) -> "torch.cuda.CUDAGraph":
        """Intervals with their exchanges as a CUDA graph; all ranks capture at the same time."""
        names = ("variables", "free_at", "ring", "tally", "_recorded")
        saved, position = [getattr(self, name).clone() for name in names], self.position
        self._run_interval(self.interval)  # compiles, and lets the ranks connect
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        # Threads of the process group may ask for events meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            for _ in range(intervals):
                self._run_interval(self.interval)
        for name, value in zip(names, saved, strict=True):
            getattr(self, name).copy_(value)
        self.position = position
        self._set_step(position)
        return graph

    def _wait(self) -> None:
        """Wait for what was started; a replayed exchange with a lost rank would never end.

        Raises
        ------
        SimulationError
            If no interval ends within the timeout.
        """
        if self._watch is None:
            return
        self._started.clear()
        done = _CUDA.Event()
        done.record(torch.cuda.current_stream(self.device))
        if self.ranks.n == 1:
            done.synchronize()
            return
        with self.ranks.talking("an exchange of spikes"):
            self._watch_until(done)

    def _stay_near(self) -> None:
        """Wait for a card that is far behind: a full queue would hold the host, deaf to a lost rank."""
        if self._watch is None or self.ranks.n == 1:
            return
        self._started.append(_CUDA.Event())
        self._started[-1].record(torch.cuda.current_stream(self.device))
        if len(self._started) > _MOST_BEHIND:
            with self.ranks.talking("an exchange of spikes"):
                self._watch_until(self._started.popleft())

    def _watch_until(self, done: Any) -> None:
        seen, since, looked, pause = -1, time.monotonic(), time.monotonic(), 0.0
        while not done.query():
            time.sleep(pause)
            pause = min(1.2 * pause + 1e-5, _LONGEST_PAUSE)
            if time.monotonic() - looked < _LOOK_EVERY:
                continue
            looked, clock = time.monotonic(), self._look()
            if clock != seen:
                seen, since = clock, looked
            elif looked - since > self._timeout:
                self._give_up(seen)

    def _look(self) -> int:
        """The interval that the card is at, read beside what it does."""
        with torch.cuda.stream(self._watch):
            return int(self._clock[1])

    def _give_up(self, step: int) -> None:
        self.ranks.abandon(self._release)
        raise TimeoutError(f"nothing for {self._timeout:g} s after step {step}")

    def _release(self) -> None:
        self._graph = None

    def state(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of variables, free_at and ring of all ranks together."""
        own = {
            "variables": torch.where(self._owned, self.variables, 0.0),
            "free_at": torch.where(self._owned, self.free_at, 0),
            # Other ranks' places are 0: no synapse here leads to them.
            "ring": self.ring.clone(),
        }
        return {name: self.ranks.add_up(part).to("cpu", copy=True) for name, part in own.items()}

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state that :meth:`state` gave, on any number of ranks."""
        super().restore(position, state)
        self.ring *= self._owned.repeat(self.layout.n_channels)


def share_blocks(layout: Layout, n_ranks: int) -> tuple[list[list[tuple[int, int]]], list[Tensor]]:
    """Each rank's share of each population, and its blocks.

    Raises
    ------
    ConfigError
        If a rank would be left without neurons.
    """
    spans = [[(int(a), int(b)) for a, b in shares(layout, rank, n_ranks)] for rank in range(n_ranks)]
    tables = [population_blocks(layout.populations, _LANES - _ALIGNED, span) for span in spans]
    if not all(map(len, tables)):
        raise ConfigError(f"{n_ranks} ranks leave one without any of {layout.n_neurons} neurons: start fewer")
    return spans, tables


def _tile(longest: int) -> tuple[int, int, int]:
    """Short rows side by side: the more ranks, the fewer of a row's synapses are here."""
    width = min(128, max(16, 1 << (longest - 1).bit_length() if longest else 16))
    return 512 // width, width, _PROGRAMS


def require_memory(layout: Layout, ranks: Ranks, free: float) -> None:
    """Refuse, on all ranks alike, what does not fit into the ``free`` bytes of one of them.

    Raises
    ------
    MemoryBudgetError
        With what is needed and what to do.
    """
    n_synapses = sum(expected_synapses(c) for c in layout.connections)
    n_synapses += 0 if layout.explicit is None else layout.explicit.n_synapses
    everywhere = 4 * layout.slots * layout.n_inputs + 8 * (layout.n_rows + 1)
    everywhere += 4 * (layout.initial.variables.numel() + 2 * layout.n_neurons)
    needed, least = _SYNAPSE_BYTES * n_synapses / ranks.n + everywhere, ranks.smallest(free)
    if needed > _SHARE * least:
        raise MemoryBudgetError(
            f"{n_synapses:,.0f} synapses on {ranks.n} cards need {needed / 1e9:.1f} GB each, but the fullest "
            f"has {least / 1e9:.1f} GB free: start more ranks, use a smaller scale, or one process with "
            "device='cuda', which draws synapses anew instead of storing them"
        )


def _free(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


assert LONGEST_INTERVAL <= 1 << (31 - SOURCE_BITS)
