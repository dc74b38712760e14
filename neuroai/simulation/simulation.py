"""A built network in motion: run it, step it, read it, save it."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroai.errors import ConfigError, SimulationError
from neuroai.simulation.engine import Spikes, make_engine
from neuroai.simulation.layout import Layout
from neuroai.simulation.memory import check_memory, estimate_memory
from neuroai.simulation.network import Network
from neuroai.simulation.record import to_recording
from neuroai.simulation.segments import Plateaus
from neuroai_kernels.neuron_update import VARIABLES, Kind

if TYPE_CHECKING:
    from neuroai.simulation.distributed_ranks import Ranks
    from neuroai_datasets import Recording

__all__ = ["Progress", "SilentPopulationWarning", "Simulation"]

Progress = Callable[[str, int, int], None]
_CHUNK_STEPS = 1000
_CHECKPOINT_SECONDS = 10.0


class SilentPopulationWarning(UserWarning):
    """A population did not fire once in a run of half a second or more."""


class Simulation:
    """A network built on a device, at some time of its life.

    Parameters
    ----------
    network : Network
    device : str
        ``"cpu"`` or a CUDA device.
    deterministic : bool
        Sum arrivals in whole numbers: the same spikes on every device and number of ranks.
    memory : int or str, optional
        Refuse to build what needs more, such as ``"4GiB"``; the machine's memory when left out.
    checkpoints : path, optional
        Folder to save the state in while running; a simulation that finds one there continues from it.
    checkpoint_every : float
        Simulated seconds between two checkpoints; 10 when left out.
    distributed : bool
        Share the network among the processes that ``torchrun`` started, each on a CPU or a card of its own.
        All call the same methods and get all spikes; the first writes the checkpoints.

    Attributes
    ----------
    build_seconds : float
        Wall time from declaration to first step: synapses drawn, and loops compiled where they were not yet.
    wall_seconds : float
        Wall time spent in steps so far.
    """

    def __init__(
        self,
        network: Network,
        *,
        device: str = "cpu",
        deterministic: bool = False,
        memory: int | str | None = None,
        checkpoints: str | Path | None = None,
        checkpoint_every: float | None = None,
        distributed: bool = False,
    ) -> None:
        self.network = network
        # A GPU draws synapses anew where they do not fit: only a budget that was asked for counts there.
        on_host = str(device) == "cpu" or memory is not None
        self.estimate = check_memory(network, memory) if on_host else estimate_memory(network)
        started = time.perf_counter()
        self.layout: Layout = network.layout()
        self.engine = make_engine(self.layout, device, deterministic=deterministic, distributed=distributed)
        self._ranks: Ranks | None = getattr(self.engine, "ranks", None)
        self.build_seconds = time.perf_counter() - started
        self.wall_seconds = 0.0
        self.device, self.deterministic = device, deterministic
        self.plateaus = Plateaus(network)
        self._given = self.layout.current
        self._spikes: list[Spikes] = []
        self._recorded_from = 0
        self._folder = None if checkpoints is None else Path(checkpoints)
        every = _CHECKPOINT_SECONDS if checkpoint_every is None else checkpoint_every
        self._every = max(1, round(every / network.dt))
        if self._folder is not None:
            self._resume()

    @property
    def writes(self) -> bool:
        """Whether this process writes files: the only one, or the first of several."""
        return self._ranks is None or self._ranks.rank == 0

    @property
    def time(self) -> float:
        """Simulated seconds so far."""
        return self.engine.position * self.network.dt

    @property
    def n_synapses(self) -> int:
        """Synapses drawn."""
        return self.engine.n_synapses

    def run(self, seconds: float, *, progress: "Progress | None" = None) -> "Recording":
        """Run on and return the spikes of these seconds (after a resumed start: of the whole run).

        Parameters
        ----------
        seconds : float
            Simulated time, rounded to steps. A simulation that was resumed from a checkpoint runs until its
            start plus ``seconds``.
        progress : callable, optional
            Called as ``progress(stage, done, total)``, in simulated milliseconds.

        Returns
        -------
        Recording

        Raises
        ------
        SimulationError
            If a variable becomes NaN or infinite; the population and time are named.

        Warns
        -----
        SilentPopulationWarning
            For populations that never fired in 0.5 s or more.
        """
        last = self._recorded_from + round(seconds / self.network.dt)
        if not seconds >= 0 or last >= 2**31 - 1 or last < self.engine.position:
            raise ConfigError(
                f"seconds={seconds} at {self.time} s: expected 0 or more, below 2^31 steps, and not "
                "before the checkpoint that the simulation was resumed from"
            )
        started, begun = time.perf_counter(), self.engine.position
        while self.engine.position < last:
            self._chunk(min(last, self.engine.position + _CHUNK_STEPS))
            if progress is not None:
                told = self._told(begun, time.perf_counter() - started)
                progress(
                    told, *(round((k - begun) * self.network.dt * 1e3) for k in (self.engine.position, last))
                )
            if self._folder is not None and self.engine.position % self._every < _CHUNK_STEPS:
                self.save(self._folder)
        self.wall_seconds += time.perf_counter() - started
        return self._collect()

    def _told(self, begun: int, wall: float) -> str:
        """What a progress bar says: simulated against wall time, and the mean rate of the last chunk."""
        seconds = (self.engine.position - begun) * self.network.dt
        rate = len(self._spikes[-1][0]) / self.layout.n_neurons / self._chunk_seconds
        return f"simulate (ms): {seconds:.1f} s in {wall:.1f} s, {rate:.2f} spikes/s a neuron"

    def _chunk(self, last: int) -> None:
        if self.plateaus.window:
            last = min(last, self.plateaus.next_border(self.engine.position))
        self._spikes.append(self._advance(last))
        self._check_finite()

    def _advance(self, last: int) -> Spikes:
        """Steps up to ``last``, which no window of the segments ends before."""
        first = self.engine.position
        # Spikes at time 0 belong to the step before the first.
        schedule = self.layout.schedule(-1 if first == 0 else first, last)
        found = self.engine.advance(last, schedule)
        self._chunk_seconds = (last - first) * self.network.dt
        if self.plateaus.window:
            self.plateaus.collect(found[1])
            if last % self.plateaus.window == 0:
                self.plateaus.close_window()
            self._set_current()
        return found

    def _set_current(self) -> None:
        plateau = self.plateaus.current
        self.engine.current = plateau if self._given is None else self._given + plateau

    def _check_finite(self) -> None:
        variables = self.engine.variables
        if bool(torch.isfinite(variables).all()):
            return
        row, neuron = (int(index) for index in (~torch.isfinite(variables)).nonzero()[0])
        place = int(torch.searchsorted(self.layout.populations.bounds, neuron, right=True)) - 1
        kind = Kind(int(self.layout.populations.kinds[place]))
        raise SimulationError(
            f"variable {VARIABLES[kind][row]!r} of neuron {neuron} (population "
            f"{self.layout.names[place]!r}) is not finite before {self.time:.4f} s: weights or currents "
            "are too large for the step, or the constants do not fit together; try a smaller dt"
        )

    def _collect(self) -> "Recording":
        nothing = np.empty(0, np.int32)
        steps, neurons = (np.concatenate([nothing, *(part[i] for part in self._spikes)]) for i in (0, 1))
        bounds = self.layout.populations.bounds.numpy()
        interval = (self._recorded_from * self.network.dt, self.time)
        self._spikes, self._recorded_from = [], self.engine.position
        self._warn_silent(neurons, bounds, interval[1] - interval[0])
        return to_recording(
            steps,
            neurons,
            dt=self.network.dt,
            interval=interval,
            names=self.layout.names,
            bounds=bounds,
            name=self.network.name,
            attrs={"modality": "simulation", "seed": self.network.seed},
        )

    def _warn_silent(self, neurons: NDArray[np.int32], bounds: NDArray[np.int64], seconds: float) -> None:
        counts = np.histogram(neurons, bounds)[0]
        silent = [name for name, count in zip(self.layout.names, counts, strict=True) if count == 0]
        if silent and seconds >= 0.5:
            warnings.warn(
                f"{', '.join(silent)} never fired in {seconds:.3g} s: is the drive below rheobase?",
                SilentPopulationWarning,
                stacklevel=3,
            )

    def step(self, current: Tensor | None = None) -> Tensor:
        """One step, for closed loops with torch modules.

        Parameters
        ----------
        current : tensor (n_neurons,), optional
            Extra current, pA, from now on; gradients do not flow through it.

        Returns
        -------
        bool tensor (n_neurons,)
            Which neurons spike.
        """
        if current is not None:
            if current.shape != (self.layout.n_neurons,):
                raise ConfigError(
                    f"current has shape {tuple(current.shape)}: expected ({self.layout.n_neurons},)"
                )
            self._given = current.detach().to(self.layout.initial.variables.dtype)
            self._set_current()
        neurons = self._advance(self.engine.position + 1)[1]
        self._recorded_from = self.engine.position
        spikes = torch.zeros(self.layout.n_neurons, dtype=torch.bool)
        spikes[torch.from_numpy(neurons.astype(np.int64))] = True
        return spikes

    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint: state, and the spikes since the last recording."""
        from neuroai.simulation.checkpoints import save

        return save(self, Path(folder), self._spikes, self._recorded_from)

    def _resume(self) -> None:
        from neuroai.simulation.checkpoints import load

        assert self._folder is not None
        found = load(self, self._folder)
        if self._ranks is not None:
            self._ranks.require_same(self.engine.position)
        if found is not None:
            self._spikes, self._recorded_from = [found[0]], found[1]
            if self.plateaus.window:
                self._set_current()
