"""Networks on a GPU that list the spikes of a step in memory; subclasses deliver the list."""

from abc import abstractmethod

import torch
from torch import Tensor

from neuroai.simulation.gpu_kernels import count_step, list_spikes
from neuroai.simulation.gpu_state import DeviceNetwork, External
from neuroai.simulation.layout import Layout
from neuroai_kernels.neuron_update.gpu import population_blocks

__all__ = ["ListNetwork"]

_LANES = 512


class ListNetwork(DeviceNetwork):
    """Three launches a step; ``quantum`` of the ring and :meth:`_deliver` are the subclass's."""

    quantum: float

    def __init__(self, layout: Layout, device: torch.device, *, record: bool) -> None:
        super().__init__(layout, device, population_blocks(layout.populations, _LANES - 3), record=record)
        self._spikes, self._count = self._whole(layout.n_neurons), self._whole(1)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)

    @abstractmethod
    def _deliver(self, spikes: Tensor, count: Tensor) -> None:
        """Add the synapses of the first ``count`` sources of a list to the ring."""

    @property
    def _state_bytes(self) -> int:
        parts = (self.variables, self.free_at, self.ring, self._spikes, self._record)
        return sum(part.nbytes for part in parts)

    def _set_step(self, step: int) -> None:
        self._step.fill_(step)

    def _one_step(self, external: External | None) -> None:
        layout = self.layout
        list_spikes[(len(self.blocks),)](
            self.blocks, self._coefficients, self._thresholds, self.variables, self.free_at,
            self.variables if self._current is None else self._current, self._seed, self.ring, self.quantum,
            self._spikes, self._count, self.tally, self._record, self._recorded, self._record.shape[1],
            self._step, layout.n_neurons, layout.n_inputs, layout.slots - 1, self._n_thresholds,
            CURRENT=self._current is not None, BLOCK=_LANES, enable_fp_fusion=False, **self._static,
        )  # fmt: skip
        self._deliver(self._spikes, self._count)
        if external is not None:
            self._deliver_external(external, self.position)
        count_step[(1,)](self._step, self._count)

    def _deliver_external(self, external: External, step: int) -> None:
        first, last = external.starts[step - external.origin : step - external.origin + 2]
        if last > first:
            count = torch.full((1,), int(last - first), dtype=torch.int32, device=self.device)
            self._deliver(external.rows[first:last], count)

    def _deliver_early(self, external: External) -> None:
        self._set_step(-1)
        self._deliver_external(external, -1)
