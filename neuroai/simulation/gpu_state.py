"""What every way of running a network on a GPU has in common: state on the device, record, captured steps."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai.simulation.engine import Spikes
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai_kernels.connectivity.gpu import wrapped_seed
from neuroai_kernels.neuron_update import PREFIX
from neuroai_kernels.neuron_update.gpu import kind_bits, thresholds_on_device

__all__ = ["DeviceNetwork", "External", "processors"]

# Recorded spikes between two copies to the host, and steps of one captured graph or one advance in between.
_ROOM = 1 << 22
_GRAPH_STEPS = 50
_LAUNCH_STEPS = 10_000
_POISSON, _NOISE = PREFIX.index("poisson_weight"), PREFIX.index("noise")
_REFRACTORY = PREFIX.index("refractory")


@dataclass(frozen=True)
class External:
    """Spikes of external sources on the device.

    Attributes
    ----------
    starts : int32 array (n_steps + 1,)
        Where the spikes of step ``origin + i`` start.
    places, rows : int32 tensors
        The same on the device, and the rows.
    origin : int
        The first step.
    """

    starts: NDArray[np.int32]
    places: Tensor
    rows: Tensor
    origin: int


def processors(device: torch.device) -> int:
    """Multiprocessors of the card; few where Triton is interpreted."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4


class DeviceNetwork(ABC):
    """State of a network on a device; subclasses say how one step is taken.

    Attributes
    ----------
    tally : int64 tensor (n_blocks,)
        Spikes of each block so far; see :meth:`spike_counts`.
    """

    def __init__(self, layout: Layout, device: torch.device, blocks: Tensor, *, record: bool) -> None:
        self.layout, self.device, self.record = layout, device, record
        self.position, self.current, self.blocks = 0, layout.current, blocks.to(device)
        table = layout.populations
        self.variables = layout.initial.variables.to(device).clone()
        self.free_at = layout.initial.free_at.to(device).clone()
        self.ring = self._whole(layout.slots, layout.n_inputs)
        self._coefficients = table.coefficients.to(device)
        self._thresholds, self._n_thresholds = thresholds_on_device(table, device)
        self._static: dict[str, Any] = {
            "COEFFICIENTS": table.coefficients.shape[1],
            "KINDS": kind_bits(table),
            "POISSON": bool((table.coefficients[:, _POISSON] != 0).any()),
            "NOISE": bool((table.coefficients[:, _NOISE] != 0).any()),
            "CHANNELS": layout.n_channels,
            "RECORD": record,
        }
        self._seed = wrapped_seed(layout.seed, device)
        self.tally = torch.zeros(len(blocks), dtype=torch.int64, device=device)
        self._current: Tensor | None = None
        self._recorded = self._whole(1)
        self._record = self._whole(2, max(_ROOM, layout.n_neurons) if record else 1)
        self._graph: torch.cuda.CUDAGraph | None = None

    def _whole(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32, device=self.device)

    @abstractmethod
    def _set_step(self, step: int) -> None:
        """Tell the device which step comes next."""

    @abstractmethod
    def _one_step(self, external: External | None) -> None:
        """Start one step."""

    @abstractmethod
    def _deliver_early(self, external: External) -> None:
        """What external sources sent in the step before the first: no neuron spiked in it."""

    def spike_counts(self) -> Tensor:
        """Spikes of each population so far, int64, on the CPU; waits for the device."""
        counts = torch.zeros(len(self.layout.names), dtype=torch.int64)
        return counts.index_add_(0, self.blocks[:, 2].to("cpu", torch.int64), self.tally.cpu())

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last`` (not included); the spikes found, if recorded."""
        self._take_current()
        external = self._external(last, schedule)
        pieces = [np.empty((2, 0), np.int32)]
        while self.position < last:
            self.launch(min(last - self.position, self._most_steps()), external)
            if self.record:
                pieces.append(self._take_record())
        found = np.concatenate(pieces, axis=1)
        return found[0], found[1]

    def _most_steps(self) -> int:
        """Steps whose spikes surely fit the record, in whole graphs if it holds one."""
        if not self.record:
            return _LAUNCH_STEPS
        # A neuron spikes once in a step and its refractory time.
        apart = 1 + int(self.layout.populations.coefficients[:, _REFRACTORY].min())
        most = min(self._record.shape[1] // self.layout.n_neurons * apart, _LAUNCH_STEPS)
        return most - most % _GRAPH_STEPS if most > _GRAPH_STEPS else most

    def launch(self, n: int, external: External | None = None) -> None:
        """Start ``n`` steps and return at once: nothing waits for the device once a graph is captured."""
        self._set_step(self.position)
        last = self.position + n
        if self.captures and external is None and n >= _GRAPH_STEPS:
            self._replay(last)
        while self.position < last:
            self._one_step(external)
            self.position += 1

    @property
    def captures(self) -> bool:
        """Whether steps are replayed from a captured graph."""
        return self.device.type == "cuda"

    def _replay(self, last: int) -> None:
        """Graphs of steps, as many as end by step ``last``, after a step that compiles."""
        if self._graph is None:
            self._one_step(None)
            self.position += 1
            self._graph = self._capture()
        while last - self.position >= _GRAPH_STEPS:
            self._graph.replay()
            self.position += _GRAPH_STEPS

    def _capture(self) -> "torch.cuda.CUDAGraph":
        """Steps as a CUDA graph that needs no argument: the step's number is on the device."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(_GRAPH_STEPS):
                self._one_step(None)
        return graph

    def _take_current(self) -> None:
        """Copy what the caller may have replaced to where the kernels read it."""
        if self.current is None:
            self._current = None
        elif self._current is None:
            self._current, self._graph = self.current.to(self.device, torch.float32, copy=True), None
        else:
            self._current.copy_(self.current)

    def _external(self, last: int, schedule: SpikeSchedule) -> External | None:
        if not len(schedule.steps):
            return None
        origin = min(self.position, int(schedule.steps[0]))
        starts = np.searchsorted(schedule.steps, np.arange(origin, last + 1)).astype(np.int32)
        places, rows = (torch.from_numpy(part).to(self.device) for part in (starts, schedule.rows))
        external = External(starts, places, rows, origin)
        if origin < self.position:
            self._deliver_early(external)
        return external

    def _take_record(self) -> NDArray[np.int32]:
        """Recorded spikes, ordered by step, then neuron."""
        found = self._record[:, : int(self._recorded)].to(torch.int64)
        self._recorded.zero_()
        order = (found[0] << 32 | found[1]).sort().values
        ordered = torch.stack([order >> 32, order & 0xFFFFFFFF]).to("cpu", torch.int32)
        pair: NDArray[np.int32] = ordered.numpy()
        return pair

    def state(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of variables, free_at and ring."""
        return {name: getattr(self, name).to("cpu", copy=True) for name in ("variables", "free_at", "ring")}

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state that :meth:`state` gave."""
        for name in ("variables", "free_at", "ring"):
            getattr(self, name).copy_(state[name])
        self.position = position
