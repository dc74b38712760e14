r"""Neurons with dendritic segments that grow, strengthen and are pruned by Hebbian learning.

A neuron responds if any of its segments has at least ``theta`` connected synapses from active inputs.

References
----------
Ahmad, Hawkins (2016), arXiv 1601.00720: one segment recognises one pattern from a sample of its cells.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neuroai.dendrites.permanences import to_units
from neuroai.dendrites.population_files import read_memory, write_memory
from neuroai.dendrites.population_learning import learn_pattern
from neuroai.dendrites.segments import Array, ForgetRule, SegmentStore
from neuroai.dendrites.sequence_memory import as_indices
from neuroai.errors import CheckpointError, ConfigError
from neuroai_kernels import segment_memory as kernel

__all__ = ["Population", "PopulationSettings"]


@dataclass(frozen=True)
class PopulationSettings:
    """Settings of a `Population`; permanences from 0 to 1.

    Attributes
    ----------
    n_neurons, n_inputs : int
    activation_threshold : int
        Connected synapses from active inputs that switch a segment on (``theta``).
    min_threshold : int
        Synapses, connected or not, with which a segment may learn; with fewer in all it is removed.
    sample_size : int
        Synapses a new segment grows (``s``).
    initial, connected, increment, decrement : float
    max_segments_per_neuron, max_segments, max_synapses : int
        Of a neuron, of the population, of a segment.
    forget : "least-useful" or "least-recent"
    permanence_dtype : "uint8" or "uint16"
    seed : int
    """

    n_neurons: int
    n_inputs: int
    activation_threshold: int = 12
    min_threshold: int = 8
    sample_size: int = 24
    initial: float = 0.5
    connected: float = 0.5
    increment: float = 0.1
    decrement: float = 0.02
    max_segments_per_neuron: int = 128
    max_segments: int = 2**20
    max_synapses: int = 32
    forget: ForgetRule = "least-useful"
    permanence_dtype: Literal["uint8", "uint16"] = "uint16"
    seed: int = 0

    def check(self) -> None:
        """Raise `ConfigError` if settings are out of range or contradict each other."""
        for name in ("n_neurons", "n_inputs", "min_threshold", "max_segments_per_neuron"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        sizes = (self.min_threshold, self.activation_threshold, self.sample_size, self.max_synapses)
        if list(sizes) != sorted(sizes):
            raise ConfigError(
                "min_threshold {} <= activation_threshold {} <= sample_size {} <= max_synapses {} does not "
                "hold: no segment could learn or switch on".format(*sizes)
            )
        if self.sample_size > self.n_inputs:
            raise ConfigError(f"sample_size {self.sample_size} exceeds the {self.n_inputs} inputs")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed is {self.seed}; expected 0 to 2**32 - 1")


class Population:
    """Neurons over a common set of inputs, each with segments of its own.

    Parameters
    ----------
    settings : PopulationSettings, optional
    **changes
        Single settings by name; ``n_neurons`` and ``n_inputs`` have no default.

    Raises
    ------
    ConfigError
        If settings are out of range.

    Notes
    -----
    `respond` costs the synapses of the active inputs (inverted index). For many inputs at once, or on a
    GPU, use `respond_batch`.

    Examples
    --------
    >>> population = Population(n_neurons=3, n_inputs=500, seed=1)
    >>> for neuron in range(3):
    ...     _ = population.learn(range(40 * neuron, 40 * neuron + 40), [neuron])
    >>> population.respond(range(40, 80)).tolist(), population.n_segments
    ([1], 3)
    """

    def __init__(self, settings: PopulationSettings | None = None, **changes: Any) -> None:
        try:
            self.settings = PopulationSettings(**(asdict(settings) if settings else {}) | changes)
        except TypeError as error:
            names = ", ".join(PopulationSettings.__annotations__)
            raise ConfigError(f"{error}; settings are {names}") from error
        s = self.settings
        s.check()
        self.store = SegmentStore(
            s.n_neurons,
            s.n_inputs,
            max_segments=s.max_segments,
            max_synapses=s.max_synapses,
            connected=s.connected,
            dtype=s.permanence_dtype,
            forget=s.forget,
        )
        self._initial, self._up, self._down = (
            to_units(getattr(s, name), s.permanence_dtype, name)
            for name in ("initial", "increment", "decrement")
        )
        if self._initial == 0:
            raise ConfigError("initial is 0; expected a permanence above 0")
        self._is_active = np.zeros(s.n_inputs, np.uint8)
        self._keys = np.zeros(s.n_inputs, np.int64)
        self._now = 0

    @property
    def n_segments(self) -> int:
        """Live segments."""
        return self.store.n_segments

    @property
    def n_synapses(self) -> int:
        """Live synapses."""
        return self.store.n_synapses

    def overlaps(self, active: npt.ArrayLike | Iterable[int]) -> Array:
        """Connected synapses from active inputs of every segment place, int64 (place,).

        Raises
        ------
        ConfigError
            If inputs are repeated or out of range.
        """
        self._count(as_indices(active, self.settings.n_inputs, "active"))
        return self.store.arrays.counts.astype(np.int64) >> 16

    def respond(self, active: npt.ArrayLike | Iterable[int]) -> Array:
        """Neurons with a segment that is on, sorted.

        Parameters
        ----------
        active : integers
            Active inputs, all different.

        Raises
        ------
        ConfigError
            If inputs are repeated or out of range.
        """
        on = np.flatnonzero(self.overlaps(active) >= self.settings.activation_threshold)
        return np.unique(self.store.arrays.cell[on])

    def respond_batch(self, inputs: Tensor) -> Tensor:
        """Neurons that respond to each of many inputs, on the inputs' device.

        Parameters
        ----------
        inputs : bool or integer Tensor (b, n_inputs)
            Zeros and ones.

        Returns
        -------
        Tensor bool (b, n_neurons)

        Raises
        ------
        ConfigError
            If the shape is wrong or values are not binary.

        Notes
        -----
        One gather of ``b * n_segments * max_synapses`` values, in blocks of at most 64 MiB; the segments
        are copied to the device at every call.
        """
        if inputs.ndim != 2 or inputs.shape[1] != self.settings.n_inputs or inputs.is_floating_point():
            raise ConfigError(
                f"inputs are {inputs.dtype} of shape {tuple(inputs.shape)}; "
                f"expected booleans or integers of shape (b, {self.settings.n_inputs})"
            )
        if inputs.dtype != torch.bool and bool(((inputs != 0) & (inputs != 1)).any()):
            raise ConfigError("inputs hold values other than 0 and 1")
        arrays = self.store.arrays
        live = np.flatnonzero(arrays.cell >= 0)
        linked = np.arange(arrays.presynaptic.shape[1]) < arrays.n_synapses[live][:, None]
        linked &= arrays.permanence[live] >= arrays.connected
        # Input n_inputs is never active: it stands for unconnected synapses.
        sources = np.where(linked, arrays.presynaptic[live], self.settings.n_inputs)
        index = torch.from_numpy(sources.astype(np.int64)).to(inputs.device)
        owner = torch.from_numpy(arrays.cell[live].astype(np.int64)).to(inputs.device)
        padded = torch.nn.functional.pad(inputs.bool(), (0, 1))
        responses = torch.zeros(len(inputs), self.settings.n_neurons, dtype=torch.bool, device=inputs.device)
        block = max(1, 2**26 // max(1, index.numel()))
        for first in range(0, len(inputs) if len(live) else 0, block):
            counts = padded[first : first + block][:, index].sum(2)
            on = counts >= self.settings.activation_threshold
            answers = torch.zeros(len(on), self.settings.n_neurons, dtype=torch.int32, device=inputs.device)
            answers.index_add_(1, owner, on.int())
            responses[first : first + block] = answers > 0
        return responses

    def learn(self, active: npt.ArrayLike | Iterable[int], neurons: npt.ArrayLike | Iterable[int]) -> int:
        """Hebbian step: neurons that were driven learn the pattern of active inputs.

        A neuron reinforces its best matching segment (most synapses from active inputs, at least
        ``min_threshold``; ties: lowest place) and grows it to ``sample_size`` active synapses; without one it
        makes a new segment, dropping one of its own when it has as many as it may.

        Parameters
        ----------
        active : integers
            Active inputs, all different.
        neurons : integers
            Neurons that learn, all different.

        Returns
        -------
        int
            New segments.

        Raises
        ------
        ConfigError
            If indices are repeated or out of range.
        """
        s = self.settings
        given = as_indices(active, s.n_inputs, "active")
        learners = as_indices(neurons, s.n_neurons, "neurons")
        arrays = self.store.arrays
        room = kernel.room_needed(arrays, given, len(given), len(learners))
        self.store.reserve(len(learners), int(room))
        self._count(given)
        self._now += 1
        self._is_active[given] = 1
        salt = int(kernel.mix(s.seed ^ int(kernel.mix(self._now))))
        created = learn_pattern(
            self.store.arrays,
            given,
            self._is_active,
            learners,
            (s.min_threshold, s.sample_size, s.max_segments_per_neuron, self._now, salt),
            (self._initial, self._up, self._down),
            s.forget == "least-recent",
            self._keys,
        )
        self._is_active[given] = 0
        return int(created)

    def add_segment(self, neuron: int, inputs: npt.ArrayLike | Iterable[int]) -> int:
        """Give a neuron a segment with full-strength synapses from these inputs; return its place.

        Raises
        ------
        ConfigError
            If the neuron or inputs do not exist, inputs repeat, or there are more than ``max_synapses``.
        """
        given = as_indices(inputs, self.settings.n_inputs, "inputs")
        if not 0 <= neuron < self.settings.n_neurons:
            raise ConfigError(f"neuron {neuron} does not exist; expected 0 to {self.settings.n_neurons - 1}")
        if not 1 <= len(given) <= self.settings.max_synapses:
            raise ConfigError(f"{len(given)} inputs; expected 1 to max_synapses {self.settings.max_synapses}")
        room = kernel.room_needed(self.store.arrays, given, len(given), 1)
        self.store.reserve(1, int(room))
        arrays = self.store.arrays
        place = kernel.create_segment(arrays, neuron, self._now)
        kernel.grow(arrays, place, given, len(given), len(given), arrays.one, 0, self._keys)
        return int(place)

    def save(self, path: str | Path) -> None:
        """Write everything to one file, complete or not at all.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        settings = asdict(self.settings) | {"numbers": {"now": self._now}}
        write_memory(Path(path), "Population", settings, self.store.state())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged, of another kind, or holds impossible segments.
        """
        settings, tensors = read_memory(Path(path), "Population")
        try:
            now = int(settings.pop("numbers")["now"])
            population = cls(**settings)
            population.store.restore(tensors)
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} holds no usable Population: {error}") from error
        population._now = now
        return population

    def _count(self, active: Array) -> None:
        kernel.count_overlaps(self.store.arrays, active, len(active), True)
