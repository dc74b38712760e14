"""Networks on a GPU: built there, stepped there, nothing copied to the host between first and last step.

Every run is deterministic: arrivals are summed in whole numbers, so that neither the order of atomic
additions nor the number of programs changes a spike.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai.errors import ConfigError, SimulationError
from neuroai.simulation.engine import Spikes
from neuroai.simulation.gpu_kernels import step_kernel
from neuroai.simulation.gpu_rows import BlockRows, block_rows
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai_kernels.connectivity.gpu import wrapped_seed
from neuroai_kernels.neuron_update import PREFIX
from neuroai_kernels.neuron_update.gpu import kind_bits, population_blocks, thresholds_on_device

__all__ = ["GpuEngine", "Mode"]

Mode = Literal["eager", "graph", "persistent"]
_MOST_LANES = 4096
_FEWEST_LANES, _FEWEST_NEURONS = 128, 32
# Recorded spikes between two copies to the host, and steps of one captured graph or persistent launch.
_ROOM = 1 << 22
_GRAPH_STEPS = 50
_LAUNCH_STEPS = 10_000
_SPIKES, _WIDTH = 32, 64
# Looks at the mailbox, about a microsecond each, before a program gives up on the others.
_PATIENCE = 1 << 22
_OUTSIDE = 0x7FFF


class GpuEngine:
    """Dynamic state of a network on a GPU and the means to advance it.

    Parameters
    ----------
    layout : Layout
    device : str or torch.device
    deterministic : bool
        For the interface's sake: runs on a GPU always are.
    mode : {"eager", "graph", "persistent"}, optional
        Two launches a step; the same captured in a CUDA graph (what is taken when left out); one launch for
        many steps, which needs all blocks of neurons resident at the same time.
    record : bool
        Whether :meth:`advance` returns the spikes. Without, only ``tally`` knows of them.

    Attributes
    ----------
    tally : int64 tensor (n_blocks,)
        Spikes of each block so far; see :meth:`spike_counts`.

    Raises
    ------
    ConfigError
        If the network has more neurons than the blocks of one card hold.

    Notes
    -----
    About 4 bytes a synapse, and 4 for each pair of source and block (see `gpu_rows`).
    """

    def __init__(
        self,
        layout: Layout,
        device: torch.device | str,
        *,
        deterministic: bool = True,
        mode: Mode | None = None,
        record: bool = True,
    ) -> None:
        self.layout, self.device, self.record = layout, torch.device(device), record
        self.position, self.current = 0, layout.current
        self.lanes, blocks = _choose_blocks(layout, _processors(self.device))
        self.blocks = blocks.to(self.device)
        self.rows: BlockRows = block_rows(layout, self.blocks, self.lanes)
        self._place_state()
        self.mode: Mode = mode or ("graph" if self.device.type == "cuda" else "eager")
        #: Spikes and synapses of a tile of delivery, and warps of a program.
        self.tile = (_SPIKES, _WIDTH, max(4, min(16, self.lanes // 64)))
        self._graph: torch.cuda.CUDAGraph | None = None

    def _place_state(self) -> None:
        layout, n_blocks = self.layout, len(self.blocks)
        table = layout.populations
        self.variables = layout.initial.variables.to(self.device).clone()
        self.free_at = layout.initial.free_at.to(self.device).clone()
        self.ring = self._whole(layout.slots, layout.n_inputs)
        self._coefficients = table.coefficients.to(self.device)
        self._thresholds, self._n_thresholds = thresholds_on_device(table, self.device)
        self._static = {
            "COEFFICIENTS": table.coefficients.shape[1],
            "KINDS": kind_bits(table),
            "POISSON": bool((table.coefficients[:, _POISSON] != 0).any()),
            "NOISE": bool((table.coefficients[:, _NOISE] != 0).any()),
        }
        self._seed = wrapped_seed(layout.seed, self.device)
        self._bases = self.blocks[:, 0] // 4 * 4
        shape = (2, n_blocks, _power_of_two(n_blocks))
        self._mail = torch.full(shape, -1, dtype=torch.int64, device=self.device)
        self._more = self._whole(2, n_blocks, self.lanes)
        self._heard = self._whole(n_blocks, layout.n_neurons)
        self.tally = torch.zeros(n_blocks, dtype=torch.int64, device=self.device)
        self._current: Tensor | None = None
        self._step = self._whole(2)
        self._recorded, self._failed = self._whole(1), self._whole(1)
        self._record = self._whole(2, max(_ROOM, layout.n_neurons) if self.record else 1)

    def _whole(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32, device=self.device)

    @property
    def n_synapses(self) -> int:
        """Synapses drawn."""
        return self.rows.n_synapses

    @property
    def nbytes(self) -> int:
        """Bytes of synapses, state, ring and lists on the device."""
        parts = (self.variables, self.free_at, self.ring, self._mail, self._more, self._heard, self._record)
        return self.rows.nbytes + sum(part.nbytes for part in parts)

    def spike_counts(self) -> Tensor:
        """Spikes of each population so far, int64, on the CPU; waits for the device."""
        counts = torch.zeros(len(self.layout.names), dtype=torch.int64)
        return counts.index_add_(0, self.blocks[:, 2].to("cpu", torch.int64), self.tally.cpu())

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last`` (not included); the spikes found, if recorded."""
        self._take_current()
        external = self._external(last, schedule)
        pieces = [np.empty((2, 0), np.int32)]
        most = len(self._record[0]) // self.layout.n_neurons if self.record else last
        while self.position < last:
            n = min(last - self.position, most, _LAUNCH_STEPS)
            self.launch(n, external)
            if self.record:
                pieces.append(self._take_record())
        if int(self._failed):
            raise SimulationError(
                f"some of the {len(self.blocks)} blocks of neurons did not run beside the others before step "
                f"{self.position}: is the card shared with another program? mode='graph' does not need that"
            )
        found = np.concatenate(pieces, axis=1)
        return found[0], found[1]

    def _take_current(self) -> None:
        """Copy what the caller may have replaced to where the kernels read it."""
        if self.current is None:
            self._current = None
        elif self._current is None:
            self._current, self._graph = self.current.to(self.device, torch.float32, copy=True), None
        else:
            self._current.copy_(self.current)

    def _external(self, last: int, schedule: SpikeSchedule) -> tuple[Tensor, Tensor, int] | None:
        """Where each step's spikes of external sources start, their rows, and the first step."""
        if not len(schedule.steps):
            return None
        origin = min(self.position, int(schedule.steps[0]))
        places = np.searchsorted(schedule.steps, np.arange(origin, last + 1)).astype(np.int32)
        external = (
            torch.from_numpy(places).to(self.device),
            torch.from_numpy(schedule.rows).to(self.device),
            origin,
        )
        if origin < self.position:
            self._deliver_early(external)
        return external

    def _deliver_early(self, external: tuple[Tensor, Tensor, int]) -> None:
        """What external sources sent in the step before the first: no neuron spiked in it."""
        self._mail[1] = _OUTSIDE << 48
        self._step[1] = -1
        self._launch(1, external, update=False, deliver=True)
        self._mail.fill_(-1)

    def _take_record(self) -> NDArray[np.int32]:
        """Recorded spikes, ordered by step, then neuron."""
        found: NDArray[np.int32] = self._record[:, : int(self._recorded)].cpu().numpy()
        self._recorded.zero_()
        return found[:, np.lexsort((found[1], found[0]))]

    def launch(self, n: int, external: tuple[Tensor, Tensor, int] | None = None) -> None:
        """Start ``n`` steps and return at once: nothing waits for the device once a graph is captured."""
        self._step.fill_(self.position)
        self.position += n
        if self.mode == "persistent":
            self._launch(n, external, update=True, deliver=True)
            return
        if self.mode == "graph" and external is None:
            n = self._replay(n)
        for _ in range(n):
            self._two_launches(external)

    def _two_launches(self, external: tuple[Tensor, Tensor, int] | None) -> None:
        self._launch(1, external, update=True, deliver=False)
        self._launch(1, external, update=False, deliver=True)

    def _replay(self, n: int) -> int:
        """Whole graphs of steps; returns the number of steps that are left."""
        if n < _GRAPH_STEPS:
            return n
        if self._graph is None:
            self._graph = self._capture()
        for _ in range(n // _GRAPH_STEPS):
            self._graph.replay()
        return n % _GRAPH_STEPS

    def _capture(self) -> "torch.cuda.CUDAGraph":
        """Steps as a CUDA graph that needs no argument: the step's number is on the device."""
        saved, tally, step = self.state(), self.tally.clone(), self._step.clone()
        self._two_launches(None)  # compiles
        self.restore(self.position, saved)
        self.tally.copy_(tally)
        self._step.copy_(step)
        self._recorded.zero_()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(_GRAPH_STEPS):
                self._two_launches(None)
        return graph

    def _launch(
        self, n_steps: int, external: tuple[Tensor, Tensor, int] | None, *, update: bool, deliver: bool
    ) -> None:
        layout, rows, n_blocks = self.layout, self.rows, len(self.blocks)
        current = self._current
        places, external_rows, origin = external if external is not None else (self._step, self._step, 0)
        step_kernel[(n_blocks,)](
            self.blocks, self._bases, self._coefficients, self._thresholds, self.variables, self.free_at,
            self.variables if current is None else current, self._seed,
            rows.starts, rows.words, rows.weights, rows.tables, rows.classes, self.ring, rows.quantum,
            self._mail, self._more, self._heard, self.tally,
            self._record, self._recorded, self._record.shape[1],
            places, external_rows, origin, self._step, n_steps, _PATIENCE, self._failed,
            n_blocks, len(layout.names), layout.n_neurons, layout.n_inputs, layout.slots - 1,
            self._n_thresholds,
            CURRENT=current is not None, CHANNELS=layout.n_channels, STORED=rows.stored,
            EXTERNAL=external is not None, RECORD=self.record, UPDATE=update, DELIVER=deliver,
            BLOCK=self.lanes, BLOCKS=_power_of_two(n_blocks), SPIKES=self.tile[0], WIDTH=self.tile[1],
            num_warps=self.tile[2], enable_fp_fusion=False, **self._static,
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of variables, free_at and ring."""
        return {name: getattr(self, name).to("cpu", copy=True) for name in ("variables", "free_at", "ring")}

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state that :meth:`state` gave."""
        for name in ("variables", "free_at", "ring"):
            getattr(self, name).copy_(state[name])
        self._mail.fill_(-1)
        self.position = position


_POISSON, _NOISE = PREFIX.index("poisson_weight"), PREFIX.index("noise")


def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 1).bit_length()


def _choose_blocks(layout: Layout, processors: int) -> tuple[int, Tensor]:
    """Lanes and blocks: as many blocks as there are multiprocessors, up to a power of two.

    The words of that many blocks fill a vector, and the fewer neurons a block has, the sooner it is done.
    """
    most = 1 << (processors.bit_length() - 1)
    size = _FEWEST_NEURONS
    while len(blocks := population_blocks(layout.populations, size)) > most:
        size += 1 + size // 64
    lanes = max(_FEWEST_LANES, _power_of_two(size + 3))
    if lanes * layout.n_channels > _MOST_LANES:
        raise ConfigError(
            f"{layout.n_neurons} neurons in {len(layout.names)} populations do not fit {most} blocks of "
            f"{_MOST_LANES // layout.n_channels}: use the distributed engine over several cards"
        )
    return lanes, blocks
