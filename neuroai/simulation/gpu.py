"""Networks on a GPU: built there, stepped there, nothing copied to the host between first and last step.

Every run is deterministic: arrivals are summed in whole numbers, so that neither the order of atomic
additions nor the number of programs changes a spike.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from neuroai.errors import ConfigError, SimulationError
from neuroai.simulation.engine import Spikes
from neuroai.simulation.gpu_kernels import deliver_rows
from neuroai.simulation.gpu_lists import ListNetwork
from neuroai.simulation.gpu_resident import ResidentSteps
from neuroai.simulation.gpu_rows import BlockRows, block_rows
from neuroai.simulation.gpu_state import External, processors
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai_kernels.neuron_update.gpu import population_blocks

__all__ = ["GpuEngine", "Mode", "fits_blocks"]

Mode = Literal["eager", "graph", "persistent"]
_MOST_LANES = 4096
_FEWEST_LANES, _FEWEST_NEURONS = 128, 32
# Owners and synapses of a tile of delivery, its warps, and its programs for each multiprocessor.
_OWNERS, _WIDTH, _WARPS, _PROGRAMS = 1, 64, 1, 32
_WARP = 32


class GpuEngine(ListNetwork):
    """A network whose blocks of neurons own their inputs, for up to half a million neurons on a card.

    Parameters
    ----------
    layout : Layout
    device : str or torch.device
    mode : {"eager", "graph", "persistent"}, optional
        Three launches a step; the same captured in a CUDA graph; one launch for many steps, for networks of
        `LIFExp` whose ring fits the card's multiprocessors. Left out: the last of these that runs.
    record : bool
        Whether :meth:`advance` returns the spikes. Without, only ``tally`` knows of them.

    Raises
    ------
    ConfigError
        If the network has more neurons than the blocks of one card hold (one for each multiprocessor), or the
        mode does not run on the device.

    Notes
    -----
    About 4 bytes a synapse, and 4 for each pair of source and block (see `gpu_rows`).
    """

    def __init__(
        self,
        layout: Layout,
        device: torch.device | str,
        *,
        mode: Mode | None = None,
        record: bool = True,
    ) -> None:
        device = torch.device(device)
        _require_mode(mode, device)
        self.lanes, owners = _choose_blocks(layout, processors(device))
        super().__init__(layout, device, record=record)
        # Where each owner's spikes are tallied: at the first block of its population.
        owners[:, 5] = torch.searchsorted(self.blocks[:, 2].cpu().contiguous(), owners[:, 2].contiguous())
        self.owners = owners.to(device)
        self.rows: BlockRows = block_rows(layout, self.owners, self.lanes)
        self.quantum = self.rows.quantum
        self.failed = self._whole(1)
        resident = ResidentSteps(self)
        reason = resident.obstacle()
        if mode == "persistent" and reason is not None:
            raise ConfigError(f"mode='persistent' does not run this network: {reason}; use mode='graph'")
        self._resident = resident if reason is None else None
        best: Mode = "eager" if device.type != "cuda" else "graph" if reason is not None else "persistent"
        self.mode: Mode = mode or best

    @property
    def captures(self) -> bool:
        """Whether steps are replayed from a captured graph."""
        return self.mode == "graph"

    @property
    def n_synapses(self) -> int:
        """Synapses drawn."""
        return self.rows.n_synapses

    @property
    def nbytes(self) -> int:
        """Bytes of synapses, state, ring and lists on the device."""
        resident = 0 if self._resident is None else self._resident.nbytes
        return self.rows.nbytes + self._state_bytes + resident

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last`` (not included); the spikes found, if recorded."""
        found = super().advance(last, schedule)
        if int(self.failed):
            raise SimulationError(
                f"some of the {len(self.owners)} blocks of neurons did not run beside the others before step "
                f"{self.position}: is the card shared with another program? mode='graph' does not need that"
            )
        return found

    def launch(self, n: int, external: External | None = None) -> None:
        """Start ``n`` steps and return at once: nothing waits for the device once a graph is captured."""
        if self.mode == "persistent" and self._resident is not None:
            self._resident.launch(n, external)
            self.position += n
        else:
            super().launch(n, external)

    def _deliver(self, spikes: Tensor, count: Tensor) -> None:
        layout, rows = self.layout, self.rows
        deliver_rows[(_PROGRAMS * processors(self.device),)](
            spikes, count, self.owners, rows.starts, rows.words, rows.weights, rows.tables, rows.classes,
            self.ring, self._step, len(self.owners), len(layout.names), layout.n_neurons, layout.n_inputs,
            layout.slots - 1, BLOCK=self.lanes, CHANNELS=layout.n_channels, STORED=rows.stored,
            OWNERS=_OWNERS, WIDTH=_WIDTH, num_warps=_WARPS,
        )  # fmt: skip


def _require_mode(mode: str | None, device: torch.device) -> None:
    """Blocks run side by side, and launches are captured, on a card alone."""
    modes = get_args(Mode) if device.type == "cuda" else ("eager",)
    if mode is not None and mode not in modes:
        raise ConfigError(f"mode={mode!r} on {device}: expected one of {', '.join(modes)}")


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 1).bit_length()


def _most_blocks(processors: int) -> int:
    """One for each multiprocessor, up to a multiple of a warp: its threads wait for a block each."""
    return processors // _WARP * _WARP or processors


def fits_blocks(layout: Layout, processors: int) -> bool:
    """Whether blocks, one for each multiprocessor, hold the network."""
    size = _MOST_LANES // layout.n_channels - 3
    return len(population_blocks(layout.populations, size)) <= _most_blocks(processors)


def _choose_blocks(layout: Layout, processors: int) -> tuple[int, Tensor]:
    """Lanes and blocks, as many blocks as there are: the fewer neurons a block has, the sooner it is done."""
    most = _most_blocks(processors)
    if not fits_blocks(layout, processors):
        raise ConfigError(
            f"{layout.n_neurons} neurons in {len(layout.names)} populations do not fit {most} blocks of "
            f"{_MOST_LANES // layout.n_channels}: neuroai.simulation.gpu_large has the engine for them"
        )
    size = _FEWEST_NEURONS
    while len(blocks := population_blocks(layout.populations, size)) > most:
        size = min(size + 1 + size // 64, _MOST_LANES // layout.n_channels - 3)
    return max(_FEWEST_LANES, _power_of_two(size + 3)), blocks
