# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Networks on a GPU beyond what blocks can own: a list of spikes, and synapses drawn again at each of them.

No synapse is stored (`neuroai_kernels.drawn_delivery`): 24 thousand million of them need the memory of the
state and the ring alone. The synapses, and the spikes, are those of every other engine.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.simulation.gpu import GpuEngine, fits_blocks
from neuroai.simulation.gpu_kernels import record_spikes, update_block
from neuroai.simulation.gpu_state import DeviceNetwork, External, processors
from neuroai.simulation.layout import Layout
from neuroai_kernels.connectivity import expected_synapses
from neuroai_kernels.drawn_delivery import draw_plan, quantum_of
from neuroai_kernels.drawn_delivery.gpu import launch_drawn
from neuroai_kernels.neuron_update.gpu import count_poisson, population_blocks

__all__ = ["LargeEngine", "gpu_engine"]

_LANES = 512
_RULES = ("fixed_total", "fixed_outdegree")
# Bytes of a stored synapse with its share of the index, and the part of a free card that it may take.
_STORED_BYTES, _SHARE = 5, 0.8


@triton.jit(do_not_specialize=["room", "n_neurons", "n_inputs", "mask", "n_thresholds"])
def _list_kernel(
    blocks, coefficients, thresholds, variables, free_at, current, seed, ring, quantum, spikes, count,
    tally, record, recorded, room, step, n_neurons, n_inputs, mask, n_thresholds,
    COEFFICIENTS: tl.constexpr, KINDS: tl.constexpr, POISSON: tl.constexpr, CURRENT: tl.constexpr,
    NOISE: tl.constexpr, CHANNELS: tl.constexpr, RECORD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One step of a block; its spikes are appended to the list."""
    b = tl.program_id(0)
    population = tl.load(blocks + 6 * b + 2)
    key, now = tl.load(seed).to(tl.uint64), tl.load(step).to(tl.int32)
    base, lane = tl.load(blocks + 6 * b) // 4 * 4, tl.arange(0, BLOCK)
    events = tl.zeros([BLOCK], tl.float32)
    if POISSON:
        limits = thresholds + population * n_thresholds
        events = count_poisson(key, base, now, limits, n_thresholds, BLOCK)
    spiking = update_block(
        blocks + 6 * b, coefficients + population * COEFFICIENTS, variables, free_at, current, ring, quantum,
        events, key, now, n_neurons, n_inputs, mask, KINDS, POISSON, CURRENT, NOISE, CHANNELS, BLOCK,
    )  # fmt: skip
    flags = spiking.to(tl.int32)
    found = tl.sum(flags)
    if found > 0:
        at = tl.atomic_add(count, found, sem="relaxed") + tl.cumsum(flags) - flags
        tl.store(spikes + at, base + lane, spiking)
        tl.atomic_add(tally + b, found.to(tl.int64), sem="relaxed")
        if RECORD:
            record_spikes(spiking, found, base + lane, now, record, recorded, room, BLOCK)


class LargeEngine(DeviceNetwork):
    """A network of any size that fits the card without its synapses.

    Parameters
    ----------
    layout : Layout
        All projections of a fixed total number or a fixed out-degree.
    device : str or torch.device
    record : bool
        Whether :meth:`advance` returns the spikes. Without, only ``tally`` knows of them.
    quantum : float, optional
        Of the weights; from the connections when left out, see
        :func:`neuroai_kernels.drawn_delivery.quantum_of`.

    Raises
    ------
    ConfigError
        If a projection's rule cannot be drawn row by row.

    Notes
    -----
    Bytes: ``4 slots channels`` a neuron for the ring, the state, and 4 for each row of a projection with a
    fixed total number.
    """

    def __init__(
        self,
        layout: Layout,
        device: torch.device | str,
        *,
        record: bool = True,
        quantum: float | None = None,
    ) -> None:
        wrong = sorted({c.rule for c in layout.connections if c.rule not in _RULES})
        if wrong or layout.explicit is not None:
            raise ConfigError(
                f"projections with {', '.join(wrong) or 'listed pairs'} must be stored: expected only fixed "
                "total numbers and fixed out-degrees"
            )
        device = torch.device(device)
        super().__init__(layout, device, population_blocks(layout.populations, _LANES - 3), record=record)
        connections = list(layout.connections)
        self.quantum = quantum_of(connections) if quantum is None else quantum
        self.rows = draw_plan(connections, layout.seed, layout.n_rows, quantum=self.quantum, device=device)
        self._spikes, self._count = self._whole(layout.n_neurons), self._whole(1)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)

    @property
    def n_synapses(self) -> int:
        """Synapses that spikes draw from."""
        return self.rows.n_synapses

    @property
    def nbytes(self) -> int:
        """Bytes of plan, state, ring and lists on the device."""
        parts = (self.variables, self.free_at, self.ring, self._spikes, self._record)
        return self.rows.nbytes + sum(part.nbytes for part in parts)

    def _set_step(self, step: int) -> None:
        self._step.fill_(step)

    def _one_step(self, external: External | None) -> None:
        layout = self.layout
        self._count.zero_()
        _list_kernel[(len(self.blocks),)](
            self.blocks, self._coefficients, self._thresholds, self.variables, self.free_at,
            self.variables if self._current is None else self._current, self._seed, self.ring, self.quantum,
            self._spikes, self._count, self.tally, self._record, self._recorded, self._record.shape[1],
            self._step, layout.n_neurons, layout.n_inputs, layout.slots - 1, self._n_thresholds,
            CURRENT=self._current is not None, BLOCK=_LANES, enable_fp_fusion=False, **self._static,
        )  # fmt: skip
        self._deliver(self._spikes, self._count)
        if external is not None:
            self._deliver_external(external, self.position)
        self._step.add_(1)

    def _deliver(self, spikes: Tensor, count: Tensor) -> None:
        launch_drawn(spikes, count, self._seed, self.rows, self.ring, self._step)

    def _deliver_external(self, external: External, step: int) -> None:
        first, last = external.starts[step - external.origin : step - external.origin + 2]
        if last > first:
            count = torch.full((1,), int(last - first), dtype=torch.int32, device=self.device)
            self._deliver(external.rows[first:last], count)

    def _deliver_early(self, external: External) -> None:
        self._set_step(-1)
        self._deliver_external(external, -1)


def gpu_engine(layout: Layout, device: torch.device | str) -> GpuEngine | LargeEngine:
    """The engine of a network on a card: synapses stored where they fit, drawn at every spike where not."""
    device = torch.device(device)
    needed = _STORED_BYTES * sum(expected_synapses(c) for c in layout.connections)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")
    if fits_blocks(layout, processors(device)) and needed < _SHARE * free:
        return GpuEngine(layout, device)
    return LargeEngine(layout, device)
