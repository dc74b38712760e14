"""External sources: spikes from lists, recordings or Poisson processes, with synapses like a neuron's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from neuroai.errors import ConfigError

if TYPE_CHECKING:
    from neuroai_datasets import Recording

__all__ = ["PoissonSource", "SpikeSource"]

_BLOCK = 1024
Spikes = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class SpikeSource:
    """Spike trains given beforehand.

    Parameters
    ----------
    name : str
    trains : sequence of arrays
        Seconds, one array a source; a time is rounded to the grid of steps.

    Examples
    --------
    >>> source = SpikeSource("input", [[0.001], [0.0005, 0.002]])
    >>> [part.tolist() for part in source.between(-1, 100, 1e-4, (0, 0))]
    [[4, 9, 19], [1, 0, 1]]
    """

    name: str
    trains: Sequence[npt.ArrayLike] = field(repr=False)

    @classmethod
    def from_recording(cls, name: str, recording: "Recording") -> "SpikeSource":
        """The units of a recording, one source each."""
        if recording.spikes is None:
            raise ConfigError(f"{recording.name} holds no spikes, so it cannot drive a network")
        return cls(name, list(recording.spikes))

    @property
    def size(self) -> int:
        """Number of sources."""
        return len(self.trains)

    def between(self, first: int, last: int, step: float, key: tuple[int, int]) -> Spikes:
        """Step and source of the spikes in steps ``first <= k < last``."""
        times = [np.asarray(train, dtype=np.float64).ravel() for train in self.trains]
        which = np.repeat(np.arange(len(times)), [len(t) for t in times])
        steps = np.rint(np.concatenate([np.empty(0), *times]) / step).astype(np.int64) - 1
        order = np.argsort(steps, kind="stable")
        steps, which = steps[order], which[order]
        if len(steps) and steps[0] < -1:
            raise ConfigError(f"source {self.name!r}: a spike at {(steps[0] + 1) * step} s, before time 0")
        here = slice(*np.searchsorted(steps, (first, last)))
        return steps[here], which[here]


@dataclass(frozen=True)
class PoissonSource:
    """Independent Poisson processes of one rate, within a window.

    Parameters
    ----------
    name : str
    size : int
        Number of sources.
    rate : float
        Events/s of each.
    start, stop : float
        Seconds.

    Notes
    -----
    Drawn on the host in blocks of 1024 steps, each from its own stream: a run cut in pieces sees the same
    events. Drive of every neuron by its own process belongs in :class:`~neuroai.simulation.PoissonDrive`,
    which is drawn inside the update and needs no synapses.
    """

    name: str
    size: int
    rate: float
    start: float = 0.0
    stop: float = np.inf

    def __post_init__(self) -> None:
        """Refuse what is no process."""
        if self.size < 1 or self.rate < 0 or not 0 <= self.start <= self.stop:
            raise ConfigError(
                f"PoissonSource {self.name!r}: size={self.size}, rate={self.rate}, window {self.start} to "
                f"{self.stop} s: expected a size of 1 or more, a rate of 0 or more, a window after time 0"
            )

    def between(self, first: int, last: int, step: float, key: tuple[int, int]) -> Spikes:
        """Step and source of the events in steps ``first <= k < last``, ordered by step."""
        begin = max(first, round(self.start / step))
        end = last if np.isinf(self.stop) else min(last, round(self.stop / step))
        steps, which = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for block in range(begin // _BLOCK, -(-end // _BLOCK) if end > begin else 0):
            rng = np.random.default_rng([key[0] & 0xFFFFFFFF, key[0] >> 32, key[1], block])
            count = rng.poisson(self.rate * step * _BLOCK * self.size)
            found = block * _BLOCK + np.sort(rng.integers(0, _BLOCK, count))
            elements = rng.integers(0, self.size, count)
            inside = (found >= begin) & (found < end)
            steps.append(found[inside])
            which.append(elements[inside])
        return np.concatenate(steps), np.concatenate(which)
