# Triton's functions are typed by its compiler.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
"""Networks that learn, on a GPU: the order of a step is that of `neuroai.simulation.plasticity`.

Weights and traces are in floating point; what a plastic synapse delivers is rounded to the ring's quantum.
One program writes a weight in each pass, and sums are of whole numbers: reruns are identical, bit by bit.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from neuroai.errors import ConfigError, SimulationError
from neuroai.simulation.engine import Spikes
from neuroai.simulation.gpu_lists import ListNetwork
from neuroai.simulation.gpu_state import External
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai.simulation.plasticity import PlasticProjections
from neuroai_kernels.connectivity import draw_rows
from neuroai_kernels.event_matmul.index import SynapseIndex
from neuroai_kernels.spike_delivery import SynapseRows, quantum_above
from neuroai_kernels.spike_delivery.gpu import scatter_gpu
from neuroai_kernels.spike_delivery.rows import to_quanta
from neuroai_kernels.stdp import StdpTraces
from neuroai_kernels.stdp.gpu import depress_gpu, potentiate_gpu, raise_gpu

__all__ = ["PlasticEngine"]

_ROWS = 8
# Times their sum at the start that weights without an upper bound may grow to.
_GROWTH = 8.0
_CHANGING = ("pre", "pre_step", "post", "post_step")


@triton.jit(do_not_specialize=["n", "offset", "n_inputs", "mask"])
def _send_kernel(
    arriving, weights, indptr, targets, ring, step, quantum, n, offset, n_inputs, mask,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the weights of the arriving spikes to this step's slot."""
    slot = ring + (tl.load(step) & mask) * n_inputs + offset
    lanes = tl.arange(0, ROWS)
    rows = tl.program_id(0) * ROWS + lanes
    left = (tl.load(arriving + rows, rows < n, 0) != 0).to(tl.int32)
    n_left = tl.sum(left, 0)
    while n_left > 0:
        lane = tl.min(tl.where(left != 0, lanes, ROWS), 0)
        row = (tl.program_id(0) * ROWS + lane).to(tl.int64)
        last = tl.load(indptr + row + 1)
        for first in range(tl.load(indptr + row), last, BLOCK):
            j = first + tl.arange(0, BLOCK)
            whole = tl.floor(tl.load(weights + j, j < last, 0.0) / quantum + 0.5).to(tl.int32)
            tl.atomic_add(slot + tl.load(targets + j, j < last, 0), whole, j < last, sem="relaxed")
        left = tl.where(lanes == lane, 0, left)
        n_left -= 1


@triton.jit(do_not_specialize=["n", "slots"])
def _mark_kernel(spikes, count, past, step, n, slots, BLOCK: tl.constexpr):
    """Set the flags of the listed neurons in this step's row."""
    row = past + (tl.load(step) & (slots - 1)) * n
    for start in range(tl.program_id(0) * BLOCK, tl.load(count), tl.num_programs(0) * BLOCK):
        i = start + tl.arange(0, BLOCK)
        listed = i < tl.load(count)
        tl.store(row + tl.load(spikes + i, listed, 0), 1, listed)


