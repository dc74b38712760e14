"""What runs a layout: an engine holds the dynamic state and advances it; the CPU's, and the choice of one."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai.errors import ConfigError
from neuroai.simulation.layout import Layout, SpikeSchedule
from neuroai.simulation.plasticity import PlasticState
from neuroai_kernels.neuron_update import Kind
from neuroai_kernels.spike_delivery import safe_quantum

__all__ = ["CpuEngine", "Engine", "Spikes", "make_engine"]

#: Steps and neurons, ordered by step.
Spikes = tuple[NDArray[np.int32], NDArray[np.int32]]
_FEWEST_RECORDED = 1 << 18


class Engine(Protocol):
    """Dynamic state of a network and the means to advance it."""

    #: The next step.
    position: int
    #: State of the neurons, (variables, n_neurons), on the device.
    variables: Tensor
    #: Extra current of each neuron, pA, read at every step; may be replaced between calls.
    current: Tensor | None

    @property
    def n_synapses(self) -> int:
        """Synapses drawn."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of synapses, state and ring."""
        ...

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last`` (not included); the spikes found."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of all that changes: variables, free_at, ring, and what plasticity keeps."""
        ...

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state that :meth:`state` gave."""
        ...


class CpuEngine:
    """Compiled loops on one thread.

    Parameters
    ----------
    layout : Layout
    deterministic : bool
        Sum arrivals as whole numbers, as the GPU's deterministic mode does: both then give the same spikes.
        (On a CPU the plain sums are reproducible too.)
    """

    def __init__(self, layout: Layout, *, deterministic: bool = False) -> None:
        self.layout, self.position, self.current = layout, 0, layout.current
        self.rows = layout.draw_runs()
        self.quantum: Any = np.float32(1)
        if deterministic:
            self.quantum = np.float32(safe_quantum(self.rows, layout.n_inputs))
            self.rows = self.rows.fixed_point(float(self.quantum))
        if deterministic and layout.plastic is not None:
            raise ConfigError("deterministic=True sums whole numbers, which plastic weights are not")
        self.learning = PlasticState(layout.plastic, layout.seed, layout.n_neurons, layout.step)
        self.variables = layout.initial.variables.clone()
        self.free_at = layout.initial.free_at.clone()
        # numpy asks for huge pages, torch does not: the ring is read and written all over.
        shape, dtype = (layout.slots, layout.n_inputs), np.int32 if deterministic else np.float32
        self.ring = torch.from_numpy(np.zeros(shape, dtype))
        self._room = max(2 * layout.n_neurons, _FEWEST_RECORDED)
        self._record: Any = np.empty((2, self._room), np.int32)
        self._arguments = self._views()
        nothing = np.empty(0, np.int32)
        self._run(0, 0, nothing, nothing)  # compiles, or loads what was compiled before

    @property
    def n_synapses(self) -> int:
        """Synapses drawn."""
        return self.rows.n_synapses + self.learning.synapses.n_synapses

    @property
    def nbytes(self) -> int:
        """Bytes of synapses, state and ring."""
        parts = (self.rows, self.learning, self.variables, self.free_at, self.ring)
        return sum(part.nbytes for part in parts)

    def advance(self, last: int, schedule: SpikeSchedule) -> Spikes:
        """Run the steps from ``position`` to ``last``, in pieces that fit the record."""
        pieces: list[NDArray[np.int32]] = []
        steps, rows = schedule.steps, schedule.rows
        while self.position < last:
            first = self.position
            self.position, count = self._run(first, last, steps, rows)
            pieces.append(self._record[:, :count].copy())
            later = np.searchsorted(steps, self.position)
            steps, rows = steps[later:], rows[later:]
        found = np.concatenate(pieces, axis=1) if pieces else np.empty((2, 0), np.int32)
        return found[0], found[1]

    def _run(
        self, first: int, last: int, steps: NDArray[np.int32], sources: NDArray[np.int32]
    ) -> tuple[int, int]:
        from neuroai.simulation.cpu_loop import advance

        current = np.empty(0, np.float32) if self.current is None else self.current.numpy()
        before, after = self._arguments
        arguments: Any = (*before, current, *after, first, last, steps, sources, *self._record)
        return advance(*arguments)

    def _views(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """What the loop takes before and after the current, views made once: state moves in place."""
        from neuroai_kernels.neuron_update.cpu import key_words

        p, rows = self.layout.populations, self.rows
        table = (p.bounds, p.kinds, p.channels, p.coefficients, p.thresholds)
        synapses = (rows.indptr, rows.targets, rows.weights, rows.runs, rows.delays, rows.ends)
        state = (self.variables, self.free_at, self.ring)
        before = (
            tuple(part.numpy() for part in table),
            tuple(part.numpy() for part in synapses),
            None if self.layout.plastic is None else self.learning.arrays(),
            True if bool((p.kinds > int(Kind.LIF_COBA)).any()) else None,
            *(part.numpy() for part in state),
            self.quantum,
        )
        return before, (key_words(self.layout.seed),)

    def state(self) -> dict[str, Tensor]:
        """Copies of variables, free_at and ring, and of all that plasticity keeps."""
        return {name: part.clone() for name, part in self._changing().items()}

    def restore(self, position: int, state: dict[str, Tensor]) -> None:
        """Continue from a state of :meth:`state`."""
        for name, part in self._changing().items():
            part.copy_(state[name])
        self.position = position

    def _changing(self) -> dict[str, Tensor]:
        own = {"variables": self.variables, "free_at": self.free_at, "ring": self.ring}
        return own | self.learning.state()


def make_engine(
    layout: Layout, device: str, *, deterministic: bool = False, distributed: bool = False
) -> Engine:
    """The engine of a device, or of the ranks that ``torchrun`` started.

    Raises
    ------
    ConfigError
        If the device is not there.
    """
    if distributed:
        from neuroai.simulation.distributed import distributed_engine

        return distributed_engine(layout, device, deterministic=deterministic)
    kind = str(device).partition(":")[0]
    if kind == "cpu":
        return CpuEngine(layout, deterministic=deterministic)
    if kind != "cuda" or not torch.cuda.is_available():
        raise ConfigError(f"device {device!r}: expected 'cpu', or 'cuda' on a machine with an NVIDIA GPU")
    if layout.plastic is not None:
        from neuroai.simulation.plasticity_gpu import PlasticEngine

        return PlasticEngine(layout, device)
    from neuroai.simulation.gpu_large import gpu_engine

    return gpu_engine(layout, device)
