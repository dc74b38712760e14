"""Networks on a GPU beyond what blocks can own: a list of spikes, and synapses drawn again at each of them.

No synapse is stored (`neuroai_kernels.drawn_delivery`): 24 thousand million of them need the memory of the
state and the ring alone. The synapses, and the spikes, are those of every other engine.
"""

import warnings

import torch
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.simulation.gpu import GpuEngine, fits_blocks
from neuroai.simulation.gpu_lists import ListNetwork
from neuroai.simulation.gpu_state import External, processors
from neuroai.simulation.layout import Layout
from neuroai_kernels.connectivity import expected_synapses
from neuroai_kernels.drawn_delivery import draw_plan, quantum_of
from neuroai_kernels.drawn_delivery.gpu import launch_drawn
from neuroai_kernels.drawn_delivery.listed import ArrivalLists
from neuroai_kernels.errors import KernelUnavailableError

__all__ = ["LargeEngine", "gpu_engine"]

_RULES = ("fixed_total", "fixed_outdegree")
# Bytes of a stored synapse with its share of the index, of the lists for each place of the ring, and the part
# of a free card that they may take.
_STORED_BYTES, _LIST_BYTES, _SHARE = 5, 16, 0.8


class LargeEngine(ListNetwork):
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
    Bytes: ``4 slots channels`` a neuron for the ring, four times as many for ``lists`` of arrivals, the
    state, and 4 for each row of a projection with a fixed total number. Without lists, which a card without
    room for them or without NVRTC does not have, arrivals go to the ring at once: the same spikes, later.
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
        super().__init__(layout, torch.device(device), record=record)
        connections = list(layout.connections)
        self.quantum = quantum_of(connections) if quantum is None else quantum
        self.rows = draw_plan(
            connections, layout.seed, layout.n_rows, quantum=self.quantum, device=self.device
        )
        self.lists: ArrivalLists | None = self._arrival_lists()

    def _arrival_lists(self) -> ArrivalLists | None:
        if self.device.type != "cuda" or not self.rows.connections:
            return None
        if _LIST_BYTES * self.ring.numel() > _room_on(self.device):
            return None
        try:
            return ArrivalLists(self.rows, self.ring, self._step)
        except KernelUnavailableError as error:
            warnings.warn(f"arrivals are not listed, which is slower: {error}", stacklevel=3)
            return None

    @property
    def n_synapses(self) -> int:
        """Synapses that spikes draw from."""
        return self.rows.n_synapses

    @property
    def nbytes(self) -> int:
        """Bytes of plan, state, ring and lists on the device."""
        lists = 0 if self.lists is None else self.lists.nbytes
        return self.rows.nbytes + self._state_bytes + lists

    def _one_step(self, external: External | None) -> None:
        if self.lists is not None:
            self.lists.add()
        super()._one_step(external)

    def _deliver(self, spikes: Tensor, count: Tensor) -> None:
        if self.lists is not None:
            self.lists.deliver(spikes, count)
        else:
            launch_drawn(spikes, count, self._seed, self.rows, self.ring, self._step)

    def state(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of variables, free_at and ring; lists are added to the ring before."""
        if self.lists is not None:
            self.lists.add(all_steps=True)
        return super().state()

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state that :meth:`state` gave."""
        if self.lists is not None:
            self.lists.clear()
        super().restore(position, state)


def _room_on(device: torch.device) -> float:
    """Bytes that an engine may take."""
    return _SHARE * torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else float("inf")


def gpu_engine(layout: Layout, device: torch.device | str) -> GpuEngine | LargeEngine:
    """The engine of a network on a card: synapses stored where they fit, drawn at every spike where not."""
    device = torch.device(device)
    needed = _STORED_BYTES * sum(expected_synapses(c) for c in layout.connections)
    if fits_blocks(layout, processors(device)) and needed < _room_on(device):
        return GpuEngine(layout, device)
    return LargeEngine(layout, device)