class PlasticEngine(ListNetwork):
    """A network with plastic projections on one card.

    Parameters
    ----------
    layout : Layout
        With plastic projections.
    device : str or torch.device
    record : bool
        Whether :meth:`advance` returns the spikes.

    Raises
    ------
    ConfigError
        If a plastic weight is negative.

    Notes
    -----
    9 bytes a static synapse, 20 a plastic one. Spikes equal the CPU engine's until the rounding of a weight
    or an exponential moves one: the statistics are the same, not every spike.
    """

    def __init__(self, layout: Layout, device: torch.device | str, *, record: bool = True) -> None:
        assert layout.plastic is not None
        device, n = torch.device(device), layout.n_neurons
        super().__init__(layout, device, record=record)
        self.plastic: PlasticProjections = layout.plastic
        drawn = draw_rows(list(self.plastic.connections), layout.seed, n, n, device=device)
        if drawn.n_synapses and float(drawn.weights.min()) < 0:
            raise ConfigError(
                f"found a plastic weight of {float(drawn.weights.min()):g}: expected 0 to w_max, as plastic "
                "synapses are excitatory"
            )
        self.weights, self.synapses = drawn.weights, SynapseIndex(drawn.indptr, drawn.targets, n)
        self.traces = StdpTraces.silent(n, n, layout.step, device=device)
        self._offset = self.plastic.channel * n
        rows = layout.draw(device)
        self._bound = self._largest_sum(rows)
        self.quantum = quantum_above(self._bound)
        whole = rows.weights.view(torch.int32)  # in the same memory
        to_quanta(rows.weights, self.quantum, whole)
        self.rows = SynapseRows(rows.indptr, rows.targets, whole, rows.delays)
        slots = 1 << self.plastic.delay.bit_length()
        self.past = torch.zeros((slots, n), dtype=torch.bool, device=device)
        self._arriving = torch.zeros((1, n), dtype=torch.bool, device=device)

    def _largest_sum(self, rows: SynapseRows) -> float:
        """Of the absolute weights onto a target that may ever be."""
        rule, n_inputs = self.plastic.rule, self.layout.n_inputs
        total = torch.zeros(n_inputs, dtype=torch.float64, device=self.device)
        total.index_add_(0, rows.targets, rows.weights.double().abs())
        if math.isfinite(rule.w_max):
            most = torch.full_like(self.weights, rule.w_max, dtype=torch.float64)
        else:
            most = _GROWTH * self.weights.double()
        total.index_add_(0, self.synapses.indices + self._offset, most)
        return float(total.max())

    @property
    def n_synapses(self) -> int:
        """Synapses drawn, plastic ones too."""
        return self.rows.n_synapses + self.synapses.n_synapses

    @property
    def nbytes(self) -> int:
        """Bytes of synapses both ways, state, ring and lists on the device."""
        back, index = self.synapses.transposed, self.synapses
        parts = (self.weights, index.indptr, index.indices, back.indptr, back.sources, back.places, self.past)
        return self.rows.nbytes + self._state_bytes + sum(part.nbytes for part in parts)

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last`` (not included); the spikes found, if recorded.

        Raises
        ------
        SimulationError
            If weights without an upper bound grew beyond what the ring's whole numbers hold.
        """
        found = super().advance(last, schedule)
        if not math.isfinite(self.plastic.rule.w_max):
            total = torch.zeros(self.layout.n_neurons, dtype=torch.float64, device=self.device)
            total.index_add_(0, self.synapses.indices, self.weights.double())
            if float(total.max()) > self._bound:
                raise SimulationError(
                    f"plastic weights onto a neuron sum to {float(total.max()):g} before step "
                    f"{self.position}, over {_GROWTH:g} times their start: give the rule a w_max, or use "
                    "device='cpu'"
                )
        return found

    def _one_step(self, external: External | None) -> None:
        self._learn_from_arrivals()
        super()._one_step(external)

    def _deliver(self, spikes: Tensor, count: Tensor) -> None:
        scatter_gpu(spikes, count, self.rows, self.ring, self._step)
        if spikes is self._spikes:
            self._learn_from_spikes(spikes, count)

    def _learn_from_arrivals(self) -> None:
        """Depress the synapses of arriving spikes, and send their new weights."""
        n, slots = self.layout.n_neurons, len(self.past)
        sent = (self._step - self.plastic.delay) & (slots - 1)
        torch.index_select(self.past, 0, sent, out=self._arriving)
        arriving, index = self._arriving[0], self.synapses
        depress_gpu(self.weights, index, self.traces, arriving, self._step, self.plastic.rule)
        mean = index.n_synapses // max(1, n)
        _send_kernel[(triton.cdiv(n, _ROWS),)](
            arriving.view(torch.int8), self.weights, index.indptr, index.indices, self.ring, self._step,
            self.quantum, n, self._offset, self.layout.n_inputs, self.layout.slots - 1, ROWS=_ROWS,
            BLOCK=min(1024, max(32, triton.next_power_of_2(mean))),
        )  # fmt: skip

    def _learn_from_spikes(self, spikes: Tensor, count: Tensor) -> None:
        """Potentiate the synapses onto neurons that spiked, raise traces, send the spikes on their way."""
        n, slots = self.layout.n_neurons, len(self.past)
        here = self._step & (slots - 1)
        self.past.index_fill_(0, here, False)
        _mark_kernel[(4,)](spikes, count, self.past.view(torch.int8), self._step, n, slots, BLOCK=256)
        spiking = self.past.index_select(0, here)[0]
        rule = self.plastic.rule
        potentiate_gpu(self.weights, self.synapses, self.traces, spiking, self._step, rule)
        raise_gpu(self.traces, self._arriving[0], spiking, self._step, rule)

    def state(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of all that changes, under the names of the CPU engine."""
        past, counts = torch.zeros(self.past.shape, dtype=torch.int32), self.past.sum(1, dtype=torch.int32)
        for row, flags in zip(past, self.past.cpu(), strict=True):
            found = flags.nonzero()[:, 0]
            row[: len(found)] = found
        own = {name: getattr(self.traces, name).to("cpu", copy=True) for name in _CHANGING}
        own |= {"weights": self.weights.to("cpu", copy=True), "past": past, "past_counts": counts.cpu()}
        return super().state() | own

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state that :meth:`state` gave, here or on a CPU."""
        super().restore(position, state)
        self.weights.copy_(state["weights"])
        for name in _CHANGING:
            getattr(self.traces, name).copy_(state[name])
        past = torch.zeros(self.past.shape, dtype=torch.bool)
        for flags, listed, count in zip(past, state["past"], state["past_counts"].tolist(), strict=True):
            flags[listed[:count].to(torch.int64)] = True
        self.past.copy_(past)
