"""Networks on a GPU: built there, stepped there, nothing copied to the host between first and last step.

Every run is deterministic: arrivals are summed in whole numbers, so that neither the order of atomic
additions nor the number of programs changes a spike.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from neuroai.errors import ConfigError, SimulationError
from neuroai.simulation.engine import Spikes
from neuroai.simulation.gpu_kernels import step_kernel
from neuroai.simulation.gpu_resident import ResidentSteps
from neuroai.simulation.gpu_rows import BlockRows, block_rows
from neuroai.simulation.gpu_state import DeviceNetwork, External, processors
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai_kernels.neuron_update.gpu import population_blocks

__all__ = ["GpuEngine", "Mode", "fits_blocks"]

Mode = Literal["eager", "graph", "persistent", "resident"]
_MOST_LANES = 4096
_FEWEST_LANES, _FEWEST_NEURONS = 128, 32
_SPIKES, _WIDTH = 32, 64
# Looks at the mailbox, about a microsecond each, before a program gives up on the others.
_PATIENCE = 1 << 22
_OUTSIDE = 0x7FFF


class GpuEngine(DeviceNetwork):
    """A network whose blocks of neurons own their inputs, for up to half a million neurons on a card.

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

    Raises
    ------
    ConfigError
        If the network has more neurons than the blocks of one card hold (one for each multiprocessor, so that
        all are resident), or the mode does not run on the device.

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
        device = torch.device(device)
        _require_mode(mode, device)
        self.lanes, blocks = _choose_blocks(layout, processors(device))
        super().__init__(layout, device, blocks, record=record)
        self.rows: BlockRows = block_rows(layout, self.blocks, self.lanes)
        self.mode: Mode = mode or ("graph" if device.type == "cuda" else "eager")
        #: Spikes and synapses of a tile of delivery, and warps of a program.
        self.tile = (_SPIKES, _WIDTH, max(4, min(16, self.lanes // 64)))
        n_blocks = len(blocks)
        self._bases = self.blocks[:, 0] // 4 * 4
        shape = (2, n_blocks, _power_of_two(n_blocks))
        self._mail = torch.full(shape, -1, dtype=torch.int64, device=device)
        self._more = self._whole(2, n_blocks, self.lanes)
        self._heard = self._whole(n_blocks, layout.n_neurons)
        self._resident: ResidentSteps | None = None
        self._step, self._failed = self._whole(2), self._whole(1)

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
        parts = (self.variables, self.free_at, self.ring, self._mail, self._more, self._heard, self._record)
        return self.rows.nbytes + sum(part.nbytes for part in parts)

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last`` (not included); the spikes found, if recorded."""
        found = super().advance(last, schedule)
        if int(self._failed):
            raise SimulationError(
                f"some of the {len(self.blocks)} blocks of neurons did not run beside the others before step "
                f"{self.position}: is the card shared with another program? mode='graph' does not need that"
            )
        return found

    def launch(self, n: int, external: External | None = None) -> None:
        """Start ``n`` steps and return at once: nothing waits for the device once a graph is captured."""
        if self.mode == "resident":
            if self._resident is None:
                self._resident = ResidentSteps(self)
            self._resident.launch(n, external)
            self.position += n
            return
        if self.mode != "persistent":
            super().launch(n, external)
            return
        self._set_step(self.position)
        self._launch(n, external, update=True, deliver=True)
        self.position += n

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state that :meth:`state` gave."""
        super().restore(position, state)
        self._mail.fill_(-1)

    def _set_step(self, step: int) -> None:
        self._step.fill_(step)

    def _one_step(self, external: External | None) -> None:
        self._launch(1, external, update=True, deliver=False)
        self._launch(1, external, update=False, deliver=True)

    def _deliver_early(self, external: External) -> None:
        self._mail[1] = _OUTSIDE << 48
        self._set_step(-1)
        self._launch(1, external, update=False, deliver=True)
        self._mail.fill_(-1)

    def _launch(self, n_steps: int, external: External | None, *, update: bool, deliver: bool) -> None:
        layout, rows, n_blocks = self.layout, self.rows, len(self.blocks)
        outside = (self._step, self._step, 0)
        if external is not None:
            outside = (external.places, external.rows, external.origin)
        step_kernel[(n_blocks,)](
            self.blocks, self._bases, self._coefficients, self._thresholds, self.variables, self.free_at,
            self.variables if self._current is None else self._current, self._seed,
            rows.starts, rows.words, rows.weights, rows.tables, rows.classes, self.ring, rows.quantum,
            self._mail, self._more, self._heard, self.tally, self._record, self._recorded,
            self._record.shape[1], *outside, self._step, n_steps, _PATIENCE, self._failed,
            n_blocks, len(layout.names), layout.n_neurons, layout.n_inputs, layout.slots - 1,
            self._n_thresholds,
            CURRENT=self._current is not None, STORED=rows.stored, EXTERNAL=external is not None,
            UPDATE=update, DELIVER=deliver, BLOCK=self.lanes, BLOCKS=_power_of_two(n_blocks),
            SPIKES=self.tile[0], WIDTH=self.tile[1], num_warps=self.tile[2], enable_fp_fusion=False,
            **self._static,
        )  # fmt: skip


def _require_mode(mode: str | None, device: torch.device) -> None:
    """Blocks run side by side on a card alone: where Triton is interpreted, the first would wait for ever."""
    modes = get_args(Mode) if device.type == "cuda" else ("eager",)
    if mode is not None and mode not in modes:
        raise ConfigError(f"mode={mode!r} on {device}: expected one of {', '.join(modes)}")


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 1).bit_length()


def fits_blocks(layout: Layout, processors: int) -> bool:
    """Whether blocks, one for each multiprocessor, hold the network."""
    size = _MOST_LANES // layout.n_channels - 3
    return len(population_blocks(layout.populations, size)) <= 1 << (processors.bit_length() - 1)


def _choose_blocks(layout: Layout, processors: int) -> tuple[int, Tensor]:
    """Lanes and blocks: as many blocks as there are multiprocessors, up to a power of two.

    The words of that many blocks fill a vector, and the fewer neurons a block has, the sooner it is done.
    """
    most = 1 << (processors.bit_length() - 1)
    if not fits_blocks(layout, processors):
        raise ConfigError(
            f"{layout.n_neurons} neurons in {len(layout.names)} populations do not fit {most} blocks of "
            f"{_MOST_LANES // layout.n_channels}: neuroai.simulation.gpu_large has the engine for them"
        )
    size = _FEWEST_NEURONS
    while len(blocks := population_blocks(layout.populations, size)) > most:
        size = min(size + 1 + size // 64, _MOST_LANES // layout.n_channels - 3)
    return max(_FEWEST_LANES, _power_of_two(size + 3)), blocks
